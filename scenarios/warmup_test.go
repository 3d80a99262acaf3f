package scenarios

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mslab/results/record"
)

// simulateWarmup plays stretches of 300 ms of a server whose requests cost 0.1 ms
// by what cost says at a time in seconds, with log-normal noise. One core serves
// them, so that dear ones are few and fill fewer parts.
func simulateWarmup(rng *rand.Rand, cost func(at float64) float64) warmth {
	var w warmth
	for w.another(300 * time.Millisecond) {
		var parts []float64
		for end, at := w.played.Seconds()+0.3, w.played.Seconds(); at < end; {
			noise := 0.06
			took := max(0.3/warmupParts, leastRequests*1e-4*cost(at))
			if took > 0.3/warmupParts {
				noise = 0.3 // of a few requests that end together or apart
			}
			parts = append(parts, 1e5*cost(at)*math.Exp(noise*rng.NormFloat64()))
			at += took
		}
		w.add(300*time.Millisecond, parts)
	}
	return w
}

func TestWarmupEndsInASteadyState(t *testing.T) {
	cases := []struct {
		name     string
		cost     func(at float64) float64
		from, to float64 // mean length in seconds
		unrest   float64 // share that never comes to rest, at least; none where 0
	}{
		{"steady", func(float64) float64 { return 1 }, 0.3, 0.36, 0},
		{"first 100 ms", func(at float64) float64 {
			if at < 0.1 {
				return 2
			}
			return 1
		}, 0.59, 0.64, 0},
		{"falls over a second", func(at float64) float64 { return 1 + 2*max(0, 1-at) }, 1.1, 1.6, 0},
		{"halves slowly", func(at float64) float64 { return 1 + math.Exp(-at/0.4) }, 1, 2, 0},
		{"rises", func(at float64) float64 { return math.Pow(1.5, at/0.3) }, 3, 3, 1},
		{"rises until requests are few", func(at float64) float64 { return math.Pow(1.8, at/0.3) }, 2.9, 3, 0.9},
	}
	for _, c := range cases {
		rng := rand.New(rand.NewPCG(5, 6))
		var sum time.Duration
		unrest := 0
		const servers = 15
		for range servers {
			w := simulateWarmup(rng, c.cost)
			sum += w.played
			r := &record.Record{Verdict: record.Verdict{Valid: true, Comparable: true}}
			if judgeWarmup(r, &w); !r.Verdict.Comparable {
				unrest++
				if why := strings.Join(r.Verdict.Reasons, ""); !strings.Contains(why, "no steady state after a warm-up of 3s") {
					t.Errorf("%s: %s", c.name, why)
				}
			}
		}
		if mean := sum.Seconds() / servers; mean < c.from || mean > c.to {
			t.Errorf("%s: warmed for %.2f s on average, want %.2f to %.2f", c.name, mean, c.from, c.to)
		}
		if share := float64(unrest) / servers; share < c.unrest || c.unrest == 0 && share > 0 {
			t.Errorf("%s: %.2f never came to rest, want %.2f", c.name, share, c.unrest)
		}
	}
}

func TestCostsJoinPartsWithFewRequests(t *testing.T) {
	ms := time.Millisecond
	got := costs([]costSample{{0, 0}, {10, 1 * ms}, {11, 2 * ms}, {11, 2 * ms}, {13, 4 * ms}, {14, 9 * ms}})
	want := []float64{1e5, 1e6} // the last request stands alone and is left out
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("costs %v, want %v", got, want)
	}
	var none warmth
	none.add(time.Millisecond, nil)
	for none.another(time.Second) {
		none.add(time.Second, nil)
	}
	if none.unrest() != "" || none.played > longestWarmup {
		t.Errorf("without requests: %q after %v", none.unrest(), none.played)
	}
}
