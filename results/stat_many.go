package results

import (
	"iter"
	"math"
	"math/bits"
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
	lows, highs := make([]float64, 0, monteCarloFolds), make([]float64, 0, monteCarloFolds)
	var total float64
	for _, v := range values {
		total += v
	}
	for taken, n := range drawnPatterns(values) {
		a, b := math.Inf(-1), math.Inf(1)
		if n > 0 && n < len(values) {
			a, b = taken/float64(n), (total-taken)/float64(len(values)-n)
		}
		lows, highs = append(lows, min(a, b)), append(highs, max(a, b))
	}
	slices.Sort(lows)
	slices.Sort(highs)
	// A shift is accepted where (hits+1)/(folds+1) >= Alpha.
	hits := int(math.Ceil(Alpha*(monteCarloFolds+1))) - 1
	return lows[hits-1], highs[monteCarloFolds-hits]
}

// drawnPatterns yields, for each of monteCarloFolds random patterns of signs,
// always the same ones, the sum of the values that the pattern takes away and
// their number. Eight values at a time are looked up: a fold of 500 values costs
// 63 additions.
func drawnPatterns(values []float64) iter.Seq2[float64, int] {
	const wide = 8 // values a byte of random bits decides on
	tables := make([][1 << wide]float64, (len(values)+wide-1)/wide)
	for g := range tables {
		for pattern := range tables[g] {
			for i, v := range values[g*wide : min((g+1)*wide, len(values))] {
				if pattern>>i&1 == 0 {
					tables[g][pattern] += v
				}
			}
		}
	}
	last := len(values) % 64 // bits of the last word that decide on something
	return func(yield func(float64, int) bool) {
		rng := rand.New(rand.NewPCG(monteCarloSeed, uint64(len(values))))
		for range monteCarloFolds {
			var taken float64
			n := len(values)
			var word uint64
			for g := range tables {
				if g%8 == 0 {
					word = rng.Uint64()
					used := word
					if last != 0 && len(tables)-g <= 8 {
						used &= 1<<last - 1
					}
					n -= bits.OnesCount64(used)
				}
				taken += tables[g][byte(word)]
				word >>= wide
			}
			if !yield(taken, n) {
				return
			}
		}
	}
}
