package loadgen

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"mslab/results/record"
)

// TestGlancesAreOfTheirOwnTime plays a server that fails each fourth request, and
// adds up what glances say of 100 ms each.
func TestGlancesAreOfTheirOwnTime(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n.Add(1)%4 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, good)
	}))
	defer server.Close()
	for name, drive := range map[string]engine{"raw": driveRawOrSkip(t), "net": driveNet} {
		t.Run(name, func(t *testing.T) {
			var glances []Progress
			const every = 100 * time.Millisecond
			plan := Plan{URL: server.URL, Metrics: 3, Clients: 4, Duration: 1050 * time.Millisecond, Think: time.Millisecond,
				Progress: func(p Progress) { glances = append(glances, p) }, ProgressEvery: every}
			if err := plan.Validate(); err != nil {
				t.Fatal(err)
			}
			s, err := newSession(context.Background(), plan.withDefaults())
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.run(context.Background(), drive)
			if err != nil {
				t.Fatal(err)
			}
			if len(glances) < 5 || len(glances) > 11 { // a busy machine leaves some out
				t.Fatalf("%d glances in 1.05 s, want one each 100 ms", len(glances))
			}
			var before Progress
			for i, g := range glances {
				if g.OK < before.OK || g.Failed < before.Failed || g.Elapsed <= before.Elapsed {
					t.Errorf("glance %d goes back: %+v after %+v", i, g, before)
				}
				if got := g.ByClass[record.Status503]; got != g.Failed || len(g.ByClass) > 1 {
					t.Errorf("glance %d: %d failed, by class %v", i, g.Failed, g.ByClass)
				}
				if whole := g.Elapsed - before.Elapsed; i > 0 && g.OK > before.OK {
					want := float64(g.OK-before.OK) / whole.Seconds()
					if g.RPS < want*0.99 || g.RPS > want*1.01 {
						t.Errorf("glance %d: %v requests/s, the counts say %v", i, g.RPS, want)
					}
					if g.P50 <= 0 || g.P99 < g.P50 || g.P99 > time.Duration(float64(r.Latency.Max)*1.02) {
						t.Errorf("glance %d: p50 %v, p99 %v, longest of all %v", i, g.P50, g.P99, time.Duration(r.Latency.Max))
					}
				}
				if whole := g.Elapsed >= time.Second; whole != (g.Second.OK > 0) {
					t.Errorf("glance %d at %v: the last whole second is %+v", i, g.Elapsed, g.Second)
				}
				before = g
			}
			if last := glances[len(glances)-1]; last.OK > r.Counts.OK || last.Failed > r.Counts.Failed || last.OK == 0 || last.Failed == 0 {
				t.Errorf("the last glance says %+v, the record %+v", last, r.Counts)
			}
		})
	}
}

func driveRawOrSkip(t *testing.T) engine {
	t.Helper()
	if !rawSupported {
		return driveNet
	}
	return driveRaw
}

// TestQuietGlance is one in which nothing ended.
func TestQuietGlance(t *testing.T) {
	y := watchedTally()
	y.open(0)
	y.start(0)
	y.end(ending{start: 0, now: 5e6, class: record.OK})
	if p := y.progress(1e8); p.RPS != 10 || p.P99 < 4950*time.Microsecond || p.P99 > 5050*time.Microsecond {
		t.Errorf("one request of 5 ms in 100 ms: %+v", p)
	}
	if p := y.progress(2e8); p.RPS != 0 || p.P99 != 0 || p.OK != 1 {
		t.Errorf("nothing in 100 ms: %+v", p)
	}
}

func TestProgressEveryIsChecked(t *testing.T) {
	for every, valid := range map[time.Duration]bool{0: true, 10 * time.Millisecond: true, time.Minute: true, -1: false, time.Millisecond: false} {
		p := Plan{URL: "http://127.0.0.1:1/", Requests: 1, ProgressEvery: every}
		if err := p.Validate(); (err == nil) != valid {
			t.Errorf("a glance every %v: %v", every, err)
		}
	}
}

func watchedTally() *tally {
	y := newTally(DefaultDeadline)
	y.watch = newWatch(Plan{Progress: func(Progress) {}, ProgressEvery: 100 * time.Millisecond})
	return y
}

// TestWatchingAllocatesNothing looks at requests and at a glance between them.
func TestWatchingAllocatesNothing(t *testing.T) {
	y := watchedTally()
	y.open(0)
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		y.start(now)
		y.end(ending{start: now, now: now + 900, class: record.OK, delivered: true})
		now += 1000
		if now%100_000 == 0 {
			_ = y.progress(now)
		}
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// BenchmarkTally is the accounting of a request at 100,000 requests/s, with a
// glance each 100 ms and without.
func BenchmarkTally(b *testing.B) {
	for _, watched := range []bool{false, true} {
		b.Run(fmt.Sprintf("watched=%v", watched), func(b *testing.B) {
			y := newTally(DefaultDeadline)
			if watched {
				y = watchedTally()
			}
			y.open(0)
			now := int64(0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				y.start(now)
				y.end(ending{start: now, now: now + 200_000 + int64(i%64)*3000, class: record.OK, delivered: true})
				now += 10_000
				if i%10_000 == 0 {
					_ = y.progress(now)
				}
			}
		})
	}
}
