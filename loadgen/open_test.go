package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mslab/results/record"
)

// logOpen prints what an open loop came to, for who reads a failure.
func logOpen(t *testing.T, r *record.Record) {
	t.Helper()
	t.Logf("sent %d, by class %v, in flight %d, waited %d, connects %d; asked %.1f/s, achieved %.1f/s, send lag %+v; %v",
		r.Counts.Sent, r.Counts.ByClass, r.Counts.InFlight, r.Counts.Waited, r.Counts.Connects,
		r.Load.Rate, r.Load.AchievedRate, r.Client.SendLag, r.Verdict.Reasons)
	t.Logf("response p50 %v p99 %v max %v; service p50 %v p99 %v max %v", time.Duration(r.Latency.P50), time.Duration(r.Latency.P99),
		time.Duration(r.Latency.Max), time.Duration(r.Service.P50), time.Duration(r.Service.P99), time.Duration(r.Service.Max))
}

// playOpen runs a plan until the machine leaves the generator the time that
// its schedule needs; a run that other processes have held up says so itself,
// and is returned where five in a row do. Before another try, again forgets
// what the last one left.
func playOpen(t *testing.T, drive engine, p Plan, again func()) *record.Record {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	for try := 1; ; try++ {
		s, err := newSession(context.Background(), p.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.run(context.Background(), drive)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		if r.Verdict.Valid {
			logOpen(t, r)
			return r
		}
		if reason := strings.Join(r.Verdict.Reasons, "; "); !strings.Contains(reason, "behind its schedule") {
			t.Fatal(reason)
		} else if try == 5 {
			logOpen(t, r)
			return r
		}
		again()
	}
}

// TestSchedules holds each arrival against what it is defined as.
func TestSchedules(t *testing.T) {
	all := func(p Plan) (times []float64) {
		if err := p.validateArrival(); err != nil {
			t.Fatal(err)
		}
		s, again := scheduleOf(&p, false), scheduleOf(&p, false)
		last := int64(0)
		for at, ok := s.next(); ok; at, ok = s.next() {
			if twin, ok := again.next(); !ok || twin != at || at < last {
				t.Fatalf("%s: %d after %d, again %d", p.Arrival, at, last, twin)
			}
			last = at
			times = append(times, float64(at)/1e9)
		}
		return times
	}
	within := func(what string, got, want, by float64) {
		t.Helper()
		if math.Abs(got-want) > by {
			t.Errorf("%s: %v, want %v within %v", what, got, want, by)
		}
	}
	count := func(times []float64, from, to float64) float64 {
		n := 0
		for _, at := range times {
			if from <= at && at < to {
				n++
			}
		}
		return float64(n)
	}

	constant := all(Plan{Arrival: Constant, Rate: 3, Duration: 10 * time.Second})
	within("constant: requests", float64(len(constant)), 30, 0)
	within("constant: the last", constant[29], 29.0/3, 1e-9)
	within("constant, bounded by requests", float64(len(all(Plan{Rate: 0.5, Requests: 7}))), 7, 0)

	const rate, seconds = 1000.0, 100.0
	random := all(Plan{Arrival: Poisson, Rate: rate, Duration: 100 * time.Second, Seed: 7})
	n := rate * seconds
	within("Poisson: requests", float64(len(random)), n, 5*math.Sqrt(n))
	var gaps, squares float64
	for i := 1; i < len(random); i++ {
		gap := random[i] - random[i-1]
		gaps, squares = gaps+gap, squares+gap*gap
	}
	mean := gaps / float64(len(random)-1)
	// The variance of an exponential is the square of its mean; that of its
	// estimate here has a relative standard deviation of sqrt(8/n).
	variance := squares/float64(len(random)-1) - mean*mean
	within("Poisson: variance of the gaps over the mean's square", variance/(mean*mean), 1, 5*math.Sqrt(8/n))
	// In seconds the counts are Poisson too: as much variance as mean.
	var counts []float64
	for s := range int(seconds) {
		counts = append(counts, count(random, float64(s), float64(s+1)))
	}
	spread := 0.0
	for _, c := range counts {
		spread += (c - rate) * (c - rate) / seconds
	}
	within("Poisson: index of dispersion", spread/rate, 1, 5*math.Sqrt(2/seconds))
	if slices.Equal(random, all(Plan{Arrival: Poisson, Rate: rate, Duration: 100 * time.Second, Seed: 8})) {
		t.Error("Poisson: two seeds give one schedule")
	}

	up := all(Plan{Arrival: Ramp, Rates: []float64{100, 500}, Duration: 10 * time.Second})
	within("ramp: requests", float64(len(up)), 3000, 1)
	within("ramp: requests of the first half", count(up, 0, 5), 1000, 1)
	within("ramp: gap at the end", up[len(up)-1]-up[len(up)-2], 1.0/500, 1e-5)
	down := all(Plan{Arrival: Ramp, Rates: []float64{400, 0}, Duration: 10 * time.Second})
	within("ramp to 0: requests", float64(len(down)), 2000, 1)
	within("ramp to 0: requests of the first half", count(down, 0, 5), 1500, 1)
	within("ramp from 0: requests", float64(len(all(Plan{Arrival: Ramp, Rates: []float64{0, 400}, Duration: 10 * time.Second}))), 2000, 1)
	within("level ramp: requests", float64(len(all(Plan{Arrival: Ramp, Rates: []float64{70, 70}, Duration: 10 * time.Second}))), 700, 1)

	stairs := all(Plan{Arrival: Steps, Rates: []float64{10, 50, 20}, Duration: 3 * time.Second})
	for i, want := range []float64{10, 50, 20} {
		within(fmt.Sprintf("step %d: requests", i), count(stairs, float64(i), float64(i+1)), want, 0)
	}
	replayed := all(Plan{Arrival: Replay, Replay: []time.Duration{0, 1e6, 1e6, 5e8}})
	if !slices.Equal(replayed, []float64{0, 0.001, 0.001, 0.5}) {
		t.Errorf("replay: %v", replayed)
	}
}

// TestOpenLoopKeepsItsSchedule: every arrival, in both engines, against a
// server that notes when requests come.
func TestOpenLoopKeepsItsSchedule(t *testing.T) {
	var recorded []time.Duration
	for i := range 200 {
		recorded = append(recorded, time.Duration(i/10)*20*time.Millisecond) // ten at a time
	}
	for name, p := range map[string]Plan{
		"constant":    {Rate: 500, Duration: 400 * time.Millisecond},
		"requests":    {Rate: 500, Requests: 200},
		"new":         {Rate: 500, Requests: 200, Connection: New, SpreadSources: true},
		"poisson":     {Rate: 500, Requests: 200, Arrival: Poisson},
		"ramp":        {Rates: []float64{100, 900}, Arrival: Ramp, Duration: 400 * time.Millisecond},
		"steps":       {Rates: []float64{300, 700}, Arrival: Steps, Duration: 400 * time.Millisecond},
		"replay":      {Replay: recorded, Arrival: Replay},
		"with warmup": {Rate: 500, Requests: 200, Warmup: 100 * time.Millisecond},
	} {
		for engine, drive := range engines() {
			t.Run(name+"/"+engine, func(t *testing.T) {
				server := metricsServer(t)
				p := p
				p.URL, p.Metrics, p.Clients = server.URL, 3, 4
				var ended []record.Request
				p.Ended = func(q record.Request) { ended = append(ended, q) }
				r := playOpen(t, drive, p, func() { ended = nil })
				c := r.Counts
				if c.OK != 200 || c.Sent != 200 || c.Starved != 0 {
					t.Errorf("counts %+v", c)
				}
				if r.Latency.Kind != "response" || r.Service.Kind != "service" || r.Service.Count != 200 || r.Client.SendLag == nil {
					t.Errorf("latency %q, service %+v, send lag %v", r.Latency.Kind, r.Service, r.Client.SendLag)
				}
				if r.Load.Rate < 400 || r.Load.Rate > 650 || r.Verdict.Valid && math.Abs(r.Load.AchievedRate/r.Load.Rate-1) > 0.2 {
					t.Errorf("load %+v", r.Load)
				}
				if r.Latency.Max < r.Service.Max {
					t.Errorf("response time max %d, service time max %d", r.Latency.Max, r.Service.Max)
				}
				plan := p.withDefaults()
				s := scheduleOf(&plan, false)
				slices.SortFunc(ended, func(a, b record.Request) int { return int(a.Sent - b.Sent) })
				for i, q := range ended {
					if at, ok := s.next(); !ok || q.Sent != time.Duration(at) {
						t.Fatalf("request %d was due at %v, by the schedule at %v", i, q.Sent, time.Duration(at))
					}
				}
				if p.Connection == New && c.Connects != 200 || p.Connection != New && r.Verdict.Valid && c.Connects > 100 {
					t.Errorf("%d connections", c.Connects)
				}
			})
		}
	}
}

// TestOpenLoopOpensConnections: a server that takes 50 ms for each request
// needs R x 50 ms connections; all requests go out in time, and the surplus is
// closed once it is idle.
func TestOpenLoopOpensConnections(t *testing.T) {
	for engine, drive := range engines() {
		t.Run(engine, func(t *testing.T) {
			var mu sync.Mutex
			open, most := 0, 0
			url := awkward(t, func(p *peer) {
				mu.Lock()
				open++
				most = max(most, open)
				mu.Unlock()
				defer func() { mu.Lock(); open--; mu.Unlock() }()
				for p.request() {
					time.Sleep(50 * time.Millisecond)
					p.say(plain)
				}
			})
			left := 0
			r := playOpen(t, drive, Plan{URL: url, Metrics: 3, Clients: 2, Arrival: Steps, Rates: []float64{400, 10, 10, 10, 10, 10},
				Duration: 3 * time.Second, Ended: func(q record.Request) {
					if q.Sent > 2800*time.Millisecond {
						mu.Lock()
						left = open
						mu.Unlock()
					}
				}}, func() {})
			if r.Counts.OK != r.Counts.Sent || r.Counts.Waited != 0 {
				t.Errorf("counts %+v", r.Counts)
			}
			if most < 18 || most > 400 {
				t.Errorf("%d connections at once, want about 400/s x 50 ms = 20", most)
			}
			if left > 6 {
				t.Errorf("%d connections are still open at 10/s, want about 2", left)
			}
		})
	}
}

// TestOpenLoopSheds: where no further connection may be opened, requests wait
// and are shed at their timeout, no sooner, and count at it.
func TestOpenLoopSheds(t *testing.T) {
	const timeout = 200 * time.Millisecond
	for engine, drive := range engines() {
		t.Run(engine, func(t *testing.T) {
			url, seen := counting(t, func(p *peer) { p.request(); p.untilClosed() })
			var ended []record.Request
			var ledger bytes.Buffer
			var bursts []time.Duration
			for i := range 200 {
				bursts = append(bursts, time.Duration(i/50)*250*time.Millisecond)
			}
			r := playOpen(t, drive, Plan{URL: url, Metrics: 3, Clients: 2, MaxConnections: 4, Arrival: Replay, Replay: bursts,
				Timeout: timeout, Ended: func(q record.Request) { ended = append(ended, q) }, Ledger: &ledger},
				func() { ended = nil; ledger.Reset(); seen.Store(0) })
			// Of each burst of 50 four get a connection.
			c := r.Counts
			if c.Sent != 200 || c.InFlight != 0 || c.ByClass[record.ReadTimeout] != 16 || c.ByClass[record.Shed] != 184 {
				t.Errorf("counts %+v", c)
			}
			if c.Waited < c.ByClass[record.Shed] || seen.Load() > c.ByClass[record.ReadTimeout] {
				t.Errorf("%d waited, the server saw %d", c.Waited, seen.Load())
			}
			if l := r.Latency.ByClass[record.Shed]; l == nil || l.P50 < int64(timeout)*999/1000 || l.Max > int64(timeout)*1001/1000 {
				t.Errorf("shed at %+v, want %v", l, timeout)
			}
			for _, q := range ended {
				if q.Ended-q.Sent < timeout || q.Class == record.Shed && q.Ended-q.Sent != timeout {
					t.Fatalf("due %v, ended %v as %s", q.Sent, q.Ended, q.Class)
				}
			}
			failed := int64(0)
			for b, err := range record.ReadLedger(&ledger) {
				if err != nil {
					t.Fatal(err)
				}
				if b.Outcome == record.BatchFailed {
					failed++
				}
			}
			if failed < c.ByClass[record.Shed] {
				t.Errorf("%d batches failed by the ledger, %d were shed", failed, c.ByClass[record.Shed])
			}
		})
	}
}

// TestLateRequestsWait: what the generator notices only after the schedule's
// end finds its connections busy like any other.
func TestLateRequestsWait(t *testing.T) {
	url := awkward(t, func(p *peer) {
		p.request()
		p.say(plain)
		for p.request() { // unanswered
		}
	})
	var once sync.Once
	r, err := Run(context.Background(), Plan{URL: url, Metrics: 3, Clients: 1, MaxConnections: 1, Rate: 100,
		Duration: 200 * time.Millisecond, Timeout: 300 * time.Millisecond,
		Ended: func(record.Request) { once.Do(func() { time.Sleep(250 * time.Millisecond) }) }})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Counts; c.Sent != 20 || c.Waited < 15 {
		t.Errorf("counts %+v: nearly all of 20 should have waited for the one connection", c)
	}
}

// TestOpenLoopRefused: a dead server is refused at the rate asked for.
func TestOpenLoopRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	for engine, drive := range engines() {
		t.Run(engine, func(t *testing.T) {
			r := playOpen(t, drive, Plan{URL: server.URL, Rate: 200, Duration: 500 * time.Millisecond}, func() {})
			if r.Counts.ByClass[record.ConnectRefused] != 100 || r.Counts.Connects != 0 {
				t.Errorf("counts %+v", r.Counts)
			}
		})
	}
}

// TestOpenLoopConformance: each awkward server classes the requests of an open
// loop as those of a closed one.
func TestOpenLoopConformance(t *testing.T) {
	for engine, drive := range engines() {
		for _, c := range conformance {
			t.Run(engine+"/"+c.name, func(t *testing.T) {
				url, seen := counting(t, c.serve)
				p := Plan{URL: url, Metrics: 3, Clients: 1, Requests: 10, Rate: 1000, Timeout: 5 * time.Second}
				if c.want[record.ReadTimeout] > 0 {
					p.Timeout = 200 * time.Millisecond
				}
				if c.want == nil {
					c.want = tenOf(record.OK)
					p.Rate = 50 // pauses, in which a close arrives
				}
				r := playOpen(t, drive, p, func() { seen.Store(0) })
				got := r.Counts
				for class, n := range c.want {
					// A connection that the server is about to close, unannounced, may
					// have taken the next request.
					if got.ByClass[class] < n*8/10 && class != record.ReadTimeout || got.ByClass[class] == 0 {
						t.Errorf("by class %v, want %v", got.ByClass, c.want)
					}
				}
				if n := seen.Load(); got.Sent != 10 || n < got.OK || n > got.Sent {
					t.Errorf("sent %d, ok %d, the server took %d", got.Sent, got.OK, n)
				}
			})
		}
	}
}

// TestOpenLoopInterrupted: what is due and waits, or is in flight, stays so.
func TestOpenLoopInterrupted(t *testing.T) {
	for engine, drive := range engines() {
		t.Run(engine, func(t *testing.T) {
			url := awkward(t, func(p *peer) { p.request(); p.untilClosed() })
			ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
			defer cancel()
			began := time.Now()
			r := runOn(t, ctx, drive, Plan{URL: url, Metrics: 3, Clients: 2, MaxConnections: 3, Rate: 100, Duration: time.Minute})
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("stopped after %v", took)
			}
			logOpen(t, r)
			if c := r.Counts; !r.Incomplete || c.InFlight != c.Sent || c.Sent < 20 || c.Sent > 45 || c.Waited != c.Sent-3 {
				t.Errorf("incomplete %v, counts %+v", r.Incomplete, c)
			}
		})
	}
}

// TestGeneratorBehindItsSchedule: a rate that the generator cannot keep makes
// the run invalid, and blames it.
func TestGeneratorBehindItsSchedule(t *testing.T) {
	server := metricsServer(t)
	if !rawSupported {
		t.Skip("the net engine's limit is that of the machine")
	}
	// The callback holds up the generator once, as a busy machine would.
	var once sync.Once
	r, err := Run(context.Background(), Plan{URL: server.URL, Metrics: 3, Rate: 1000, Duration: 500 * time.Millisecond,
		Ended: func(record.Request) { once.Do(func() { time.Sleep(300 * time.Millisecond) }) }})
	if err != nil {
		t.Fatal(err)
	}
	logOpen(t, r)
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	if r.Verdict.Valid || !strings.Contains(strings.Join(r.Verdict.Reasons, " "), "behind its schedule") || r.Counts.Sent != 500 {
		t.Errorf("sent %d, verdict %+v", r.Counts.Sent, r.Verdict)
	}
	if r.Client.SendLag.Max < int64(250*time.Millisecond) {
		t.Errorf("send lag %+v, want that of the hold-up in it", r.Client.SendLag)
	}
}

func TestOpenLoopsThatCannotRun(t *testing.T) {
	ok := Plan{URL: "http://127.0.0.1:1/", Rate: 10, Requests: 1}
	for says, change := range map[string]func(*Plan){
		"over 1000000":     func(p *Plan) { p.Rate = 1e12 },
		"above 0":          func(p *Plan) { p.Rate = -1 },
		"one a year":       func(p *Plan) { p.Rate, p.Requests, p.Duration = 1e-10, 0, time.Second },
		"not NaN":          func(p *Plan) { p.Rate = math.NaN() },
		"over 1000000 req": func(p *Plan) { p.Rate = math.Inf(1) },
		"unknown arrival":  func(p *Plan) { p.Arrival = "never" },
		"think time":       func(p *Plan) { p.Think = 1 },
		"per client":       func(p *Plan) { p.Requests, p.RequestsPerClient = 0, 1 },
		"fewer than":       func(p *Plan) { p.Clients, p.MaxConnections = 10, 5 },
		"must be positive": func(p *Plan) { p.MaxConnections = -1 },
		"two rates":        func(p *Plan) { p.Arrival, p.Rate, p.Rates = Ramp, 0, []float64{1} },
		"spread over":      func(p *Plan) { p.Arrival, p.Rate, p.Rates = Steps, 0, []float64{1, 2} },
		"needs a rate":     func(p *Plan) { p.Rate, p.Arrival = 0, Poisson },
		"a rate must be above 0 requests/s": func(p *Plan) {
			p.Arrival, p.Rate, p.Rates, p.Requests, p.Duration = Ramp, 0, []float64{0, 0}, 0, time.Second
		},
		"needs the times":  func(p *Plan) { p.Arrival, p.Rate = Replay, 0 },
		"has no rate":      func(p *Plan) { p.Arrival, p.Replay = Replay, []time.Duration{1} },
		"lies before":      func(p *Plan) { p.Arrival, p.Rate, p.Replay = Replay, 0, []time.Duration{2, 1} },
		"decimal point":    func(p *Plan) { p.Arrival, p.Rate, p.Replay = Replay, 0, []time.Duration{1, 2, 3} },
		"no warm-up":       func(p *Plan) { p.Arrival, p.Rate, p.Warmup, p.Replay = Replay, 0, 1, []time.Duration{1} },
		"file descriptors": func(p *Plan) { p.MaxConnections = 1 << 30 },
		"need the arrival": func(p *Plan) { p.Replay = []time.Duration{1} },
		"open loop; give":  func(p *Plan) { p.Rate, p.MaxConnections = 0, 5 },
	} {
		p := ok
		change(&p)
		_, err := Run(context.Background(), p)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line that says %q", err, says)
		}
	}
}

func TestParseReplay(t *testing.T) {
	times, err := ParseReplay(strings.NewReader("# recorded\n0\n0.5\n\n1e0\n"))
	if err != nil || !slices.Equal(times, []time.Duration{0, 5e8, 1e9}) {
		t.Errorf("%v, %v", times, err)
	}
	times, err = ParseReplay(strings.NewReader("0\r\n500\r\n1000000000"))
	if err != nil || !slices.Equal(times, []time.Duration{0, 500, 1e9}) {
		t.Errorf("%v, %v", times, err)
	}
	for file, says := range map[string]string{
		"":                       "no times",
		"#\n":                    "no times",
		"1\nx\n":                 "line 2: \"x\" is no number",
		"2\n\n1\n":               "line 3: 1 lies before",
		"-1\n":                   "line 1: -1 is not a time",
		"0.1\nNaN\n":             "line 2: NaN is not a time",
		"0.1\n+Inf\n":            "over a year",
		"1795000000.123\n":       "over a year",
		strings.Repeat("1", 1e5): "line 1: ",
		"\x00\x01":               "line 1: ",
	} {
		_, err := ParseReplay(strings.NewReader(file))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.20q: %v, want one line that says %q", file, err, says)
		}
	}
}
