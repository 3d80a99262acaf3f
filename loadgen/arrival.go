package loadgen

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Arrival says when the requests of an open loop come due.
type Arrival string

// The arrivals of DESIGN.md.
const (
	Constant Arrival = "constant" // evenly, Rate a second
	Poisson  Arrival = "poisson"  // at random, Rate a second on average; from the seed
	Ramp     Arrival = "ramp"     // at a rate that goes evenly from Rates[0] to Rates[1]
	Steps    Arrival = "steps"    // evenly at each of Rates in turn, for an equal part of the duration
	Replay   Arrival = "replay"   // at the times given
)

// MaxRate bounds the rates of a plan, in requests a second: several times what
// one thread can send.
const MaxRate = 1e6

// MinRate bounds them from below: a request a year. A gap of many times that
// is beyond what a 64-bit number of ns holds, and a schedule of it never ends.
const MinRate = 1.0 / (365 * 24 * 60 * 60)

// defaultMaxConnections is the least that MaxConnections is where not given.
const defaultMaxConnections = 1000

// schedule yields the intended starts of a load in ns since its beginning,
// never decreasing; ok is false where none is left.
type schedule interface {
	next() (at int64, ok bool)
}

// arrival is one way to make a schedule.
type arrival struct {
	name     Arrival
	check    func(*Plan) error
	schedule func(*Plan) schedule
	warmup   func(*Plan) schedule // of unbounded length
}

// arrivals lists them all.
func arrivals() []arrival {
	return []arrival{constantArrival(), poissonArrival(), rampArrival(), stepsArrival(), replayArrival()}
}

// Arrivals are the names of all arrivals.
func Arrivals() []Arrival {
	var names []Arrival
	for _, a := range arrivals() {
		names = append(names, a.name)
	}
	return names
}

// Open tells whether the plan is an open loop.
func (p *Plan) Open() bool {
	return p.Rate != 0 || len(p.Rates) > 0 || len(p.Replay) > 0 || p.Arrival != ""
}

// arrivalOf finds the plan's arrival, the constant one where it names none.
func arrivalOf(p *Plan) (arrival, error) {
	name := p.Arrival
	if name == "" {
		name = Constant
	}
	for _, a := range arrivals() {
		if a.name == name {
			return a, nil
		}
	}
	return arrival{}, fmt.Errorf("check the load: unknown arrival %q, want one of %v", name, Arrivals())
}

func (p *Plan) validateArrival() error {
	if !p.Open() {
		if p.MaxConnections != 0 {
			return errors.New("check the load: a limit of connections belongs to an open loop; give a rate")
		}
		return nil
	}
	a, err := arrivalOf(p)
	if err != nil {
		return err
	}
	switch {
	case p.Think != 0:
		return errors.New("check the load: an open loop has no think time: its schedule says when requests start")
	case p.RequestsPerClient != 0:
		return errors.New("check the load: an open loop has no requests per client; bound it by requests or by duration")
	case p.MaxConnections < 0:
		return fmt.Errorf("check the load: the limit of connections must be positive, not %d", p.MaxConnections)
	case p.MaxConnections > 0 && p.MaxConnections < p.Clients:
		return fmt.Errorf("check the load: at most %d connections are fewer than the %d to start with", p.MaxConnections, p.Clients)
	case len(p.Replay) > 0 && a.name != Replay:
		return fmt.Errorf("check the load: times to replay need the arrival %q, not %q", Replay, a.name)
	}
	return a.check(p)
}

// wantRate checks the arrivals that have one rate.
func wantRate(p *Plan) error {
	if len(p.Rates) > 0 {
		return errors.New("check the load: a constant or random arrival has one rate, not several")
	}
	if p.Rate == 0 {
		return errors.New("check the load: an open loop needs a rate above 0")
	}
	return checkRate(p.Rate, false)
}

// wantRates checks the arrivals whose rate changes over the duration.
func wantRates(p *Plan, zero bool) error {
	if p.Rate != 0 {
		return errors.New("check the load: a ramp or steps have several rates, not one")
	}
	if p.Duration <= 0 {
		return errors.New("check the load: a ramp or steps are spread over the duration, so they need one and no number of requests")
	}
	sum := 0.0
	for _, r := range p.Rates {
		if err := checkRate(r, zero); err != nil {
			return err
		}
		sum += r
	}
	if sum == 0 {
		return errors.New("check the load: a rate must be above 0 requests/s")
	}
	return nil
}

func checkRate(r float64, zero bool) error {
	switch {
	case math.IsNaN(r) || r < 0 || r == 0 && !zero:
		return fmt.Errorf("check the load: a rate must be above 0 requests/s, not %v", r)
	case r > 0 && r < MinRate:
		return fmt.Errorf("check the load: the rate %v is under %.2g requests/s, which is one a year", r, MinRate)
	case r > MaxRate:
		return fmt.Errorf("check the load: the rate %v is over %.0f requests/s, more than a generator's thread can send", r, MaxRate)
	}
	return nil
}

// bounded ends a schedule before a time, after a number of requests, or both.
type bounded struct {
	schedule
	end  int64 // ns; 0: no such end
	left int64 // < 0: no such end
}

func (b *bounded) next() (int64, bool) {
	if b.left == 0 {
		return 0, false
	}
	at, ok := b.schedule.next()
	if !ok || b.end > 0 && at >= b.end {
		b.left = 0
		return 0, false
	}
	if b.left > 0 {
		b.left--
	}
	return at, true
}

// scheduleOf makes the schedule of the warm-up or of the measured time.
func scheduleOf(p *Plan, warmup bool) schedule {
	a, err := arrivalOf(p)
	if err != nil {
		return &bounded{} // a plan that was checked has one
	}
	if warmup {
		return &bounded{a.warmup(p), int64(p.Warmup), -1}
	}
	b := &bounded{a.schedule(p), int64(p.Duration), -1}
	if p.Requests > 0 {
		b.left = p.Requests
	}
	return b
}

// evenly is a schedule of a constant rate.
type evenly struct {
	rate float64
	n    int64
}

func (e *evenly) next() (int64, bool) {
	if e.rate == 0 {
		return 0, false
	}
	// From the index, so that no rounding adds up.
	at := int64(float64(e.n) * float64(time.Second) / e.rate)
	e.n++
	return at, true
}

func constantArrival() arrival {
	even := func(p *Plan) schedule { return &evenly{rate: p.Rate} }
	return arrival{Constant, wantRate, even, even}
}
