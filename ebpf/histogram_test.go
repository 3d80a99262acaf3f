package ebpf

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreWithoutGaps(t *testing.T) {
	next := uint64(0)
	for i := range histBuckets - 1 {
		low, width := bucketBounds(i)
		if low != next {
			t.Fatalf("bucket %d begins at %d, want %d", i, low, next)
		}
		next = low + width
		for _, ns := range []uint64{low, low + width/2, low + width - 1} {
			if bucketOf(ns) != i {
				t.Errorf("%d ns is in bucket %d, want %d", ns, bucketOf(ns), i)
			}
		}
	}
	if next != 1<<histTopBits || bucketOf(next) != histBuckets-1 || bucketOf(1<<63) != histBuckets-1 {
		t.Errorf("the last bucket begins at %d", next)
	}
}

func TestQuantilesAreWithinThreePercent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 20000 {
		d := time.Duration(200 * (1 + random.ExpFloat64()*random.ExpFloat64()*1000))
		all = append(all, d)
		h.counts[bucketOf(uint64(d))]++
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all)))-1, 0)]
		got := h.Quantile(q, all[len(all)-1])
		if off := float64(got-want) / float64(want); off > 0.032 || off < -0.032 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := new(Histogram).Quantile(0.5, time.Second); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	var sum uint64
	h.Each(func(low, high time.Duration, n uint64) {
		if low >= high {
			t.Errorf("a bucket from %v to %v", low, high)
		}
		sum += n
	})
	if sum != h.Count() || sum != 20000 {
		t.Errorf("%d durations in the buckets", sum)
	}
}
