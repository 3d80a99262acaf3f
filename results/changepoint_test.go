package results

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// changeOracle is testdata/changepoint.json, made once by changepoint.py from
// scipy and ruptures.
type changeOracle struct {
	Source string
	Single []struct {
		Name   string
		Values []float64
		Least  int
		Z      float64
		P      float64
	}
	Several []struct {
		Name    string
		Values  []float64
		Changes []int
	}
}

func readChangeOracle(t *testing.T) (o changeOracle) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "changepoint.json"))
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestChangeStatistic holds the statistic against the one that scipy's scores and
// the moments of all permutations give, and its p-value against that of all
// permutations.
func TestChangeStatistic(t *testing.T) {
	for _, c := range readChangeOracle(t).Single {
		t.Run(c.Name, func(t *testing.T) {
			rule := ChangeRule{MinLength: c.Least}
			scores := normalScores(c.Values)
			_, _, z := rule.largest(scores, true)
			if math.Abs(z-c.Z) > 1e-9 {
				t.Errorf("statistic %v, want %v", z, c.Z)
			}
			const orders = 40_000
			hits := rule.reached(scores, true, z, orders, orders, rand.New(rand.NewPCG(1, 2)))
			p, sd := float64(hits)/orders, math.Sqrt(c.P*(1-c.P)/orders)
			if math.Abs(p-c.P) > 5*sd {
				t.Errorf("p %v, all permutations give %v (one SD of the random orders is %v)", p, c.P, sd)
			}
		})
	}
}

// TestSegmentsAgreeWithRuptures compares the places of several changes, none of
// which was told how many to look for, with those of an exact search that was.
func TestSegmentsAgreeWithRuptures(t *testing.T) {
	rule := ChangeRule{Alpha: 0.01, MinEffect: 0.05, MinLength: 3}
	for _, c := range readChangeOracle(t).Several {
		segments := rule.Segments(c.Values)
		if len(segments) != len(c.Changes)+1 {
			t.Errorf("%s: segments %v, ruptures has changes at %v", c.Name, segments, c.Changes)
			continue
		}
		for i, at := range c.Changes {
			if got := segments[i].To; got < at-1 || got > at+1 || segments[i+1].From != got {
				t.Errorf("%s: change %d at %d, ruptures has %d", c.Name, i, got, at)
			}
		}
	}
}

// noisy is a series of levels with log-normal noise.
func noisy(rng *rand.Rand, sd float64, level func(i int) float64, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = level(i) * math.Exp(sd*rng.NormFloat64())
	}
	return values
}

func TestSegmentsOfSimulatedSeries(t *testing.T) {
	flat := func(int) float64 { return 100 }
	cases := []struct {
		name      string
		n         int
		level     func(i int) float64
		low, high float64 // bounds on the share of series in which a change is found
	}{
		// The bound is that of alpha 0.01 in 400 series: P(X >= 11) < 0.003.
		{"none", 40, flat, 0, 10. / 400},
		{"none, short", 12, flat, 0, 10. / 400},
		{"step of 10 %", 40, func(i int) float64 { return 100 + 10*float64(i/25) }, 0.98, 1},
		{"ramp to 30 %", 40, func(i int) float64 { return 100 + 0.75*float64(i) }, 0.98, 1},
		{"warm-up of 4 of 40", 40, func(i int) float64 { return 100 + 40*float64(max(0, 4-i))/4 }, 0.95, 1},
		{"there and back", 60, func(i int) float64 { return 100 + 10*float64(i/20%2) }, 0.98, 1},
		{"long", 400, func(i int) float64 { return 100 + 10*float64(i/130%2) }, 1, 1},
		{"one outlier", 40, func(i int) float64 {
			if i == 20 {
				return 1000
			}
			return 100
		}, 0, 12. / 400},
		{"step below the least effect", 40, func(i int) float64 { return 100 + 2*float64(i/20) }, 0, 10. / 400},
	}
	rule := ChangeRule{Alpha: 0.01, MinEffect: 0.05, MinLength: 2}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, uint64(c.n)))
			found := 0
			series := 400
			if c.n > 100 {
				series = 10
			}
			for range series {
				if len(rule.Segments(noisy(rng, 0.02, c.level, c.n))) > 1 {
					found++
				}
			}
			if share := float64(found) / float64(series); share < c.low || share > c.high {
				t.Errorf("a change in %.3f of the series, want %.3f to %.3f", share, c.low, c.high)
			}
		})
	}
}

// TestFalseAlarmsHaveTheirLevel asks for no least effect, so that the level of
// the test alone decides.
func TestFalseAlarmsHaveTheirLevel(t *testing.T) {
	rule := ChangeRule{Alpha: 0.05, MinLength: 1}
	rng := rand.New(rand.NewPCG(4, 4))
	found := 0
	const series = 1000
	for range series {
		if len(rule.Segments(noisy(rng, 0.02, func(int) float64 { return 1 }, 20))) > 1 {
			found++
		}
	}
	// 3.5 standard deviations of a binomial with 5 % either way.
	if found < 26 || found > 74 {
		t.Errorf("%d of %d series without a change were given one, want about 50", found, series)
	}
}

func TestSegmentsOfShortSeries(t *testing.T) {
	rule := ChangeRule{Alpha: 0.01, MinLength: 2}
	if s := rule.Segments(nil); s != nil {
		t.Errorf("nothing gave %v", s)
	}
	for n := 1; n < 6; n++ {
		values := make([]float64, n)
		if s := rule.Segments(values); len(s) != 1 || s[0].From != 0 || s[0].To != n {
			t.Errorf("%d equal values gave %v", n, s)
		}
	}
}

// TestDifferTellsLevelsApart holds the level of the test on one level, its power
// on two, and that small effects and too few values say nothing.
func TestDifferTellsLevelsApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	rule := ChangeRule{Alpha: 0.05, MinLength: 2}
	draw := func(n int, level float64) []float64 {
		values := make([]float64, n)
		for i := range values {
			values[i] = level * math.Exp(0.3*rng.NormFloat64())
		}
		return values
	}
	const rounds = 1000
	same, other, small := 0, 0, 0
	for range rounds {
		if rule.Differ(draw(20, 1), draw(12, 1)) {
			same++
		}
		if rule.Differ(draw(20, 1), draw(12, 1.5)) {
			other++
		}
		bounded := rule
		bounded.MinEffect = 1
		if bounded.Differ(draw(20, 1), draw(12, 1.5)) {
			small++
		}
	}
	// 5 % of 1,000 with its binomial bound of 99.9 %.
	if same > 73 || other < rounds*85/100 || small > rounds/20 {
		t.Errorf("of %d: %d on one level differ, %d on two, %d below the least effect", rounds, same, other, small)
	}
	for _, sides := range [][2]int{{0, 5}, {1, 5}, {5, 1}, {0, 0}} {
		if rule.Differ(draw(sides[0], 1), draw(sides[1], 100)) {
			t.Errorf("%d and %d values differ", sides[0], sides[1])
		}
	}
}
