package loadgen

import (
	"math"
	"math/rand/v2"
	"time"
)

// thinkStream is the stream of random numbers of the pauses; bodies take 0 and up,
// Poisson arrivals the two below.
const thinkStream = 1<<63 + 2

// thinker draws the pauses between an answer and the next request. It is not safe
// for concurrent use.
type thinker struct {
	mean time.Duration
	rng  *rand.PCG // nil: each is the mean
}

func newThinker(p *Plan) thinker {
	t := thinker{mean: p.Think}
	if p.ThinkDistribution == ExponentialThink {
		t.rng = rand.NewPCG(uint64(p.Seed), thinkStream)
	}
	return t
}

// next is the next pause. An exponential one is drawn by inversion from 53 random
// bits, so that it is at most 53 ln 2 = 36.7 times the mean.
func (t *thinker) next() time.Duration {
	if t.rng == nil {
		return t.mean
	}
	u := float64(t.rng.Uint64()>>11) / (1 << 53) // in [0, 1)
	return time.Duration(-math.Log1p(-u) * float64(t.mean))
}
