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
