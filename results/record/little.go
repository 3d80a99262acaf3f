package record

import (
	"fmt"
	"math"
	"time"
)

const (
	// Little's law is asked of windows at least this long and full; shorter
	// slices are asked together, as the trial that they make up.
	littleWindow   = time.Second
	littleRequests = 1000
	littleLimit    = 0.02
)

// Little holds the two sides of Little's law over the measured window (J. D. C.
// Little, "A Proof for the Queuing Formula L = λW", 1961). They are counted
// apart, and must agree.
type Little struct {
	WindowNS int64 `json:"window_ns"`
	// InFlightNS is the number of requests in flight, integrated over time at
	// each start and end.
	InFlightNS float64 `json:"in_flight_ns"`
	// RequestsNS is the time of all requests as the histograms hold it, those
	// unfinished at the window's end counted up to it.
	RequestsNS float64 `json:"requests_ns"`
}

// add joins the windows of two slices.
func (l *Little) add(o *Little) *Little {
	switch {
	case l == nil:
		return o
	case o == nil:
		return l
	}
	return &Little{l.WindowNS + o.WindowNS, l.InFlightNS + o.InFlightNS, l.RequestsNS + o.RequestsNS}
}

// CheckLittle verifies Little's law to 2 %, where the window is long and full
// enough to ask: 1 s and 1,000 requests.
func (r *Record) CheckLittle() error {
	l := r.Little
	if l == nil || l.WindowNS < int64(littleWindow) || r.Counts.OK+r.Counts.Failed < littleRequests || l.InFlightNS == 0 {
		return nil
	}
	if off := math.Abs(l.RequestsNS-l.InFlightNS) / l.InFlightNS; off > littleLimit {
		return fmt.Errorf("requests in flight and their summed time differ by %.1f %% (over 2 %%, Little's law): requests were lost or timed wrongly", 100*off)
	}
	return nil
}
