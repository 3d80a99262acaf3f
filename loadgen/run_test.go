package loadgen

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mslab/results/record"
)

func TestPausesArePaced(t *testing.T) {
	const think = 5 * time.Millisecond
	var gaps []time.Duration
	url := awkward(t, func(p *peer) {
		for p.request() {
			p.say(plain)
		}
	})
	var ledger bytes.Buffer
	r := mustRun(t, context.Background(), Plan{URL: url, Metrics: 3, Clients: 1, Requests: 200, Think: think, Ledger: &ledger})
	var last int64
	for b, err := range record.ReadLedger(&ledger) {
		if err != nil {
			t.Fatal(err)
		}
		if last > 0 {
			gaps = append(gaps, time.Duration(b.SentNS-last))
		}
		last = b.AnsweredNS
	}
	h := record.NewHistogram()
	for _, g := range gaps {
		if g < think {
			t.Fatalf("a pause of %v, want at least %v", g, think)
		}
		h.RecordValue(int64(g))
	}
	p50, p99 := time.Duration(h.ValueAtPercentile(50)), time.Duration(h.ValueAtPercentile(99))
	t.Logf("pause of %v: p50 %v, p99 %v, max %v; lag p99 %v", think, p50, p99,
		time.Duration(h.Max()), time.Duration(r.Client.SchedLagP99))
	// A loose bound: other work on the machine is in the tail. A sleep rounded
	// to the next millisecond would be in the median.
	if rawSupported && p50 > think+500*time.Microsecond {
		t.Errorf("the median pause is %v, want %v within 0.2 ms on a free core", p50, think)
	}
}

func TestBodiesComeFromTheSeed(t *testing.T) {
	body := func(seed int64, client, n int) string {
		return string(appendBody(nil, bodyRand(seed, client), n, defaultHosts))
	}
	if first, again := body(1, 0, 3), body(1, 0, 3); first != again {
		t.Error("the same seed gave two bodies")
	}
	if body(1, 0, 3) == body(2, 0, 3) || body(1, 0, 3) == body(1, 1, 3) {
		t.Error("another seed or client gave the same body")
	}
	if n := len(body(1, 0, 3)); n < 660 || n > 720 {
		t.Errorf("a body of three metrics has %d bytes, want about 690", n)
	}
	if n := strings.Count(body(1, 0, 100), `"name"`); n != 100 {
		t.Errorf("%d metrics, want 100", n)
	}
}

// seen is what a server noticed of each request.
type seen struct {
	mu     sync.Mutex
	ids    map[string]int
	agents map[string]int
	bodies map[string]bool
	all    int64
}

func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.all++
	s.ids[r.Header.Get("X-Correlation-ID")]++
	s.agents[r.Header.Get("Authorization")]++
	s.bodies[string(body)] = true
	s.mu.Unlock()
	_, _ = io.WriteString(w, good)
}

func TestWarmupAndLedger(t *testing.T) {
	for name, drive := range engines() {
		t.Run(name, func(t *testing.T) {
			noticed := &seen{ids: map[string]int{}, agents: map[string]int{}, bodies: map[string]bool{}}
			server := httptest.NewServer(noticed)
			defer server.Close()
			var ledger bytes.Buffer
			var started, drained atomic.Int32
			r := runOn(t, context.Background(), drive, Plan{
				URL: server.URL, Metrics: 3, Clients: 4, RequestsPerClient: 25, Warmup: 50 * time.Millisecond,
				Think: time.Millisecond, Ledger: &ledger,
				Started: func() { started.Add(1) }, Drained: func() { drained.Add(1) },
			})
			if r.Counts.Sent != 100 || r.Counts.OK != 100 {
				t.Errorf("counts %+v", r.Counts)
			}
			if started.Load() != 1 || drained.Load() != 1 {
				t.Errorf("started %d times, drained %d times", started.Load(), drained.Load())
			}
			if r.FirstWait == nil || r.FirstWait.Count != 4 {
				t.Errorf("first waits %+v, want one a client", r.FirstWait)
			}
			var warm, measured int64
			for b, err := range record.ReadLedger(&ledger) {
				if err != nil {
					t.Fatal(err)
				}
				if b.Warmup {
					warm++
				} else {
					measured++
				}
				if noticed.ids[b.ID] != 1 || b.Outcome != record.BatchOK || b.Metrics != 3 || b.AnsweredNS < b.SentNS {
					t.Errorf("batch %+v, seen %d times", b, noticed.ids[b.ID])
				}
			}
			if measured != 100 || warm == 0 || warm+measured != noticed.all {
				t.Errorf("%d measured and %d warm-up lines, the server saw %d", measured, warm, noticed.all)
			}
			if len(noticed.agents) != 4 || noticed.agents["load_client_3"] == 0 {
				t.Errorf("client names %v", noticed.agents)
			}
			if len(noticed.bodies) < 50 {
				t.Errorf("only %d different bodies", len(noticed.bodies))
			}
		})
	}
}

// TestInterruption: what is in flight when the context ends stays in flight.
func TestInterruption(t *testing.T) {
	for name, drive := range engines() {
		t.Run(name, func(t *testing.T) {
			files := openFiles(t)
			url := awkward(t, func(p *peer) {
				for range 3 {
					p.request()
					p.say(plain)
				}
				p.request() // the fourth never gets an answer
				_, _ = p.Read(make([]byte, 1))
			})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var ledger bytes.Buffer
			time.AfterFunc(150*time.Millisecond, cancel)
			began := time.Now()
			r := runOn(t, ctx, drive, Plan{URL: url, Metrics: 3, Clients: 5, Duration: time.Minute, Ledger: &ledger})
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("stopped after %v", took)
			}
			if !r.Incomplete || r.Counts.InFlight != 5 || r.Counts.OK != 15 || r.Counts.Sent != 20 {
				t.Errorf("incomplete %v, counts %+v", r.Incomplete, r.Counts)
			}
			doubt := 0
			for b, err := range record.ReadLedger(&ledger) {
				if err != nil {
					t.Fatal(err)
				}
				if b.Outcome == record.BatchInDoubt {
					doubt++
				}
			}
			if doubt != 5 {
				t.Errorf("%d batches in doubt, want 5", doubt)
			}
			if now := openFiles(t); now > files+1+10 { // the test's listener and its ends
				t.Errorf("%d files open, %d before", now, files)
			}
		})
	}
}

func TestInterruptedWarmupMeasuresNothing(t *testing.T) {
	server := metricsServer(t)
	for name, drive := range engines() {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Millisecond)
		r := runOn(t, ctx, drive, Plan{URL: server.URL, Metrics: 3, Warmup: time.Minute, Requests: 5,
			Started: func() { t.Error(name + ": measured time began") }})
		cancel()
		if !r.Incomplete || r.Counts.Sent != 0 {
			t.Errorf("%s: incomplete %v, counts %+v", name, r.Incomplete, r.Counts)
		}
	}
}

// TestHeldWorkersPassOn: a server with one worker that holds its connection
// serves every client of a load bounded by requests, because each client
// closes after its last answer.
func TestHeldWorkersPassOn(t *testing.T) {
	for name, drive := range engines() {
		var worker sync.Mutex
		url := awkward(t, func(p *peer) {
			worker.Lock()
			defer worker.Unlock()
			for p.request() {
				p.say(plain)
			}
		})
		r := runOn(t, context.Background(), drive, Plan{URL: url, Metrics: 3, Clients: 5, RequestsPerClient: 20, Think: time.Millisecond})
		if r.Counts.OK != 100 || r.Counts.Starved != 0 || r.Counts.Connects != 5 {
			t.Errorf("%s: counts %+v", name, r.Counts)
		}
		if r.FirstWait.Max < int64(80*time.Millisecond) {
			t.Errorf("%s: the last client waited %v, want the others' 80 ms", name, time.Duration(r.FirstWait.Max))
		}
	}
}

// TestStarvedClients: of a load bounded by time, clients that wait for a held
// worker are counted, and their waiting does not dilute the rate.
func TestStarvedClients(t *testing.T) {
	for name, drive := range engines() {
		var first sync.Once
		url := awkward(t, func(p *peer) {
			served := false
			first.Do(func() { served = true })
			for served && p.request() {
				p.say(plain)
			}
			_, _ = p.Read(make([]byte, 1<<16))
			_, _ = p.Read(make([]byte, 1))
		})
		r := runOn(t, context.Background(), drive, Plan{URL: url, Metrics: 3, Clients: 3, Duration: 200 * time.Millisecond,
			Think: 5 * time.Millisecond, Timeout: 600 * time.Millisecond})
		if r.Counts.Starved != 2 || r.Counts.ByClass[record.ReadTimeout] != 2 {
			t.Errorf("%s: counts %+v", name, r.Counts)
		}
		if r.Load.DurationS != 0.2 || r.RPS.OK < float64(r.Counts.OK)*4 {
			t.Errorf("%s: %v s, %v RPS of %d", name, r.Load.DurationS, r.RPS.OK, r.Counts.OK)
		}
	}
}

func TestProgressAndSeries(t *testing.T) {
	server := metricsServer(t)
	var glances []Progress // from one goroutine that has ended when Run returns
	r := mustRun(t, context.Background(), Plan{URL: server.URL, Metrics: 3, Clients: 2, Duration: 2100 * time.Millisecond,
		Think: time.Millisecond, Progress: func(p Progress) { glances = append(glances, p) }})
	if len(glances) < 1 || glances[0].OK == 0 || glances[0].RPS == 0 || glances[0].P99 == 0 {
		t.Errorf("glances %+v", glances)
	}
	var ok int64
	for i, s := range r.Series {
		if s.T != i {
			t.Errorf("second %d is called %d", i, s.T)
		}
		ok += s.OK
	}
	if len(r.Series) != 3 || ok != r.Counts.OK {
		t.Errorf("series %+v adds up to %d, want %d", r.Series, ok, r.Counts.OK)
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, good)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	plan := Plan{URL: server.URL, Metrics: 3, Clients: 2, Requests: 10, Think: time.Millisecond}

	// The test's certificate is not trusted, and that is not passed over.
	r := mustRun(t, context.Background(), plan)
	if r.Counts.ByClass[record.Malformed] != 10 || r.Counts.InDoubt != 0 {
		t.Errorf("untrusted: counts %+v", r.Counts)
	}
	s, err := newSession(context.Background(), plan.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(server.Certificate())
	if r, err = s.run(context.Background(), driveNet); err != nil {
		t.Fatal(err)
	}
	if r.Counts.OK != 10 || r.Counts.Connects != 2 {
		t.Errorf("trusted: counts %+v", r.Counts)
	}
}

func TestForeignURLIsDrivenAsItIs(t *testing.T) {
	for name, drive := range engines() {
		var got atomic.Pointer[http.Request]
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got.Store(r) }))
		r := runOn(t, context.Background(), drive, Plan{URL: server.URL + "/a?b=c", Clients: 1, Requests: 2,
			Header: http.Header{"host": {"example.org"}, "X-A": {"1", "2"}}})
		server.Close()
		q := got.Load()
		if r.Counts.OK != 2 || q.Method != "GET" || q.RequestURI != "/a?b=c" || q.Host != "example.org" ||
			len(q.Header["X-A"]) != 2 || q.Header.Get("Authorization") != "" || q.ContentLength != 0 {
			t.Errorf("%s: counts %+v, request %+v", name, r.Counts, q)
		}
	}
}

func TestPlansThatCannotRun(t *testing.T) {
	ok := Plan{URL: "http://127.0.0.1:1/", Requests: 1}
	for says, change := range map[string]func(*Plan){
		"none is given":     func(p *Plan) { p.URL = "" },
		"http://":           func(p *Plan) { p.URL = "ftp://127.0.0.1/" },
		"no host":           func(p *Plan) { p.URL = "http:///x" },
		"no port":           func(p *Plan) { p.URL = "http://127.0.0.1:0/" },
		"Authorization":     func(p *Plan) { p.URL = "http://me:pw@127.0.0.1/" },
		"exactly one":       func(p *Plan) { p.Duration = time.Second },
		"not be negative":   func(p *Plan) { p.Think = -1 },
		"no HTTP method":    func(p *Plan) { p.Method = "GET /" },
		"line break":        func(p *Plan) { p.Header = http.Header{"X": {"a\r\nb"}} },
		"itself":            func(p *Plan) { p.Header = http.Header{"content-length": {"1"}} },
		"client ids must":   func(p *Plan) { p.Metrics, p.ClientIDs = 3, MaxClientIDs+1 },
		"hosts must":        func(p *Plan) { p.Metrics, p.Hosts = 3, -1 },
		"ids and hosts are": func(p *Plan) { p.ClientIDs = 5 },
		"leave out that":    func(p *Plan) { p.Metrics, p.ClientIDs, p.Header = 3, 5, http.Header{"Authorization": {"x"}} },
		"distribution":      func(p *Plan) { p.ThinkDistribution = "normal" },
		"wants its mean":    func(p *Plan) { p.ThinkDistribution = ExponentialThink },
		"one request each":  func(p *Plan) { p.Connection, p.RequestsPerConnection = New, 2 },
		"requests per conn": func(p *Plan) { p.RequestsPerConnection = -1 },
		"connection mode":   func(p *Plan) { p.Connection = "none" },
		"metrics must be":   func(p *Plan) { p.Metrics = MaxMetrics + 1 },
		"ledger":            func(p *Plan) { p.Ledger = io.Discard },
		"longer than":       func(p *Plan) { p.Timeout = time.Hour },
		"file descriptors":  func(p *Plan) { p.Clients = 1 << 30 },
		"look up host":      func(p *Plan) { p.URL = "http://no-such-host.invalid/" },
		"must be positive,": func(p *Plan) { p.Clients = -1 },
	} {
		p := ok
		change(&p)
		_, err := Run(context.Background(), p)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line that says %q", err, says)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestALedgerThatCannotBeWrittenSpoilsTheRun(t *testing.T) {
	server := metricsServer(t)
	r, err := Run(context.Background(), Plan{URL: server.URL, Metrics: 3, Requests: 10, Ledger: fullDisk{}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict.Valid || !strings.Contains(r.Verdict.Reasons[0], "no space left") {
		t.Errorf("verdict %+v", r.Verdict)
	}
}

// TestLittlesLawNoticesLostTime: a request whose time is recorded wrongly, or
// that is forgotten, shows between the two sides.
func TestLittlesLawNoticesLostTime(t *testing.T) {
	play := func(recorded time.Duration) *record.Record {
		measured := newTally(time.Second)
		measured.open(0)
		const ms = int64(time.Millisecond)
		for i := range int64(1000) {
			measured.start(2 * i * ms)
			measured.end(ending{start: (2*i+1)*ms - int64(recorded), now: (2*i + 1) * ms, class: record.OK})
		}
		return &record.Record{Counts: record.Counts{OK: measured.ok},
			Little: &record.Little{WindowNS: 2000 * ms, InFlightNS: measured.area, RequestsNS: measured.summedTime(0)}}
	}
	if err := play(time.Millisecond).CheckLittle(); err != nil {
		t.Errorf("right times: %v", err)
	}
	if err := play(960 * time.Microsecond).CheckLittle(); err == nil {
		t.Error("times that are 4 % short are not noticed")
	}
}

func TestTimersComeInOrder(t *testing.T) {
	const n = 100
	h := newTimers(n)
	rng := bodyRand(1, 0)
	for range 1000 {
		if id := rng.IntN(n); rng.IntN(4) == 0 {
			h.remove(id)
		} else {
			h.set(id, rng.Int64N(1000))
		}
	}
	last, left := int64(-1), len(h.heap)
	for range left {
		id, due, ok := h.first()
		if !ok || due < last || due != h.due[id] {
			t.Fatalf("timer %d at %d after %d", id, due, last)
		}
		last = due
		h.remove(id)
	}
	if _, _, ok := h.first(); ok || left == 0 {
		t.Fatal("the heap is not what was put in")
	}
}

// TestEndedSeesEachRequest holds what Ended is told against the record: every
// request of the measured time, in the order in which they ended, and who went
// out on a connection that had been used.
func TestEndedSeesEachRequest(t *testing.T) {
	for name, drive := range engines() {
		for _, connection := range []Connection{Keep, New} {
			t.Run(name+"/"+string(connection), func(t *testing.T) {
				var n atomic.Int32
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if n.Add(1)%10 == 0 {
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
					_, _ = io.WriteString(w, good)
				}))
				defer server.Close()
				var got []record.Request
				var ledger bytes.Buffer
				var begun time.Time
				r := runOn(t, context.Background(), drive, Plan{
					URL: server.URL, Metrics: 3, Clients: 2, RequestsPerClient: 25, Warmup: 20 * time.Millisecond,
					Connection: connection, Think: time.Millisecond, Ended: func(q record.Request) { got = append(got, q) },
					Begun: func(at time.Time) { begun = at }, Ledger: &ledger,
				})
				holdLedger(t, got, begun, &ledger)
				byClass, kept := map[record.Class]int64{}, int64(0)
				var last time.Duration
				for _, q := range got {
					byClass[q.Class]++
					if q.Kept {
						kept++
					}
					// One that was due as the measured time began was sent a moment before.
					if q.Sent < -time.Second || q.Ended < q.Sent || q.Ended < last {
						t.Errorf("sent %v, ended %v, after one that ended %v", q.Sent, q.Ended, last)
					}
					last = q.Ended
				}
				if len(got) != 50 || byClass[record.OK] != r.Counts.OK || byClass[record.Status503] != r.Counts.ByClass[record.Status503] {
					t.Errorf("%d requests %v, the record has %+v", len(got), byClass, r.Counts)
				}
				if want := int64(len(got)) - r.Counts.Connects; kept < want || connection == New && kept > 0 {
					t.Errorf("%d of %d on kept connections, %d connections", kept, len(got), r.Counts.Connects)
				}
			})
		}
	}
}

// holdLedger wants the times of requests, counted from where the measured time
// began, to be those of the ledger, which has no such moment.
func holdLedger(t *testing.T, got []record.Request, begun time.Time, ledger io.Reader) {
	t.Helper()
	n := 0
	for b, err := range record.ReadLedger(ledger) {
		switch {
		case err != nil:
			t.Fatal(err)
		case b.Warmup:
			continue
		case n == len(got):
			t.Fatalf("more than %d requests are in the ledger", n)
		}
		if sent := begun.UnixNano() + int64(got[n].Sent); sent != b.SentNS {
			t.Errorf("request %d was sent at %d, by the ledger at %d", n, sent, b.SentNS)
		}
		n++
	}
	if n != len(got) {
		t.Errorf("the ledger has %d requests, want %d", n, len(got))
	}
}
