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
