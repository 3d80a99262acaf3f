package server

import "strings"

// limiter admits at most rate requests of each client within any one second: a
// sliding window over the times of the requests it admitted.
type limiter interface {
	// allow decides on a request of client at now, in ns since any fixed point.
	allow(client string, now int64) bool
}

func newLimiter(variant string, rate int) limiter {
	if variant == "shards" {
		return newLimiterShards(rate)
	}
	return newLimiterMutex(rate)
}

const (
	windowNS = int64(1e9)
	// sweepFrom is the number of clients from which a limiter looks for those whose
	// window is empty, so that names made up by a client cannot fill the memory.
	sweepFrom = 4096
)

// clientWindows maps clients to their windows. It is not safe for concurrent
// use: its owner's lock guards it.
type clientWindows struct {
	rate      int
	byName    map[string]*window
	sweepFrom int
	sweepAt   int
}

// newClientWindows makes a map that sweeps from so many clients on.
func newClientWindows(rate, sweepFrom int) clientWindows {
	return clientWindows{rate: rate, byName: make(map[string]*window), sweepFrom: sweepFrom, sweepAt: sweepFrom}
}

func (c *clientWindows) allow(client string, now int64) bool {
	w := c.byName[client]
	if w == nil {
		if len(c.byName) >= c.sweepAt {
			c.sweep(now)
		}
		w = &window{}
		c.byName[strings.Clone(client)] = w
	}
	return w.allow(c.rate, now)
}

// sweep forgets clients without an admitted request in the last second. The
// next sweep waits until the map has doubled, so that its cost is amortized.
func (c *clientWindows) sweep(now int64) {
	for name, w := range c.byName {
		if w.expire(now); w.count == 0 {
			delete(c.byName, name)
		}
	}
	c.sweepAt = max(c.sweepFrom, 2*len(c.byName))
}

// window is a queue of the times of admitted requests, oldest first, in a ring
// that grows to what one second really brought.
type window struct {
	times       []int64
	head, count int
}

func (w *window) allow(rate int, now int64) bool {
	w.expire(now)
	if w.count >= rate {
		return false
	}
	if w.count == len(w.times) {
		w.grow(rate)
	}
	tail := w.head + w.count
	if tail >= len(w.times) {
		tail -= len(w.times)
	}
	w.times[tail] = now
	w.count++
	return true
}

func (w *window) expire(now int64) {
	for w.count > 0 && now-w.times[w.head] >= windowNS {
		w.count--
		if w.head++; w.head == len(w.times) {
			w.head = 0
		}
	}
}

func (w *window) grow(rate int) {
	larger := make([]int64, min(rate, max(16, 2*len(w.times))))
	n := copy(larger, w.times[w.head:])
	copy(larger[n:], w.times[:w.head])
	w.times, w.head = larger, 0
}
