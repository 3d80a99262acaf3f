package loadgen

import "errors"

// steps plays one rate after the other, each evenly and for the same time.
type steps struct {
	rates []float64
	each  int64 // ns
	begun int64 // ns
	now   evenly
}

func (s *steps) next() (int64, bool) {
	for len(s.rates) > 0 {
		s.now.rate = s.rates[0]
		if at, _ := s.now.next(); at < s.each {
			return s.begun + at, true
		}
		s.rates, s.begun, s.now.n = s.rates[1:], s.begun+s.each, 0
	}
	return 0, false
}

func stepsArrival() arrival {
	return arrival{
		Steps,
		func(p *Plan) error {
			if len(p.Rates) == 0 {
				return errors.New("check the load: steps need a rate for each")
			}
			return wantRates(p, false)
		},
		func(p *Plan) schedule {
			return &steps{rates: p.Rates, each: int64(p.Duration) / int64(len(p.Rates))}
		},
		firstRate,
	}
}
