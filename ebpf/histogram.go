package ebpf

import (
	"math"
	"math/bits"
	"time"
)

// Log-linear buckets: durations up to 2^histSubBits ns have a bucket each; above,
// every power of two is cut into 2^histSubBits buckets of equal width, so that a
// bucket's middle is at most 1/2^(histSubBits+1) = 3.1 % away from what is in it.
// The last bucket takes everything from 2^histTopBits ns (68.7 s) on. The numbers
// are those of syscalls.bpf.c.
const (
	histSubBits = 4
	histSub     = 1 << histSubBits
	histTopBits = 36
	histBuckets = (histTopBits-histSubBits+1)*histSub + 1
)

// Histogram counts durations in log-linear buckets.
type Histogram struct {
	counts [histBuckets]uint64
}

// bucketOf gives the bucket of a duration in ns.
func bucketOf(ns uint64) int {
	if ns < histSub {
		return int(ns)
	}
	if ns>>histTopBits != 0 {
		return histBuckets - 1
	}
	shift := bits.Len64(ns) - 1 - histSubBits
	return shift*histSub + int(ns>>shift)
}

// bucketBounds gives the ns at which a bucket begins, and its width.
func bucketBounds(bucket int) (low, width uint64) {
	if bucket < 2*histSub {
		return uint64(bucket), 1
	}
	shift := bucket/histSub - 1
	return uint64(bucket-shift*histSub) << shift, 1 << shift
}

// Count is how many durations there are.
func (h *Histogram) Count() uint64 {
	var n uint64
	for _, c := range h.counts {
		n += c
	}
	return n
}

// Add counts what another histogram has.
func (h *Histogram) Add(other *Histogram) {
	for i, c := range other.counts {
		h.counts[i] += c
	}
}

// Quantile gives the duration below which a share q (0..1) of the durations lies:
// the middle of its bucket, at most 3.1 % off, and at most ceiling, the largest
// known. It is 0 without durations.
func (h *Histogram) Quantile(q float64, ceiling time.Duration) time.Duration {
	total := h.Count()
	if total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(total)))
	var upTo uint64
	for i, c := range h.counts[:histBuckets-1] {
		upTo += c
		if c != 0 && upTo >= rank {
			low, width := bucketBounds(i)
			return min(time.Duration(low+width/2), ceiling)
		}
	}
	return ceiling
}

// Each calls f for every bucket that is not empty, shortest first: it holds n
// durations from low up to, but not including, high.
func (h *Histogram) Each(f func(low, high time.Duration, n uint64)) {
	for i, c := range h.counts {
		if c != 0 {
			low, width := bucketBounds(i)
			f(time.Duration(low), time.Duration(low+width), c)
		}
	}
}
