package scenarios

import (
	"fmt"
	"time"

	"mslab/results"
	"mslab/results/record"
)

const (
	// longestWarmup bounds the repeated warm-up of a server that does not come to
	// rest; a longer one is played once.
	longestWarmup = 3 * time.Second
	// warmupParts of a warm-up are looked at for a change once there are
	// leastParts: with fewer no order of them is rare enough.
	warmupParts = 30
	leastParts  = 8
	// leastRequests a part must have, so that the requests at its ends do not
	// decide; neighbours are joined until they have.
	leastRequests = 2
)

var (
	// warmupRule tells a warm-up from the noise of its parts.
	warmupRule = results.ChangeRule{Alpha: 0.01, MinEffect: 0.05, MinLength: 2}
	// driftRule tells a server that drifts from the machine, whose speed flips by
	// up to 30 %.
	driftRule = results.ChangeRule{Alpha: 0.05, MinEffect: 0.3, MinLength: 2}
)

// costSample is what a server has answered and what it has spent until a
// moment: CPU time, or time where its CPU cannot be read.
type costSample struct {
	ok    int64
	spent time.Duration
}

// costs is what a request cost between samples, in ns.
func costs(samples []costSample) []float64 {
	var out []float64
	for from, i := 0, 1; i < len(samples); i++ {
		if n := samples[i].ok - samples[from].ok; n >= leastRequests {
			out = append(out, float64(samples[i].spent-samples[from].spent)/float64(n))
			from = i
		}
	}
	return out
}

// warmth is how a server's warm-up went.
type warmth struct {
	played time.Duration
	costs  []float64         // of a request, in all parts of all stretches
	rested bool              // the last stretch was steady
	last   []results.Segment // of the last stretch
	parts  [2]int            // of the last stretch but one and of the last
}

// another says whether one more stretch of the warm-up is to be played.
func (w *warmth) another(each time.Duration) bool {
	return w.played == 0 || !w.rested && w.played+each <= longestWarmup
}

// add takes in a stretch. A server is at rest when there is no change within it,
// none since it began in the whole of the warm-up, and it is on the level of what
// was before: the first finds what comes and goes, the second what is slow against
// one stretch, the third what goes on and on while requests become few.
func (w *warmth) add(each time.Duration, costs []float64) {
	w.played += each
	w.costs, w.parts = append(w.costs, costs...), [2]int{w.parts[1], len(costs)}
	w.last = warmupRule.Segments(costs)
	all := warmupRule.Segments(w.costs)
	w.rested = len(w.costs) >= leastParts && len(w.last) == 1 && all[len(all)-1].From <= len(w.costs)-len(costs) &&
		!driftRule.Differ(w.ends())
}

// ends are the costs of the last stretch and of the one before it, more where
// these are too few to tell. What lies further back is the warm-up that is over.
func (w *warmth) ends() (before, last []float64) {
	begin := max(0, len(w.costs)-max(w.parts[1], leastParts))
	return w.costs[max(0, begin-max(w.parts[0], leastParts)):begin], w.costs[begin:]
}

// judgeWarmup strikes rates and latencies of a trial whose server had not come
// to rest.
func judgeWarmup(r *record.Record, w *warmth) {
	if why := w.unrest(); why != "" {
		r.Verdict.Comparable = false
		r.Verdict.Reasons = append(r.Verdict.Reasons, why)
	}
}

// unrest is the reason why rates and latencies after the warm-up cannot be
// compared, "" where it ended in a steady state.
func (w *warmth) unrest() string {
	if w.rested || len(w.costs) < leastParts {
		return "" // or too few requests to tell
	}
	var first, last float64
	switch all := warmupRule.Segments(w.costs[max(0, len(w.costs)-2*warmupParts):]); {
	case len(w.last) > 1:
		first, last = w.last[0].Median, w.last[len(w.last)-1].Median
	case len(all) > 1:
		first, last = all[0].Median, all[len(all)-1].Median
	default:
		before, after := w.ends()
		first, last = results.Median(before), results.Median(after)
	}
	return fmt.Sprintf("no steady state after a warm-up of %s: within the last part of it a request's cost went from %s to %s",
		w.played, results.FormatNS(first), results.FormatNS(last))
}
