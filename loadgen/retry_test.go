package loadgen

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"mslab/results/record"
)

// flaky answers the attempts at a request, told by their IDs, one after the other as
// its list says, the last for all further ones; 0 is no answer.
type flaky struct {
	statuses []int
	mu       sync.Mutex
	seen     map[string]int
	bodies   map[string]string
	unlike   int // attempts whose body or client is not that of the first
	closed   int
}

func newFlaky(statuses ...int) *flaky {
	return &flaky{statuses: statuses, seen: map[string]int{}, bodies: map[string]string{}}
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	id, what := r.Header.Get("X-Correlation-ID"), r.Header.Get("Authorization")+string(body)
	f.mu.Lock()
	n := f.seen[id]
	f.seen[id]++
	if n == 0 {
		f.bodies[id] = what
	} else if f.bodies[id] != what {
		f.unlike++
	}
	if r.Close {
		f.closed++
	}
	f.mu.Unlock()
	status := f.statuses[min(n, len(f.statuses)-1)]
	if status == 0 {
		<-r.Context().Done()
		return
	}
	w.WriteHeader(status)
	if status == http.StatusOK {
		_, _ = io.WriteString(w, good)
	}
}

func ledgerOutcomes(t *testing.T, ledger io.Reader) map[record.Outcome]int {
	t.Helper()
	outcomes := map[record.Outcome]int{}
	for b, err := range record.ReadLedger(ledger) {
		if err != nil {
			t.Fatal(err)
		}
		outcomes[b.Outcome]++
	}
	return outcomes
}

// burst is an open loop's schedule that no machine is too busy to keep: all requests
// come due at once.
func burst(requests int) []time.Duration { return make([]time.Duration, requests) }

// retryLoops are loads of 60 requests, in both kinds of loop.
func retryLoops() map[string]Plan {
	return map[string]Plan{
		"closed":        {Clients: 3, Requests: 60},
		"closed, each":  {Clients: 3, RequestsPerClient: 20},
		"closed, new":   {Clients: 3, Requests: 60, Connection: New},
		"closed, short": {Clients: 3, Requests: 60, RequestsPerConnection: 4, ClientIDs: 1000},
		"open":          {Clients: 3, MaxConnections: 8, Arrival: Replay, Replay: burst(60)},
		"open, new":     {Clients: 3, MaxConnections: 8, Arrival: Replay, Replay: burst(60), Connection: New},
		"open, short":   {Clients: 3, MaxConnections: 8, Arrival: Replay, Replay: burst(60), RequestsPerConnection: 4, ClientIDs: 1000},
	}
}

// TestRetriesRepeatTheRequest wants each request to be sent until it succeeds, with
// one ID, client and body, each attempt to count, and the ledger to tell the end.
func TestRetriesRepeatTheRequest(t *testing.T) {
	for name, drive := range engines() {
		for loop, plan := range retryLoops() {
			f := newFlaky(503, 503, 200)
			server := httptest.NewServer(f)
			var ledger bytes.Buffer
			plan.URL, plan.Metrics, plan.Ledger = server.URL, 3, &ledger
			plan.Retry = Retry{Max: 5, Backoff: 2 * time.Millisecond}
			r := runOn(t, context.Background(), drive, plan)
			server.Close()
			c := r.Counts
			if c.OK != 60 || c.Sent != 180 || c.Retries != 120 || c.Exhausted != 0 || c.ByClass[record.Status503] != 120 || c.InFlight != 0 || !r.Verdict.Valid {
				t.Errorf("%s, %s: counts %+v, verdict %+v", name, loop, c, r.Verdict)
			}
			if len(f.seen) != 60 || f.unlike != 0 {
				t.Errorf("%s, %s: the server saw %d ids, and %d attempts unlike their first", name, loop, len(f.seen), f.unlike)
			}
			if plan.RequestsPerConnection > 0 && f.closed == 0 {
				t.Errorf("%s, %s: no connection ended", name, loop)
			}
			if got := ledgerOutcomes(t, &ledger); got[record.BatchOK] != 60 || len(got) != 1 {
				t.Errorf("%s, %s: the ledger says %v, want 60 ok", name, loop, got)
			}
		}
	}
}

// TestRetriesEnd wants a request that fails always to be sent once and Max times
// more, but not where its class is not asked for, and not after the load's end.
func TestRetriesEnd(t *testing.T) {
	for name, drive := range engines() {
		for _, c := range []struct {
			what                     string
			status                   int
			on                       string
			sent, retried, exhausted int64
		}{
			{"always 503", 503, "503", 240, 180, 60},
			{"400 when 503 is asked for", 400, "503", 60, 0, 0},
			{"400 with any", 400, "any", 240, 180, 60},
		} {
			for loop, plan := range retryLoops() {
				server := httptest.NewServer(newFlaky(c.status))
				on, err := ParseRetryOn(c.on)
				if err != nil {
					t.Fatal(err)
				}
				var ledger bytes.Buffer
				plan.URL, plan.Metrics, plan.Ledger, plan.Retry = server.URL, 3, &ledger, Retry{Max: 3, On: on}
				r := runOn(t, context.Background(), drive, plan)
				server.Close()
				if n := r.Counts; n.Sent != c.sent || n.Failed != c.sent || n.Retries != c.retried || n.Exhausted != c.exhausted {
					t.Errorf("%s, %s, %s: counts %+v", name, loop, c.what, n)
				}
				if got := ledgerOutcomes(t, &ledger); got[record.BatchFailed] != 60 || len(got) != 1 {
					t.Errorf("%s, %s, %s: the ledger says %v, want 60 failed", name, loop, c.what, got)
				}
			}
		}
		for loop, plan := range map[string]Plan{"closed": {Clients: 4}, "open": {Clients: 4, MaxConnections: 4, Arrival: Replay, Replay: burst(40)}} {
			server := httptest.NewServer(newFlaky(503))
			var ledger bytes.Buffer
			plan.URL, plan.Metrics, plan.Ledger = server.URL, 3, &ledger
			plan.Timeout, plan.Duration, plan.Retry = 10*time.Second, 500*time.Millisecond, Retry{Max: 3, Backoff: time.Hour}
			began := time.Now()
			r := runOn(t, context.Background(), drive, plan)
			server.Close()
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s, %s: took %v, though no retry was due in time", name, loop, took)
			}
			// In an open loop those that waited for a connection go out after the end.
			sent := map[string]int64{"closed": 4, "open": 40}[loop]
			if got := ledgerOutcomes(t, &ledger); r.Counts.Retries != 0 || r.Counts.Sent != sent || int64(got[record.BatchFailed]) != sent {
				t.Errorf("%s, %s: counts %+v, the ledger says %v, want %d requests that were sent once", name, loop, r.Counts, got, sent)
			}
		}
	}
}

// TestRetriesKeepTheDoubt wants a request whose first attempt may have been done to
// stay in doubt when the next is refused, and the server's silence to be retried.
func TestRetriesKeepTheDoubt(t *testing.T) {
	for name, drive := range engines() {
		for loop, plan := range map[string]Plan{"closed": {Clients: 2, Requests: 4}, "open": {Clients: 2, MaxConnections: 4, Arrival: Replay, Replay: burst(4)}} {
			f := newFlaky(0, 400)
			server := httptest.NewServer(f)
			var ledger bytes.Buffer
			plan.URL, plan.Metrics, plan.Ledger = server.URL, 3, &ledger
			plan.Timeout, plan.Retry = 200*time.Millisecond, Retry{Max: 1, Backoff: time.Millisecond}
			r := runOn(t, context.Background(), drive, plan)
			server.Close()
			if c := r.Counts; c.Sent != 8 || c.Retries != 4 || c.Exhausted != 0 || c.ByClass[record.ReadTimeout] != 4 || c.ByClass[record.Status4xx] != 4 {
				t.Errorf("%s, %s: counts %+v", name, loop, c)
			}
			if got := ledgerOutcomes(t, &ledger); got[record.BatchInDoubt] != 4 || len(got) != 1 {
				t.Errorf("%s, %s: the ledger says %v, want 4 in doubt", name, loop, got)
			}
		}
	}
}

// TestRetriesAreInterrupted wants an interruption to end pauses at once, with a
// line in the ledger for each request.
func TestRetriesAreInterrupted(t *testing.T) {
	for name, drive := range engines() {
		for loop, plan := range map[string]Plan{"closed": {Clients: 4, Requests: 4}, "open": {Clients: 4, Arrival: Replay, Replay: burst(4)}} {
			f := newFlaky(503)
			server := httptest.NewServer(f)
			var ledger bytes.Buffer
			plan.URL, plan.Metrics, plan.Ledger, plan.Retry = server.URL, 3, &ledger, Retry{Max: 3, Backoff: time.Hour}
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			began := time.Now()
			r := runOn(t, ctx, drive, plan)
			cancel()
			server.Close()
			if took := time.Since(began); took > 10*time.Second || !r.Incomplete {
				t.Errorf("%s, %s: took %v, incomplete %v", name, loop, took, r.Incomplete)
			}
			if got := ledgerOutcomes(t, &ledger); got[record.BatchFailed] != 4 {
				t.Errorf("%s, %s: the ledger says %v, want 4 failed", name, loop, got)
			}
		}
	}
}

// TestRetryPauses wants them spread evenly below a bound that doubles up to its end.
func TestRetryPauses(t *testing.T) {
	r := newRetries(&Plan{Seed: 3, Retry: Retry{Max: MaxRetries, Backoff: 100 * time.Millisecond}})
	for n, longest := range map[int]time.Duration{1: 100 * time.Millisecond, 3: 400 * time.Millisecond, 8: longestBackoff, MaxRetries: longestBackoff} {
		var sum time.Duration
		const draws = 20_000
		for range draws {
			d := r.pause(n)
			if d < 0 || d > longest {
				t.Fatalf("a pause of %v before retry %d, want at most %v", d, n, longest)
			}
			sum += d
		}
		// Five standard errors of an even spread: 0.29 / sqrt(20,000) x 5 = 1 %.
		if mean := sum / draws; mean < longest*49/100 || mean > longest*51/100 {
			t.Errorf("pauses before retry %d are %v on average, want half of %v", n, mean, longest)
		}
	}
	r.Backoff = time.Hour
	if d := r.pause(5); d > time.Hour {
		t.Errorf("a backoff of an hour became %v", d)
	}
	r.Backoff = 0
	if d := r.pause(5); d != 0 {
		t.Errorf("no backoff became %v", d)
	}
}

// TestRetriesBoundTheCopies refuses a body that would take all memory, since each
// connection needs its own; without IDs connections share it.
func TestRetriesBoundTheCopies(t *testing.T) {
	plan := Plan{URL: "http://127.0.0.1:1/", Clients: 60, Requests: 1, Body: make([]byte, 10<<20)}
	for retries, refused := range map[int]bool{0: false, 1: false} {
		plan.Retry.Max = retries
		if err := checkCopies(plan.withDefaults()); (err != nil) != refused {
			t.Errorf("600 MiB with %d retries: %v", retries, err)
		}
	}
	plan.Clients = 200
	for retries, refused := range map[int]bool{0: false, 1: true} {
		plan.Retry.Max = retries
		if err := checkCopies(plan.withDefaults()); (err != nil) != refused {
			t.Errorf("2,000 MiB with %d retries: %v", retries, err)
		}
	}
	plan.Clients, plan.RequestsPerConnection, plan.Retry.Max = 60, 2, 1
	if checkCopies(plan.withDefaults()) == nil {
		t.Error("twice 600 MiB are taken, where connections end")
	}
}

func TestParseRetryOn(t *testing.T) {
	on, err := ParseRetryOn("503, timeout,503,reset")
	want := []record.Class{record.Status503, record.ConnectTimeout, record.ReadTimeout, record.Reset}
	if err != nil || !slices.Equal(on, want) {
		t.Errorf("got %v (%v), want %v", on, err, want)
	}
	if on, err = ParseRetryOn("any"); err != nil || slices.Contains(on, record.OK) || slices.Contains(on, record.Shed) || len(on) != len(record.Classes)-2 {
		t.Errorf("any is %v (%v)", on, err)
	}
	for _, bad := range []string{"", "ok", "shed", "teapot", "503,,timeout"} {
		if _, err := ParseRetryOn(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
