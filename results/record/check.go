package record

import (
	"errors"
	"fmt"
)

// Finalize fills in what follows from the counts: the schema and the four
// success rates.
func (r *Record) Finalize() {
	r.Schema = Schema
	r.Success = r.Counts.Success()
}

// Success returns the four rates of DESIGN.md; all are 0 where nothing was
// sent.
func (c Counts) Success() Success {
	if c.Sent == 0 {
		return Success{}
	}
	of := func(n int64) float64 { return float64(n) / float64(c.Sent) }
	return Success{
		Transport: of(c.Answered),
		HTTP:      of(c.OK + c.ByClass[BodyMismatch]),
		Semantic:  of(c.OK),
		Deadline:  of(c.WithinDeadline),
	}
}

// checkService wants a service time of every request that was sent, where
// response and service times stand apart.
func checkService(r *Record, fail func(format string, args ...any)) {
	s := r.Service
	if s == nil {
		return
	}
	if s.Count != r.Counts.OK {
		fail("the service times hold %d requests, ok is %d", s.Count, r.Counts.OK)
	}
	for class, n := range r.Counts.ByClass {
		if class == OK || class == Shed || n == 0 {
			continue
		}
		if l := s.ByClass[class]; l == nil || l.Count != n {
			fail("class %s counts %d requests, its service times do not", class, n)
		}
	}
	if s.ByClass[Shed] != nil {
		fail("shed requests have service times, but were never sent")
	}
}

// checkShape refuses what cannot be added up: negative counts and times, a class
// without its histogram, a histogram that is not the one described.
func (r *Record) checkShape() error {
	c := r.Counts
	for name, n := range map[string]int64{
		"sent": c.Sent, "answered": c.Answered, "ok": c.OK, "failed": c.Failed, "in_flight": c.InFlight, "in_doubt": c.InDoubt,
		"within_deadline": c.WithinDeadline, "connects": c.Connects, "starved_clients": c.Starved,
	} {
		if n < 0 {
			return fmt.Errorf("counts.%s is %d, and a count is not negative", name, n)
		}
	}
	for name, v := range map[string]float64{
		"load.duration_s": r.Load.DurationS, "rps.ok": r.RPS.OK, "rps.total": r.RPS.Total, "client.cpu_ns_per_request": r.Client.CPUPerRequest,
	} {
		if v < 0 {
			return fmt.Errorf("%s is %v, and cannot be negative", name, v)
		}
	}
	if s := r.Server; s != nil && (s.CPUPerRequest < 0 || s.CPUNS < 0) {
		return fmt.Errorf("server.cpu_ns is %d, %v a request, and cannot be negative", s.CPUNS, s.CPUPerRequest)
	}
	for i, s := range r.Slices {
		if s.CPUPerRequest < 0 || s.RPSOK < 0 || s.Sent < 0 || s.OK < 0 || s.DurationS < 0 {
			return fmt.Errorf("slice %d has a negative figure", i+1)
		}
	}
	for _, s := range r.Series {
		if s.T < 0 || s.OK < 0 || s.Failed < 0 || s.P50 < 0 || s.P99 < 0 {
			return fmt.Errorf("second %d of the series has a negative figure", s.T)
		}
	}
	for name, l := range map[string]*Latency{"latency": &r.Latency, "service_latency": r.Service, "first_request_latency": r.FirstWait} {
		if l == nil {
			continue
		}
		if err := l.check(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return r.Merged.check()
}

// check holds the description of a histogram against the histogram, and those
// of the classes likewise.
func (l *Latency) check() error {
	if err := l.checkOne(); err != nil {
		return err
	}
	for class, of := range l.ByClass {
		switch {
		case of == nil:
			return fmt.Errorf("class %s has no histogram", class)
		case len(of.ByClass) > 0:
			return fmt.Errorf("class %s is split into classes once more", class)
		}
		if err := of.checkOne(); err != nil {
			return fmt.Errorf("class %s: %w", class, err)
		}
	}
	return nil
}

func (l *Latency) checkOne() error {
	if l.Count < 0 || l.Mean < 0 || l.P50 < 0 || l.P90 < l.P50 || l.P99 < l.P90 || l.P999 < l.P99 || l.Max < l.P999 {
		return fmt.Errorf("the percentiles of %d requests do not rise from 0: p50 %d, p90 %d, p99 %d, p99.9 %d, max %d", l.Count, l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	if l.HDR == "" && l.Count == 0 {
		return nil // nothing was measured
	}
	h, err := l.Histogram()
	if err != nil {
		return err
	}
	if p50, p99 := h.ValueAtPercentile(50), h.ValueAtPercentile(99); l.Count > 0 && (p50 != l.P50 || p99 != l.P99) {
		return fmt.Errorf("the histogram's p50 and p99 are %d and %d ns, the record says %d and %d", p50, p99, l.P50, l.P99)
	}
	return nil
}

// Check verifies the identities of the accounting and names every one that
// does not hold.
func (r *Record) Check() error {
	c := r.Counts
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Sent != c.OK+c.Failed+c.InFlight {
		fail("sent %d is not ok %d + failed %d + in flight %d", c.Sent, c.OK, c.Failed, c.InFlight)
	}
	var sum, answered int64
	for class, n := range c.ByClass {
		sum += n
		if n < 0 {
			fail("class %s counts %d", class, n)
		}
		if class.Answered() {
			answered += n
		}
	}
	if c.OK+c.Failed != sum {
		fail("ok %d + failed %d is not the sum of the classes, %d", c.OK, c.Failed, sum)
	}
	if c.OK != c.ByClass[OK] {
		fail("ok %d is not the class ok, %d", c.OK, c.ByClass[OK])
	}
	if c.Answered != answered {
		fail("answered %d is not the sum of the classes with an answer, %d", c.Answered, answered)
	}
	if c.WithinDeadline > c.OK {
		fail("within the deadline %d exceeds ok %d", c.WithinDeadline, c.OK)
	}
	if c.InDoubt > c.Failed {
		fail("in doubt %d exceeds failed %d", c.InDoubt, c.Failed)
	}
	if r.Latency.Count != c.OK {
		fail("the latency histogram holds %d requests, ok is %d", r.Latency.Count, c.OK)
	}
	for class, n := range c.ByClass {
		if class == OK || n == 0 {
			continue
		}
		if l := r.Latency.ByClass[class]; l == nil || l.Count != n {
			fail("class %s counts %d requests, its histogram does not", class, n)
		}
	}
	checkService(r, fail)
	if len(errs) > 0 {
		return fmt.Errorf("accounting does not add up: %w", errors.Join(errs...))
	}
	return nil
}
