package results

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.10g, want %.10g ± %g", what, got, want, tolerance)
	}
}

func TestSignFlipPByHand(t *testing.T) {
	cases := []struct {
		name   string
		values []float64
		want   float64
	}{
		{"none", nil, 1},
		{"one value has two patterns, both as extreme", []float64{3}, 1},
		{"all zero", []float64{0, 0, 0}, 1},
		{"cancelling", []float64{1, -1}, 1},
		{"five of one sign are the only extreme patterns", []float64{1, 2, 3, 4, 5}, 2.0 / 32},
		{"eight of one sign", []float64{1, 1, 1, 1, 1, 1, 1, 1}, 2.0 / 256},
		// ±: |sum| of (1,2,-3... )
		{"(4,3,-1): sums >= 6 are 8 and 6, either sign", []float64{4, 3, -1}, 4.0 / 8},
		{"ties count: (2,2,-2) sum 2, all patterns reach it", []float64{2, 2, -2}, 1},
		{"zeros double each pattern", []float64{1, 2, 3, 4, 5, 0}, 2.0 / 32},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { near(t, "p", SignFlipP(c.values), c.want, 1e-12) })
	}
}

// bruteP counts every pattern one by one.
func bruteP(values []float64) float64 {
	var observed float64
	for _, v := range values {
		observed += v
	}
	limit, hits := threshold(values), 0
	for pattern := range 1 << len(values) {
		var sum float64
		for i, v := range values {
			if pattern>>i&1 == 1 {
				v = -v
			}
			sum += v
		}
		if math.Abs(sum) >= limit {
			hits++
		}
	}
	return float64(hits) / float64(int(1)<<len(values))
}

func TestSignFlipPEqualsBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 13; n++ {
		for range 8 {
			values := make([]float64, n)
			for i := range values {
				values[i] = rng.NormFloat64() + 0.5
				if rng.IntN(3) == 0 { // ties
					values[i] = math.Round(values[i])
				}
			}
			near(t, "p", SignFlipP(values), bruteP(values), 1e-12)
		}
	}
}

func TestMonteCarloAgreesWithExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	values := normals(rng, 20, 0.4, 1)
	exact, drawn := signFlipExact(values), signFlipMonteCarlo(values)
	near(t, "Monte Carlo p", drawn, exact, 4*math.Sqrt(exact*(1-exact)/monteCarloFolds)+1e-5)
	if again := signFlipMonteCarlo(values); again != drawn {
		t.Errorf("the same values gave p %g and then %g", drawn, again)
	}
	strong := normals(rng, 40, 5, 0.1)
	near(t, "smallest Monte Carlo p", SignFlipP(strong), 1/float64(monteCarloFolds+1), 1e-12)
}

func TestSignFlipIntervalInvertsTheTest(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{6, 7, 8, 10, 15, 21} {
		values := normals(rng, n, 0.03, 0.02)
		low, high := SignFlipInterval(values)
		if mean := Mean(values); !(low <= mean && mean <= high) {
			t.Errorf("n=%d: [%g, %g] does not hold the mean %g", n, low, high, mean)
		}
		shifted := func(d float64) float64 {
			out := make([]float64, n)
			for i, v := range values {
				out[i] = v - d
			}
			return SignFlipP(out)
		}
		step := 1e-6
		for _, d := range []float64{low + step, high - step} {
			if p := shifted(d); p < Alpha {
				t.Errorf("n=%d: %g is inside the interval but p = %g", n, d, p)
			}
		}
		for _, d := range []float64{low - step, high + step} {
			if p := shifted(d); p >= Alpha {
				t.Errorf("n=%d: %g is outside the interval but p = %g", n, d, p)
			}
		}
	}
}

func TestSignFlipIntervalEdges(t *testing.T) {
	low, high := SignFlipInterval([]float64{1, 2, 3, 4, 5})
	if !math.IsInf(low, -1) || !math.IsInf(high, 1) {
		t.Errorf("five values bound the centre to [%g, %g]; no shift can be rejected", low, high)
	}
	// Six values: only the two one-signed patterns are below 0.05, so the
	// interval is the range of the values.
	low, high = SignFlipInterval([]float64{1, 2, 3, 4, 5, 7})
	near(t, "low", low, 1, 1e-6)
	near(t, "high", high, 7, 1e-6)
	low, high = SignFlipInterval([]float64{2, 2, 2, 2, 2, 2, 2, 2})
	near(t, "low of equal values", low, 2, 1e-9)
	near(t, "high of equal values", high, 2, 1e-9)
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		near(t, "adjusted p", got[i], want, 1e-12)
	}
	near(t, "capped", Holm([]float64{0.9, 0.8})[0], 1, 0)
	if len(Holm(nil)) != 0 {
		t.Error("Holm of nothing is not empty")
	}
}

func TestBlocksNeeded(t *testing.T) {
	for pairs, want := range map[int]int{0: 8, 1: 8, 6: 8, 7: 9, 12: 9, 13: 10, 100: 12} {
		got := BlocksNeeded(pairs)
		if got != want {
			t.Errorf("BlocksNeeded(%d) = %d, want %d", pairs, got, want)
		}
		if tooFewBlocks(got, pairs) {
			t.Errorf("BlocksNeeded(%d) = %d is too few by the rule itself", pairs, got)
		}
	}
}

func TestTQuantile(t *testing.T) {
	// NIST/SEMATECH e-Handbook, 1.3.6.7.2.
	for _, c := range []struct {
		p       float64
		freedom int
		want    float64
	}{{0.975, 1, 12.706}, {0.975, 2, 4.303}, {0.975, 9, 2.262}, {0.90, 9, 1.383}, {0.99, 10, 2.764}, {0.975, 30, 2.042}, {0.95, 100, 1.660}} {
		near(t, "t", tQuantile(c.p, c.freedom), c.want, 0.0006)
	}
}

func TestMinDetectable(t *testing.T) {
	values := []float64{-2, 2, -2, 2, -2, 2, -2, 2, -2, 2} // s = 2.108
	near(t, "MDE", MinDetectable(values, 1), (2.2622+1.3830)*2.10819/math.Sqrt(10), 1e-3)
	if one, seven := MinDetectable(values, 1), MinDetectable(values, 7); seven <= one {
		t.Errorf("seven pairs detect %g, one %g: a family must cost", seven, one)
	}
	if !math.IsNaN(MinDetectable([]float64{1}, 1)) {
		t.Error("one value has a spread")
	}
}

func TestSampleSDIsNotThePopulationForm(t *testing.T) {
	near(t, "SD", SampleSD([]float64{1, 2, 3, 4}), 1.2909944, 1e-6)
}

func normals(rng *rand.Rand, n int, mean, sd float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = mean + sd*rng.NormFloat64()
	}
	return out
}
