package loadgen

import (
	"math"
	"math/rand/v2"
	"time"
)

// poisson is a Poisson process: the gaps are independent and exponential, as
// those of many independent users are.
type poisson struct {
	rng  *rand.PCG
	gap  float64 // mean, ns
	time float64
}

func (p *poisson) next() (int64, bool) {
	u := float64(p.rng.Uint64()>>11) / (1 << 53) // in [0, 1)
	p.time -= math.Log1p(-u) * p.gap
	return int64(p.time), true
}

func poissonArrival() arrival {
	// Streams of their own: bodies take 0 and up.
	of := func(p *Plan, stream uint64) schedule {
		return &poisson{rng: rand.NewPCG(uint64(p.Seed), stream), gap: float64(time.Second) / p.Rate}
	}
	return arrival{
		Poisson, wantRate,
		func(p *Plan) schedule { return of(p, 1<<63) },
		func(p *Plan) schedule { return of(p, 1<<63+1) },
	}
}
