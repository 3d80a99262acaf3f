package results

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"mslab/results/record"
)

// latencyBlocks draws the latencies of two subjects in n blocks: the machine's
// speed in the block, which both meet, what each process brings of its own, and
// within a block a log-normal spread with one request in fifty that waits. b is
// slower by ratio.
func latencyBlocks(rng *rand.Rand, n, requests int, own, ratio float64) (a, b [][]valueCount) {
	for range n {
		speed := 0.0
		if rng.IntN(3) == 0 {
			speed = 0.17 + 0.13*rng.Float64() // 17-30 % slower
		}
		for i, side := range []*[][]valueCount{&a, &b} {
			level := speed + own*rng.NormFloat64()
			tail := 0.8 + 2*own*rng.NormFloat64()
			if i == 1 {
				level += math.Log(ratio)
			}
			counts := make([]valueCount, requests)
			for k := range counts {
				v := level + 0.2*rng.NormFloat64()
				if rng.IntN(50) == 0 {
					v += tail + 0.3*rng.NormFloat64()
				}
				counts[k] = valueCount{int64(1e6 * math.Exp(v)), 1}
			}
			*side = append(*side, counts)
		}
	}
	return a, b
}

// TestGateBootstrapCoverage holds the intervals of percentiles against ratios
// that are known. The plain percentile interval has to fail it, else the gate
// tells nothing.
func TestGateBootstrapCoverage(t *testing.T) {
	const runs, requests, times = 300, 150, 999
	percents := []float64{50, 90, 99}
	for _, c := range []struct {
		blocks     int
		own, ratio float64
	}{{8, 0.05, 1}, {10, 0.05, 1.1}} {
		rng := rand.New(rand.NewPCG(11, uint64(c.blocks)))
		missed, missedPlain := 0, 0
		for i := range runs {
			a, b := latencyBlocks(rng, c.blocks, requests, c.own, c.ratio)
			tailsA, tailsB := newBlockTails(a), newBlockTails(b)
			seed := uint64(i)
			outside := func(tail float64) (n int) {
				for _, ci := range drawRatios(tailsA, tailsB, percents, times, tail, rand.New(rand.NewPCG(seed, 1))) {
					if c.ratio < ci.low || c.ratio > ci.high {
						n++
					}
				}
				return n
			}
			missed += outside(expandedTail(c.blocks))
			missedPlain += outside(Alpha / 2)
		}
		asked := runs * len(percents)
		t.Logf("%d blocks, ratio %v: %d of %d intervals missed it, %d plain ones", c.blocks, c.ratio, missed, asked, missedPlain)
		withinBinomial(t, "intervals of percentiles that miss", missed, asked, Alpha)
		if missed < asked/50 {
			t.Errorf("%d of %d intervals miss: they are too wide", missed, asked)
		}
		if float64(missedPlain) < 1.4*Alpha*float64(asked) {
			t.Errorf("the plain interval misses %d of %d, which this gate should find", missedPlain, asked)
		}
	}
}

// With weights of 1 the percentiles are those of the merged histogram, and with
// others those of histograms merged as often.
func TestBlockTailsArePercentilesOfTheMergedHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const blocks = 5
	var of [][]valueCount
	histograms := make([]*hdrhistogram.Histogram, blocks)
	for b := range blocks {
		h := record.NewHistogram()
		for range 1 + rng.IntN(400) {
			_ = h.RecordValue(1 + int64(1e6*math.Exp(2*rng.NormFloat64())))
		}
		histograms[b] = h
		of = append(of, bucketsOf(h))
	}
	tails := newBlockTails(of)
	for range 20 {
		weights, merged := make([]int64, blocks), record.NewHistogram()
		for b := range weights {
			weights[b] = int64(rng.IntN(3))
			for range weights[b] {
				merged.Merge(histograms[b])
			}
		}
		for _, percent := range []float64{1, 50, 90, 99, 99.9, 100} {
			if got, want := tails.percentile(percent, weights), merged.ValueAtPercentile(percent); got != want {
				t.Errorf("p%v with weights %v is %d, of the merged histogram %d", percent, weights, got, want)
			}
		}
	}
}

func TestExpandedTail(t *testing.T) {
	// Hesterberg's table: 0.0086 at n = 10, and 0.025 in the limit.
	near(t, "tail at 10", expandedTail(10), 0.0086, 5e-5)
	near(t, "tail at 10,000", expandedTail(10_000), 0.025, 1e-4)
	if expandedTail(1) != 0 {
		t.Error("one block has no spread")
	}
}
