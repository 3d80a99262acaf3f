package results

import (
	"math"
	"math/rand/v2"
	"slices"
)

// signFlipIntervalMonteCarlo is SignFlipInterval for more values than can be
// counted exactly. The test by a pattern of signs does not reject a shift d where
// |Σ s(v-d)| >= |Σ (v-d)|, which is so exactly between the mean of the values
// that the pattern adds and the mean of those that it takes away (Hartigan's
// typical values). One pass over the patterns of signFlipMonteCarlo so gives
// the ends that bisection finds with one pass a step.
func signFlipIntervalMonteCarlo(values []float64) (low, high float64) {
	rng := rand.New(rand.NewPCG(monteCarloSeed, uint64(len(values))))
	lows, highs := make([]float64, monteCarloFolds), make([]float64, monteCarloFolds)
	var total float64
	for _, v := range values {
		total += v
	}
	for fold := range monteCarloFolds {
		var taken float64
		var n int
		var bits uint64
		for i, v := range values {
			if i%64 == 0 {
				bits = rng.Uint64()
			}
			if bits&1 == 0 {
				taken += v
				n++
			}
			bits >>= 1
		}
		a, b := math.Inf(-1), math.Inf(1)
		if n > 0 && n < len(values) {
			a, b = taken/float64(n), (total-taken)/float64(len(values)-n)
		}
		lows[fold], highs[fold] = min(a, b), max(a, b)
	}
	slices.Sort(lows)
	slices.Sort(highs)
	// A shift is accepted where (hits+1)/(folds+1) >= Alpha.
	hits := int(math.Ceil(Alpha*(monteCarloFolds+1))) - 1
	return lows[hits-1], highs[monteCarloFolds-hits]
}
