package loadgen

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"mslab/results/record"
)

// TestExponentialPauses holds the draws against what the distribution has: its
// standard deviation is its mean, 63.2 % are below it, and the seed makes them.
func TestExponentialPauses(t *testing.T) {
	const mean, n = 3 * time.Millisecond, 200_000
	p := Plan{Think: mean, ThinkDistribution: ExponentialThink, Seed: 7}
	one, two := newThinker(&p), newThinker(&p)
	var sum, squares float64
	below := 0
	for range n {
		d := one.next()
		if d != two.next() {
			t.Fatal("two thinkers of one seed draw unlike pauses")
		}
		if d < 0 || d > 37*mean {
			t.Fatalf("a pause of %v with a mean of %v", d, mean)
		}
		if d < mean {
			below++
		}
		sum += float64(d)
		squares += float64(d) * float64(d)
	}
	got := sum / n
	deviation := math.Sqrt(squares/n - got*got)
	// Five standard errors: 1.1 % of the mean, 1.6 % of the deviation, 0.5 % of all.
	if math.Abs(got/float64(mean)-1) > 0.011 || math.Abs(deviation/float64(mean)-1) > 0.016 || math.Abs(float64(below)/n-0.632) > 0.0054 {
		t.Errorf("mean %v, standard deviation %v, %d of %d below; want those of an exponential one of %v", time.Duration(got), time.Duration(deviation), below, n, mean)
	}
	p.Seed = 8
	other := newThinker(&p)
	if other.next() == func() time.Duration { p.Seed = 7; a := newThinker(&p); return a.next() }() {
		t.Error("two seeds draw the same pause")
	}
}

// TestEnginesDrawPauses wants pauses of a load to vary, in both engines, and its
// record to say so.
func TestEnginesDrawPauses(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, good)
	}))
	defer server.Close()
	for name, drive := range engines() {
		var ledger bytes.Buffer
		r := runOn(t, context.Background(), drive, Plan{URL: server.URL, Metrics: 3, Clients: 1, Requests: 300,
			Think: 4 * time.Millisecond, ThinkDistribution: ExponentialThink, Ledger: &ledger})
		var last int64
		short, long := 0, 0
		for b, err := range record.ReadLedger(&ledger) {
			if err != nil {
				t.Fatal(err)
			}
			switch gap := time.Duration(b.SentNS - last); {
			case last == 0:
			case gap < 2*time.Millisecond: // 39 % of them, if nothing is late
				short++
			case gap > 8*time.Millisecond: // 14 %
				long++
			}
			last = b.AnsweredNS
		}
		if short < 50 || long < 15 || r.Load.ThinkDistribution != "exponential" || r.Counts.OK != 300 {
			t.Errorf("%s: of 299 pauses %d are short and %d long; load %+v", name, short, long, r.Load)
		}
	}
}

// carriedServer counts what each connection carries.
type carriedServer struct {
	mu     sync.Mutex
	all    map[string]int // by address
	closes map[string]int // how many had been carried when the end was asked for, that one too
	late   int            // requests after that
	ids    map[string]bool
}

func (s *carriedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closes[r.RemoteAddr] > 0 {
		s.late++
	}
	s.all[r.RemoteAddr]++
	if r.Close {
		s.closes[r.RemoteAddr] = s.all[r.RemoteAddr]
	}
	s.ids[r.Header.Get("X-Correlation-ID")] = true
	_, _ = io.WriteString(w, good)
}

// TestRequestsPerConnection wants connections to end after so many requests, by
// the server's hand.
func TestRequestsPerConnection(t *testing.T) {
	for name, drive := range engines() {
		for loop, plan := range map[string]Plan{
			"closed": {Clients: 2, RequestsPerClient: 10},
			"open":   {Clients: 1, MaxConnections: 1, Requests: 20, Rate: 2000},
		} {
			s := &carriedServer{all: map[string]int{}, closes: map[string]int{}, ids: map[string]bool{}}
			server := httptest.NewServer(s)
			plan.URL, plan.Metrics, plan.RequestsPerConnection, plan.Ledger = server.URL, 3, 3, io.Discard
			r := runOn(t, context.Background(), drive, plan)
			server.Close()
			sum, ended := 0, 0
			for address, n := range s.all {
				sum += n
				if n > 3 {
					t.Errorf("%s, %s: a connection carried %d requests", name, loop, n)
				}
				if s.closes[address] > 0 {
					ended++
					if s.closes[address] != 3 {
						t.Errorf("%s, %s: the end was asked for with request %d", name, loop, s.closes[address])
					}
				}
			}
			connections := map[string]int{"closed": 8, "open": 7}[loop] // 3, 3, 3, 1 each; and six times 3, and 2
			if sum != 20 || ended != 6 || s.late != 0 || len(s.all) != connections || len(s.ids) != 20 {
				t.Errorf("%s, %s: %d requests, %d late, of %d ids over %d connections, %d ended; want 20, 0, 20, %d, 6", name, loop, sum, s.late, len(s.ids), len(s.all), ended, connections)
			}
			if r.Counts.OK != 20 || r.Counts.Connects != int64(connections) || r.Load.RequestsPerConnection != 3 {
				t.Errorf("%s, %s: counts %+v, load %+v", name, loop, r.Counts, r.Load)
			}
		}
	}
}
