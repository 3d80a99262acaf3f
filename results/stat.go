package results

import (
	"math"
	"sort"
)

const (
	// Alpha is the level of every test and one minus the coverage of every
	// interval.
	Alpha = 0.05
	// Power is the chance of finding an effect of the size that is printed as
	// the minimum detectable one.
	Power = 0.90
	// MinBlocks is the fewest blocks that a verdict is given on.
	MinBlocks = 8

	// exactBlocks is the largest number of blocks whose 2^n sign patterns are
	// all counted. Two sorted halves are counted against each other, so 30
	// blocks cost what 2 x 2^15 sums cost.
	exactBlocks = 30
	// monteCarloFolds sign patterns are drawn beyond that, always the same ones.
	monteCarloFolds = 100_000
	monteCarloSeed  = 0x6d736c6162
)

// SignFlipP returns the two-sided p-value of the hypothesis that the values are
// symmetric about zero, from the sign-flip permutation test on |mean|: the
// share of the 2^n sign patterns whose |mean| is at least the observed one.
// It is exact up to 30 values; beyond, (hits+1)/(folds+1) over 100,000 random
// patterns of a fixed seed (Phipson and Smyth 2010, "Permutation p-values
// should never be zero"). Without values it is 1.
func SignFlipP(values []float64) float64 {
	if len(values) == 0 {
		return 1
	}
	if len(values) > exactBlocks {
		return signFlipMonteCarlo(values)
	}
	return signFlipExact(values)
}

// threshold returns the observed |sum| less what rounding may have taken from
// patterns that are equal to it.
func threshold(values []float64) float64 {
	var sum, scale float64
	for _, v := range values {
		sum += v
		scale += math.Abs(v)
	}
	return math.Abs(sum) - 1e-12*scale
}

// signFlipExact counts the patterns by meeting in the middle: every sum of all
// values is one of the first half plus one of the second.
func signFlipExact(values []float64) float64 {
	limit := threshold(values)
	if limit <= 0 {
		return 1
	}
	half := len(values) / 2
	left, right := signedSums(values[:half]), signedSums(values[half:])
	// The patterns are symmetric about zero, so those at or above the limit are
	// half of the hits. Both sides are sorted: as the left sum grows, the first
	// right sum that reaches the limit moves down only.
	hits, j := 0, len(right)
	for _, l := range left {
		for j > 0 && l+right[j-1] >= limit {
			j--
		}
		hits += len(right) - j
	}
	return 2 * float64(hits) / (float64(len(left)) * float64(len(right)))
}

// signedSums returns the 2^n sums of ±values in ascending order.
func signedSums(values []float64) []float64 {
	sums := make([]float64, 1, 1<<len(values))
	spare := make([]float64, 0, 1<<len(values))
	for _, v := range values {
		v = math.Abs(v)
		merged := spare[:0]
		low, high := 0, 0 // next of sums-v, next of sums+v
		for low < len(sums) {
			if down, up := sums[low]-v, sums[high]+v; down <= up {
				merged = append(merged, down)
				low++
			} else {
				merged = append(merged, up)
				high++
			}
		}
		for ; high < len(sums); high++ {
			merged = append(merged, sums[high]+v)
		}
		sums, spare = merged, sums
	}
	return sums
}

func signFlipMonteCarlo(values []float64) float64 {
	limit := threshold(values)
	var sum float64
	for _, v := range values {
		sum += v
	}
	hits := 0
	for taken := range drawnPatterns(values) {
		if math.Abs(sum-2*taken) >= limit {
			hits++
		}
	}
	return float64(hits+1) / float64(monteCarloFolds+1)
}

// SignFlipInterval returns the 95 % interval of the centre: every shift d for
// which the sign-flip test of the values less d does not reject, p >= 0.05.
// On either side of the mean p only falls (Hartigan 1969, "Using subsample
// values as typical values"), so each end is found by bisection, to 1e-9 of the
// values' range and outwards. The interval holds the mean. With fewer than six
// values no shift can be rejected and the ends are infinite.
func SignFlipInterval(values []float64) (low, high float64) {
	n := len(values)
	if n == 0 || math.Pow(2, float64(1-n)) >= Alpha {
		return math.Inf(-1), math.Inf(1)
	}
	if n > exactBlocks {
		return signFlipIntervalMonteCarlo(values)
	}
	lowest, highest := values[0], values[0]
	for _, v := range values {
		lowest, highest = math.Min(lowest, v), math.Max(highest, v)
	}
	mean := Mean(values)
	margin := 1e-9*(highest-lowest) + 1e-15
	// Beyond the extreme values all differences have one sign, which is the
	// most extreme pattern there is, and p is its smallest.
	low = bisectEnd(values, lowest-margin, mean, margin)
	high = bisectEnd(values, highest+margin, mean, margin)
	return low, high
}

// bisectEnd narrows a rejected and an accepted shift to within precision and
// returns the rejected one, so that the interval errs on the wide side.
func bisectEnd(values []float64, rejected, accepted, precision float64) float64 {
	shifted := make([]float64, len(values))
	for math.Abs(rejected-accepted) > precision {
		middle := rejected + (accepted-rejected)/2
		if middle == rejected || middle == accepted {
			break
		}
		for i, v := range values {
			shifted[i] = v - middle
		}
		if SignFlipP(shifted) < Alpha {
			rejected = middle
		} else {
			accepted = middle
		}
	}
	return rejected
}

// Holm returns the p-values adjusted for being one family (Holm 1979, "A simple
// sequentially rejective multiple test procedure"), in the order given.
func Holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return ps[order[i]] < ps[order[j]] })
	adjusted := make([]float64, len(ps))
	var highest float64
	for rank, i := range order {
		highest = math.Max(highest, float64(len(ps)-rank)*ps[i])
		adjusted[i] = math.Min(1, highest)
	}
	return adjusted
}

// BlocksNeeded returns the fewest blocks on which a verdict can be given when
// pairs comparisons are shown together: at least MinBlocks, and enough that the
// smallest p there is, 2^(1-blocks), survives Holm's first step.
func BlocksNeeded(pairs int) int {
	n := MinBlocks
	for tooFewBlocks(n, pairs) {
		n++
	}
	return n
}

func tooFewBlocks(blocks, pairs int) bool {
	return blocks < MinBlocks || math.Pow(2, float64(1-blocks))*float64(pairs) >= Alpha
}

// MinDetectable returns the mean log ratio that would be found with a chance of
// 90 % among pairs comparisons, from the spread of the blocks' values:
//
//	(t(1-α/2, n-1) + t(0.90, n-1)) · s / √n,  α = 0.05 / pairs
//
// (the sample-size formula of the NIST/SEMATECH e-Handbook of Statistical
// Methods, 7.2.2.2, solved for the effect; α as in Holm's first step). It is
// for reading and for planning, never a threshold. NaN with fewer than two
// values.
func MinDetectable(values []float64, pairs int) float64 {
	n := len(values)
	if n < 2 {
		return math.NaN()
	}
	alpha := Alpha / math.Max(1, float64(pairs))
	return (tQuantile(1-alpha/2, n-1) + tQuantile(Power, n-1)) * SampleSD(values) / math.Sqrt(float64(n))
}
