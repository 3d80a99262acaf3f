package scenarios

import (
	"fmt"
	"time"

	"mslab/results/record"
)

func invalidate(r *record.Record, reason string) {
	r.Verdict.Valid, r.Verdict.Comparable = false, false
	r.Verdict.Reasons = append(r.Verdict.Reasons, reason)
}

// judge holds the generator's account of a stretch against the server's:
// ok <= processed <= sent, and equality where nothing is in flight and no
// request ended without the server's word on it.
func judge(r *record.Record, pending int64) {
	processed, ok := r.Server.Counters["batches_processed"]
	if !ok {
		invalidate(r, "the server does not count batches_processed, so nothing can be accounted for")
		return
	}
	c := r.Counts
	switch {
	case processed < c.OK:
		invalidate(r, fmt.Sprintf("the server processed %d batches, the generator got %d answers that say so", processed, c.OK))
	case processed > c.Sent:
		invalidate(r, fmt.Sprintf("the server processed %d batches, the generator sent %d", processed, c.Sent))
	case processed != c.OK && c.InFlight == 0 && c.InDoubt == 0:
		invalidate(r, fmt.Sprintf("the server processed %d batches, the generator knows of %d, and none is in flight or in doubt", processed, c.OK))
	}
	if pending > 0 {
		invalidate(r, fmt.Sprintf("the server had %d batches unwritten 1 s after the last answer: their cost is not in the figures", pending))
	}
}

// disturbance is what the machine's other tenants took from it.
type disturbance struct {
	steal     float64 // seconds, all cores
	throttled int64   // periods in which the cgroup's quota ran out
}

// since is what was taken between two readings.
func (d disturbance) since(before disturbance) disturbance {
	return disturbance{d.steal - before.steal, d.throttled - before.throttled}
}

func (d *disturbance) add(o disturbance) {
	d.steal += o.steal
	d.throttled += o.throttled
}

const (
	// stealLimit is the share of all cores' time that other virtual machines may
	// take of a trial before its rates mean nothing. Below it the slices, which
	// take turns, share it out among the subjects.
	stealLimit = 0.05
	// stealTick is the kernel's unit of steal in seconds; less cannot be told.
	stealTick = 0.01
)

// judgeDisturbance strikes rates and latencies of a trial during which the
// machine was not all ours: taken while it was under load for so long.
func judgeDisturbance(r *record.Record, taken disturbance, load time.Duration, cores int) {
	strike := func(reason string) {
		r.Verdict.Comparable = false
		r.Verdict.Reasons = append(r.Verdict.Reasons, reason)
	}
	total := load.Seconds() * float64(cores)
	if total > 0 && taken.steal > stealLimit*total && taken.steal > 1.5*stealTick {
		strike(fmt.Sprintf("other virtual machines took %.1f %% of the cores (steal)", 100*taken.steal/total))
	}
	if taken.throttled > 0 {
		strike(fmt.Sprintf("the cgroup's CPU quota ran out %d times", taken.throttled))
	}
}
