package results

import (
	"fmt"

	"mslab/results/record"
)

const (
	// leastSeconds is the shortest series of which a steady state is asked. With
	// fewer seconds no order of them is rare enough.
	leastSeconds = 10
	// steadyEffect is the smallest change of the rate that ends a steady state.
	steadyEffect = 0.05
)

// steadyRule tells a change of the rate from the noise of its seconds. A change
// that lasts for one second only, such as a pause, is none.
var steadyRule = ChangeRule{Alpha: 0.01, MinEffect: steadyEffect, MinLength: 2}

// JudgeSteady strikes rates and latencies of a long load whose rate changed
// while it was measured: one figure for both levels tells of neither. It looks
// at the OK requests of the series' whole seconds, from 10 of them on. A load
// with faults is meant to change and not judged, nor is one whose arrivals do. CPU per request stays usable.
func JudgeSteady(r *record.Record) {
	switch r.Load.Arrival {
	case "ramp", "steps", "replay":
		return // the rate is meant to change
	}
	if len(r.Faults) > 0 {
		return
	}
	if why := unsteady(r); why != "" {
		r.Verdict.Comparable = false
		r.Verdict.Reasons = append(r.Verdict.Reasons, why)
	}
}

// unsteady is the reason why a series is no steady state, "" where it is one. A
// first segment of at most a third of the series with none but it is told apart:
// that is a warm-up, and can be cut off by the user.
func unsteady(r *record.Record) string {
	var rates []float64
	for _, s := range r.Series {
		if float64(s.T+1) <= r.Load.DurationS+1e-9 {
			rates = append(rates, float64(s.OK))
		}
	}
	if len(rates) < leastSeconds {
		return ""
	}
	segments := steadyRule.Segments(rates)
	if len(segments) < 2 {
		return ""
	}
	first, last := segments[0], segments[len(segments)-1]
	// What a warm-up is followed by is not half of it and less: that is a server
	// that was lost.
	if len(segments) == 2 && first.To <= len(rates)/3 && last.Median > first.Median/2 {
		return fmt.Sprintf("no steady state: the first %d s gave %s ok/s, the %d s after them %s; a --warmup of %ds leaves them out",
			first.To, formatCount(first.Median), len(rates)-first.To, formatCount(last.Median), first.To)
	}
	low, high := first.Median, first.Median
	for _, s := range segments[1:] {
		low, high = min(low, s.Median), max(high, s.Median)
	}
	return fmt.Sprintf("no steady state: the rate changed %s, between %s and %s ok/s", often(len(segments)-1), formatCount(low), formatCount(high))
}

// often says how often, in words.
func often(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
