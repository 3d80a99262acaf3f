package results

import (
	"cmp"
	"math"
	"slices"
	"time"

	"mslab/results/record"
)

const (
	// onset is how long before a fault takes effect a request may have been sent
	// and still be hit by it, where ordinary requests are faster than that.
	onset = 10 * time.Millisecond
	// levelWindow is the stretch over which the share of requests in time is
	// taken, before a fault and after it.
	levelWindow = time.Second
	// steadyFor is how long a trial must go on well to be called steady again.
	steadyFor = 500 * time.Millisecond
)

// MeasureFaults says what the clients felt of each fault: it fills in Effect and
// ByConnection. Requests are those of the measured time, in any order; faults
// stand in the order of their injection. A fault that was never injected has no
// effect. A request belongs to one fault at most: to the first during which it
// was in flight, else to the last that was healed before it was sent.
func MeasureFaults(faults []record.Fault, requests []record.Request, deadline time.Duration) {
	windows := faultWindows(faults)
	sent := slices.Clone(requests)
	slices.SortStableFunc(sent, func(a, b record.Request) int { return cmp.Compare(a.Sent, b.Sent) })
	for i, w := range windows {
		if !w.injected {
			continue
		}
		a := analysis{window: w, earlier: windows[:i], deadline: deadline}
		effect := a.effect(sent)
		faults[i].Effect = &effect
		faults[i].ByConnection = map[string]record.FaultEffect{}
		for _, connection := range []struct {
			name string
			kept bool
		}{{"keep", true}, {"new", false}} {
			of := filter(sent, func(r record.Request) bool { return r.Kept == connection.kept })
			if e := a.effect(of); e.During.Sent+e.After.Sent > 0 {
				faults[i].ByConnection[connection.name] = e
			}
		}
	}
}

// faultWindow is a fault's place on the time line.
type faultWindow struct {
	injected     bool
	from, healed time.Duration // in effect
	begin, until time.Duration // the healing of the fault before it, the injection of the next
}

// never is later than anything in a trial.
const never = time.Duration(math.MaxInt64)

func faultWindows(faults []record.Fault) []faultWindow {
	windows := make([]faultWindow, len(faults))
	var begin time.Duration
	last := -1
	for i, f := range faults {
		if f.InjectedS == nil {
			continue
		}
		w := &windows[i]
		*w = faultWindow{injected: true, from: seconds(*f.InjectedS), healed: never, begin: begin, until: never}
		if f.HealedS != nil {
			w.healed = seconds(*f.HealedS)
		}
		if last >= 0 {
			windows[last].until = w.from
		}
		begin, last = w.healed, i
	}
	return windows
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

func filter(requests []record.Request, keep func(record.Request) bool) []record.Request {
	var out []record.Request
	for _, r := range requests {
		if keep(r) {
			out = append(out, r)
		}
	}
	return out
}

// analysis looks at the requests of one fault.
type analysis struct {
	window   faultWindow
	earlier  []faultWindow
	deadline time.Duration
}

func (a analysis) met(r record.Request) bool {
	return r.Class == record.OK && r.Ended-r.Sent <= a.deadline
}

// known is when the client knows that a request has missed.
func (a analysis) known(r record.Request) time.Duration {
	if by := r.Sent + a.deadline; r.Class == record.OK || by < r.Ended {
		return by
	}
	return r.Ended
}

// during says that a request was in flight while the fault was in effect, and
// not while an earlier one was.
func (a analysis) during(r record.Request) bool {
	if !overlaps(r, a.window) {
		return false
	}
	return !slices.ContainsFunc(a.earlier, func(w faultWindow) bool { return w.injected && overlaps(r, w) })
}

func overlaps(r record.Request, w faultWindow) bool { return r.Ended > w.from && r.Sent < w.healed }

// effect measures; sent is in the order of sending.
func (a analysis) effect(sent []record.Request) record.FaultEffect {
	w := a.window
	before := filter(sent, func(r record.Request) bool { return r.Sent >= w.begin && r.Ended <= w.from })
	during := filter(sent, a.during)
	after := filter(sent, func(r record.Request) bool { return r.Sent >= w.healed && r.Ended <= w.until })
	e := record.FaultEffect{
		LevelBefore: a.level(a.shares(before)), GapS: a.gap(sent).Seconds(),
		During: a.count(during), After: a.count(after),
	}
	a.detect(&e, during, a.reach(before))
	a.recover(&e, slices.Concat(during, after))
	a.steady(&e, during, after)
	return e
}

func (a analysis) count(requests []record.Request) record.FaultCounts {
	var c record.FaultCounts
	for _, r := range requests {
		c.Sent++
		switch {
		case a.met(r):
			c.OK++
		case r.Class == record.OK:
			c.Late++
		default:
			if c.Failed == nil {
				c.Failed = map[record.Class]int64{}
			}
			c.Failed[r.Class]++
		}
	}
	return c
}

// reach is how long before the fault a request may have been sent that the
// fault still hit: what was out longer had been slow already.
func (a analysis) reach(before []record.Request) time.Duration {
	var times []time.Duration
	for _, r := range before {
		if a.met(r) {
			times = append(times, r.Ended-r.Sent)
		}
	}
	if len(times) == 0 {
		return onset
	}
	slices.Sort(times)
	return max(onset, times[(len(times)-1)*99/100])
}

// detect finds the first miss, by when it was known.
func (a analysis) detect(e *record.FaultEffect, during []record.Request, reach time.Duration) {
	var first record.Request
	found := false
	for _, r := range during {
		if a.met(r) || r.Sent < a.window.from-reach {
			continue
		}
		if !found || a.known(r) < a.known(first) {
			first, found = r, true
		}
	}
	if !found {
		return
	}
	e.FirstMissS = new(first.Sent.Seconds())
	e.DetectS = new(max(0, a.known(first)-a.window.from).Seconds())
}

// recover finds the first answer in time after the healing. The request may have
// been sent a little before it.
func (a analysis) recover(e *record.FaultEffect, requests []record.Request) {
	first := time.Duration(-1)
	for _, r := range requests {
		if a.met(r) && r.Ended >= a.window.healed && r.Ended < a.window.until && (first < 0 || r.Ended < first) {
			first = r.Ended
		}
	}
	if first >= 0 {
		e.RecoverS = new((first - a.window.healed).Seconds())
	}
}

// gap is the longest time without a send in the last second before the fault.
func (a analysis) gap(sent []record.Request) time.Duration {
	begin := max(a.window.begin, a.window.from-levelWindow)
	last, longest := time.Duration(-1), time.Duration(0)
	for _, r := range sent {
		if r.Sent < begin || r.Sent > a.window.from {
			continue
		}
		if last >= 0 {
			longest = max(longest, r.Sent-last)
		}
		last = r.Sent
	}
	return longest
}

// shares answers which share of the requests sent in a second was in time.
type shares struct {
	sent []time.Duration // in order
	met  []int           // of the requests before this one
}

// shares takes requests in the order of sending.
func (a analysis) shares(requests []record.Request) shares {
	s := shares{met: make([]int, 1, len(requests)+1)}
	for i, r := range requests {
		s.sent = append(s.sent, r.Sent)
		s.met = append(s.met, s.met[i])
		if a.met(r) {
			s.met[i+1]++
		}
	}
	return s
}

// from is the share of the second from start on, and of how many requests.
func (s shares) from(start time.Duration) (share float64, n int) {
	first, _ := slices.BinarySearch(s.sent, start)
	end, _ := slices.BinarySearch(s.sent, start+levelWindow)
	if n = end - first; n == 0 {
		return 0, 0
	}
	return float64(s.met[end]-s.met[first]) / float64(n), n
}

// level is the share of requests in time in the worst of the seconds before the
// fault, counted back from it; nil where there were none.
func (a analysis) level(before shares) *float64 {
	var worst *float64
	for start := a.window.from - levelWindow; start+levelWindow > a.window.begin; start -= levelWindow {
		if share, n := before.from(start); n > 0 && (worst == nil || share < *worst) {
			worst = &share
		}
	}
	return worst
}

// steady finds the moment from which on every second is as good as those before
// the fault, and no request that missed during the fault is in flight any more.
// It begins with a request in time, and not before the first answer in time.
func (a analysis) steady(e *record.FaultEffect, during, after []record.Request) {
	level := 1.0
	if e.LevelBefore != nil {
		level = *e.LevelBefore
	}
	least := a.window.healed
	for _, r := range during {
		if !a.met(r) {
			least = max(least, r.Ended)
		}
	}
	all := a.shares(after)
	for i, r := range after {
		begins := a.met(r) && (i == 0 || !a.met(after[i-1]))
		if begins && all.hold(r.Sent, level) {
			e.SteadyS = new((max(r.Sent, least) - a.window.healed).Seconds())
			if e.RecoverS != nil {
				*e.SteadyS = max(*e.SteadyS, *e.RecoverS)
			}
			return
		}
	}
}

// hold says that no second from start on falls below the level, and that there
// is enough of them to say so.
func (s shares) hold(start time.Duration, level float64) bool {
	last := s.sent[len(s.sent)-1]
	if last-start < steadyFor {
		return false
	}
	for ; start <= last; start += levelWindow {
		if share, n := s.from(start); n > 0 && share < level {
			return false
		}
	}
	return true
}
