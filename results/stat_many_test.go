package results

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestIntervalOfManyValues holds the one pass against bisection with the same
// patterns, which takes sixty of them.
func TestIntervalOfManyValues(t *testing.T) {
	for _, n := range []int{31, 64, 65, 143} {
		rng := rand.New(rand.NewPCG(7, uint64(n)))
		values := make([]float64, n)
		lowest, highest := math.Inf(1), math.Inf(-1)
		for i := range values {
			values[i] = 0.03 + 0.02*rng.NormFloat64()
			lowest, highest = min(lowest, values[i]), max(highest, values[i])
		}
		precision := 1e-4 * (highest - lowest)
		wantLow := bisectEnd(values, lowest-precision, Mean(values), precision)
		wantHigh := bisectEnd(values, highest+precision, Mean(values), precision)
		low, high := SignFlipInterval(values)
		if math.Abs(low-wantLow) > precision || math.Abs(high-wantHigh) > precision {
			t.Errorf("interval of %d values [%v, %v], by bisection [%v, %v]", n, low, high, wantLow, wantHigh)
		}
	}
}

// The patterns are those of one bit a value, drawn in words of 64, whatever is
// looked up to be faster.
func TestDrawnPatternsAreBits(t *testing.T) {
	for _, n := range []int{31, 63, 64, 65, 72, 130, 500} {
		values := normals(rand.New(rand.NewPCG(5, uint64(n))), n, 0.01, 1)
		rng := rand.New(rand.NewPCG(monteCarloSeed, uint64(n)))
		fold := 0
		for taken, count := range drawnPatterns(values) {
			var want float64
			var wantCount int
			var word uint64
			for i, v := range values {
				if i%64 == 0 {
					word = rng.Uint64()
				}
				if word&1 == 0 {
					want += v
					wantCount++
				}
				word >>= 1
			}
			if count != wantCount || math.Abs(taken-want) > 1e-9 {
				t.Fatalf("%d values, fold %d: %v of %d taken, want %v of %d", n, fold, taken, count, want, wantCount)
			}
			if fold++; fold == 200 {
				break
			}
		}
	}
}
