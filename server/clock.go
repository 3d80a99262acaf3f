package server

import (
	"sync/atomic"
	"time"
)

// adjustableClock is a base clock with an offset that fault hooks may set. The
// offset shifts wall-clock time, as an operator's or NTP's step would.
type adjustableClock struct {
	base   Clock
	offset atomic.Int64 // ns
}

func (c *adjustableClock) Now() time.Time {
	return c.base.Now().Add(time.Duration(c.offset.Load()))
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }
