package results

import (
	"math/rand/v2"
	"strings"
	"testing"

	"mslab/results/record"
)

func TestJudgeSteady(t *testing.T) {
	flat := func(int) float64 { return 40000 }
	cases := []struct {
		name     string
		n        int
		level    func(i int) float64
		duration float64
		faults   bool
		want     string // "" is a steady state
	}{
		{"steady", 60, flat, 60, false, ""},
		{"warm-up", 60, func(i int) float64 {
			if i < 7 {
				return 30000
			}
			return 40000
		}, 60, false, "no steady state: the first 7 s gave "},
		{"warm-up's way out", 60, func(i int) float64 {
			if i < 7 {
				return 30000
			}
			return 40000
		}, 60, false, "; a --warmup of 7s leaves them out"},
		{"a server that is lost", 60, func(i int) float64 {
			if i < 7 {
				return 30000
			}
			return 0
		}, 60, false, "no steady state: the rate changed once, between 0 and "},
		{"slower machine", 60, func(i int) float64 { return 40000 - 8000*float64(i/30) }, 60, false, "no steady state: the rate changed once, between 3"},
		{"there and back", 60, func(i int) float64 { return 40000 - 8000*float64(i/20%2) }, 60, false, "the rate changed 2 times, between 3"},
		{"short", 9, func(i int) float64 { return 40000 - 8000*float64(i/5) }, 9, false, ""},
		{"last second is no whole one", 11, func(i int) float64 { return 40000 - 39999*float64(i/10) }, 10.4, false, ""},
		{"ramp of arrivals", 60, func(i int) float64 { return 1000 + 100*float64(i) }, 60, false, ""},
		{"faults", 60, func(i int) float64 { return 40000 * float64(i/20%2) }, 60, true, ""},
	}
	for _, c := range cases {
		r := &record.Record{Load: record.Load{DurationS: c.duration}, Verdict: record.Verdict{Valid: true, Comparable: true}}
		for i, v := range noisy(rand.New(rand.NewPCG(8, 9)), 0.02, c.level, c.n) {
			r.Series = append(r.Series, record.Second{T: i, OK: int64(v)})
		}
		if strings.HasPrefix(c.name, "ramp") {
			r.Load.Arrival = "ramp"
		}
		if c.faults {
			r.Faults = []record.Fault{{}}
		}
		JudgeSteady(r)
		why := strings.Join(r.Verdict.Reasons, "; ")
		if !r.Verdict.Valid || r.Verdict.Comparable != (c.want == "") || !strings.Contains(why, c.want) {
			t.Errorf("%s: comparable %v (%s), want %q", c.name, r.Verdict.Comparable, why, c.want)
		}
	}
}
