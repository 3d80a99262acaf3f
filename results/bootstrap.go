package results

import (
	"cmp"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// resamples is how often the blocks are drawn anew for an interval. The ends are
// taken where about 90 of them lie beyond, at ten blocks, so that they move by a
// few hundredths of the interval's length from one seed to another.
const resamples = 9_999

// valueCount is one bucket of a histogram: how many requests took value ns.
type valueCount struct{ value, count int64 }

// blockTails holds the latency histograms of one subject's blocks in the form
// that a percentile of any weighted sum of them is found in by bisection: for
// each value that occurs the number of requests that took at most that long, a
// block each.
type blockTails struct {
	blocks int
	values []int64 // ascending
	upTo   []int64 // of values[i] in block b at [i*blocks+b]
}

func newBlockTails(blocks [][]valueCount) blockTails {
	var values []int64
	for _, b := range blocks {
		for _, v := range b {
			values = append(values, v.value)
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	t := blockTails{blocks: len(blocks), values: values, upTo: make([]int64, len(values)*len(blocks))}
	for b, counts := range blocks {
		slices.SortFunc(counts, func(x, y valueCount) int { return cmp.Compare(x.value, y.value) })
		var sum int64
		next := 0
		for i, v := range values {
			for next < len(counts) && counts[next].value <= v {
				sum += counts[next].count
				next++
			}
			t.upTo[i*t.blocks+b] = sum
		}
	}
	return t
}

// percentile returns the percentile, in percent, of the histograms added up,
// each as often as its weight says; the rank is that of hdrhistogram's
// ValueAtPercentile, so that weights of 1 give the figure of the merged record.
// 0 where there is no request.
func (t blockTails) percentile(percent float64, weights []int64) int64 {
	if len(t.values) == 0 {
		return 0
	}
	total := t.sum(len(t.values)-1, weights)
	if total == 0 {
		return 0
	}
	rank := min(max(int64(percent/100*float64(total)+0.5), 1), total)
	i := sort.Search(len(t.values), func(i int) bool { return t.sum(i, weights) >= rank })
	return t.values[i]
}

func (t blockTails) sum(i int, weights []int64) int64 {
	var sum int64
	for b, n := range t.upTo[i*t.blocks : (i+1)*t.blocks] {
		sum += weights[b] * n
	}
	return sum
}

// interval is one of a ratio; without ends it is infinite.
type interval struct{ low, high float64 }

var unbounded = interval{math.Inf(-1), math.Inf(1)}

// bootstrapRatios returns 95 % intervals of the ratios of b's percentiles to a's,
// the blocks of each added up, by drawing blocks with replacement. Both subjects' histograms of a block are drawn together, since what
// the machine did in that block befell both.
//
// The ends are those of Hesterberg's expanded percentile interval ("What
// Teachers Should Know About the Bootstrap", The American Statistician 69,
// 2015): the plain percentile interval of ten blocks misses in 10 % of cases
// where it claims 5 %, since the blocks drawn vary by (n-1)/n too little and the
// normal distribution has thinner tails than Student's t. The share cut off at
// either end is therefore Φ(-t(1-α/2, n-1) √(n/(n-1))), 0.9 % at ten blocks. With
// fewer than six blocks there is no interval, as there is none of the rule.
//
// An interval knows of what was seen: a stall that befalls one block in a
// hundred is missing from most runs, and from their intervals.
func bootstrapRatios(a, b blockTails, percents []float64, rng *rand.Rand) []interval {
	return drawRatios(a, b, percents, resamples, expandedTail(a.blocks), rng)
}

// drawRatios takes the ends of the intervals where the share tail of times
// resamples lies beyond.
func drawRatios(a, b blockTails, percents []float64, times int, tail float64, rng *rand.Rand) []interval {
	out := make([]interval, len(percents))
	n := a.blocks
	if n == 0 || math.Pow(2, float64(1-n)) >= Alpha {
		for i := range out {
			out[i] = unbounded
		}
		return out
	}
	logs := make([][]float64, len(percents))
	weights := make([]int64, n)
	for range times {
		clear(weights)
		for range n {
			weights[rng.IntN(n)]++
		}
		for i, percent := range percents {
			of, to := a.percentile(percent, weights), b.percentile(percent, weights)
			logs[i] = append(logs[i], math.Log(float64(to)/float64(of)))
		}
	}
	cut := min(max(int(tail*float64(times+1)), 1), times/2)
	for i, drawn := range logs {
		sort.Float64s(drawn)
		out[i] = interval{math.Exp(drawn[cut-1]), math.Exp(drawn[times-cut])}
	}
	return out
}

// expandedTail is the share of resamples beyond either end of a 95 % interval
// from n values; 0 where there is no spread to know of.
func expandedTail(n int) float64 {
	if n < 2 {
		return 0
	}
	t := tQuantile(1-Alpha/2, n-1) * math.Sqrt(float64(n)/float64(n-1))
	return 0.5 * math.Erfc(t/math.Sqrt2)
}

// pairSource is a source of random numbers that depends on the run's seed and
// on the pair alone, so that the same run gives the same interval, whatever else
// is compared with it.
func pairSource(seed int64, words ...string) *rand.Rand {
	h := fnv.New64a()
	for _, word := range words {
		_, _ = io.WriteString(h, word+"\x00")
	}
	return rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
}
