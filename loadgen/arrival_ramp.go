package loadgen

import (
	"errors"
	"math"
	"time"
)

// ramp goes evenly from one rate to another. Up to time t it has come to
// N(t) = from t + (to - from) t² / 2d requests; the k-th is due where N(t) = k,
// which is solved in the form that loses no digits where both rates are near
// each other.
type ramp struct {
	from, to float64 // requests a second
	d        float64 // s
	n        int64
}

func (r *ramp) next() (int64, bool) {
	k := float64(r.n)
	under := r.from*r.from + 2*(r.to-r.from)*k/r.d
	if under < 0 {
		return 0, false // the ramp is over
	}
	r.n++
	if k == 0 {
		return 0, true
	}
	return int64(2 * k / (r.from + math.Sqrt(under)) * float64(time.Second)), true
}

func rampArrival() arrival {
	return arrival{
		Ramp,
		func(p *Plan) error {
			if len(p.Rates) != 2 {
				return errors.New("check the load: a ramp has two rates, the first and the last")
			}
			return wantRates(p, true)
		},
		func(p *Plan) schedule { return &ramp{from: p.Rates[0], to: p.Rates[1], d: p.Duration.Seconds()} },
		firstRate,
	}
}

// firstRate warms up at the rate that the measured time begins with.
func firstRate(p *Plan) schedule { return &evenly{rate: p.Rates[0]} }
