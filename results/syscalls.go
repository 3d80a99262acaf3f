package results

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// TracedSyscalls is what a tracer counted of one subject in a trial of its own,
// played after the blocks of its arm: tracing slows down what it looks at, and
// none of this enters a trial's figures.
type TracedSyscalls struct {
	Arm     string    `json:"arm"`
	Load    int       `json:"load"`    // index into ArmPlan.Loads
	Subject string    `json:"subject"` // its name
	Started time.Time `json:"started"`
	// Requests are those answered as they should in each slice of the trial, and
	// CPUNS the server's CPU time over all of them, slowed down by the tracer.
	Requests []int64        `json:"requests"`
	CPUNS    int64          `json:"cpu_ns"`
	Syscalls []SyscallCount `json:"syscalls"` // by name, each once
	Self     TracerCost     `json:"self"`
}

// SyscallCount counts the calls that were made and over while they were traced.
type SyscallCount struct {
	Name   string  `json:"name"`
	Calls  []int64 `json:"calls"`            // in each slice
	Errors []int64 `json:"errors,omitempty"` // of the calls; nil where none failed
	// TotalNS is the time from entry to return, blocked or not; calls that never
	// return, such as exit, have none.
	TotalNS int64 `json:"total_ns"`
}

// TracerCost is what a tracer says of itself.
type TracerCost struct {
	Rung  string `json:"rung"`   // how it was attached
	CPUNS int64  `json:"cpu_ns"` // of the traced server's time
	// MachineNS is the time in the probes on every core and for every process,
	// and Runs how often they ran; 0 where the kernel does not tell.
	MachineNS int64 `json:"machine_ns,omitempty"`
	Runs      int64 `json:"runs,omitempty"`
	// PerCallNS is how much longer a call takes for being traced, and FloorNS
	// what the shortest call reads; both are measured before the trial.
	PerCallNS int64 `json:"per_call_ns"`
	FloorNS   int64 `json:"floor_ns"`
	// Drops counts what it saw and could not count, by reason.
	Drops map[string]int64 `json:"drops,omitempty"`
}

// Lost is the sum of the drops.
func (c TracerCost) Lost() int64 {
	var lost int64
	for _, n := range c.Drops {
		lost += n
	}
	return lost
}

// Check says what the plan does not have of a traced trial, or what of it does
// not add up.
func (t *TracedSyscalls) Check(plan *Plan) error {
	fail := func(err error) error { return fmt.Errorf("the syscalls of %q in arm %q: %w", t.Subject, t.Arm, err) }
	arm, ok := plan.Arm(t.Arm)
	if !ok {
		return fail(errors.New("the run has no such arm"))
	}
	if t.Load < 0 || t.Load >= max(1, len(arm.Loads)) {
		return fail(fmt.Errorf("load %d of %d", t.Load, len(arm.Loads)))
	}
	if !slices.ContainsFunc(plan.SubjectsOf(arm), func(s SubjectPlan) bool { return s.Name == t.Subject }) {
		return fail(errors.New("the arm has no such subject"))
	}
	if slices.ContainsFunc(t.Requests, negative) || t.CPUNS < 0 || sum(t.Requests) == 0 {
		return fail(errors.New("want requests in at least one slice, and nothing below 0"))
	}
	names := map[string]bool{}
	for _, c := range t.Syscalls {
		switch {
		case c.Name == "" || names[c.Name]:
			return fail(fmt.Errorf("syscall %q has no name or is there twice", c.Name))
		case len(c.Calls) != len(t.Requests) || c.Errors != nil && len(c.Errors) != len(t.Requests):
			return fail(fmt.Errorf("%s: want a count for each of the %d slices", c.Name, len(t.Requests)))
		case slices.ContainsFunc(c.Calls, negative) || slices.ContainsFunc(c.Errors, negative) || c.TotalNS < 0 || sum(c.Errors) > sum(c.Calls):
			return fail(fmt.Errorf("%s: counts are not negative, and no more calls fail than are made", c.Name))
		}
		names[c.Name] = true
	}
	return nil
}

// Served is how many requests were answered as they should while it was traced.
func (t *TracedSyscalls) Served() int64 { return sum(t.Requests) }

func negative(n int64) bool { return n < 0 }

func sum(counts []int64) int64 {
	var total int64
	for _, n := range counts {
		total += n
	}
	return total
}

// Syscalls returns what was traced of a subject in an arm under a load.
func (r *Run) Syscalls(arm, subject string, load int) (*TracedSyscalls, bool) {
	for i := range r.Traced {
		if t := &r.Traced[i]; t.Arm == arm && t.Subject == subject && t.Load == load {
			return t, true
		}
	}
	return nil, false
}

// tracedRate is a count per request: over all slices together, and in each that
// answered any.
type tracedRate struct {
	Mean   float64
	Slices []float64
}

// series is one row of a table of syscalls: a syscall, or its failures.
type series struct {
	syscall string
	failed  bool
}

func (s series) String() string {
	if s.failed {
		return s.syscall + " failed"
	}
	return s.syscall
}

// rate is 0 where the subject never made the call.
func (t *TracedSyscalls) rate(s series) tracedRate {
	i := slices.IndexFunc(t.Syscalls, func(c SyscallCount) bool { return c.Name == s.syscall })
	counts := make([]int64, len(t.Requests))
	if i >= 0 && !s.failed {
		counts = t.Syscalls[i].Calls
	} else if i >= 0 && t.Syscalls[i].Errors != nil {
		counts = t.Syscalls[i].Errors
	}
	return rateOf(counts, t.Requests)
}

// all is the rate of every syscall together.
func (t *TracedSyscalls) all() tracedRate {
	counts := make([]int64, len(t.Requests))
	for _, c := range t.Syscalls {
		for i, n := range c.Calls {
			counts[i] += n
		}
	}
	return rateOf(counts, t.Requests)
}

func rateOf(counts, requests []int64) tracedRate {
	r := tracedRate{Mean: float64(sum(counts)) / float64(sum(requests))}
	for i, n := range requests {
		if n > 0 {
			r.Slices = append(r.Slices, float64(counts[i])/float64(n))
		}
	}
	return r
}

// seriesOf lists what the traced trials have counted, failures under their
// syscall, those first of which a request makes the most anywhere.
func seriesOf(traced []*TracedSyscalls) []series {
	most := map[string]float64{}
	failed := map[string]bool{}
	for _, t := range traced {
		for _, c := range t.Syscalls {
			most[c.Name] = math.Max(most[c.Name], t.rate(series{c.Name, false}).Mean)
			failed[c.Name] = failed[c.Name] || sum(c.Errors) > 0
		}
	}
	names := sortedNames(most)
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case most[a] > most[b]:
			return -1
		case most[a] < most[b]:
			return 1
		}
		return strings.Compare(a, b)
	})
	var out []series
	for _, name := range names {
		out = append(out, series{name, false})
		if failed[name] {
			out = append(out, series{name, true})
		}
	}
	return out
}

func sortedNames(m map[string]float64) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// SyscallDifference is how often a request of B makes a syscall against one of
// A.
type SyscallDifference struct {
	Name   string  `json:"name"`
	Failed bool    `json:"failed"` // of the calls, those that failed
	A      float64 `json:"a"`      // calls a request
	B      float64 `json:"b"`
	// CILow and CIHigh hold the mean of B-A with a confidence of 95 %, by
	// Welch's t over the slices of one traced trial each: they know how the
	// slices of a process differ, and nothing of how processes differ. Not a
	// number with fewer than two slices.
	CILow  Number `json:"ci_low"`
	CIHigh Number `json:"ci_high"`
	// Differs says that the interval leaves 0 out and that the difference is at
	// least a hundredth of a call.
	Differs bool `json:"differs"`
}

// leastDifference is the smallest difference in calls a request that is worth a
// line: a server's timers and the readings around a slice make fewer.
const leastDifference = 0.01

// DiffSyscalls holds each syscall of two traced trials against the other's,
// those first whose difference is the largest.
func DiffSyscalls(a, b *TracedSyscalls) []SyscallDifference {
	out := []SyscallDifference{}
	for _, s := range seriesOf([]*TracedSyscalls{a, b}) {
		ra, rb := a.rate(s), b.rate(s)
		d := SyscallDifference{Name: s.syscall, Failed: s.failed, A: ra.Mean, B: rb.Mean}
		low, high := welch(ra.Slices, rb.Slices)
		d.CILow, d.CIHigh = Number(low), Number(high)
		d.Differs = math.Abs(d.B-d.A) >= leastDifference && (low > 0 || high < 0)
		out = append(out, d)
	}
	slices.SortStableFunc(out, func(x, y SyscallDifference) int {
		switch dx, dy := math.Abs(x.B-x.A), math.Abs(y.B-y.A); {
		case dx > dy:
			return -1
		case dx < dy:
			return 1
		}
		return 0
	})
	return out
}

// welch is the 95 % interval of mean(b)-mean(a) where the spreads may differ
// (Welch 1947; degrees of freedom by Welch-Satterthwaite, rounded down).
func welch(a, b []float64) (low, high float64) {
	if len(a) < 2 || len(b) < 2 {
		return math.NaN(), math.NaN()
	}
	difference := Mean(b) - Mean(a)
	va, vb := SampleSD(a)*SampleSD(a)/float64(len(a)), SampleSD(b)*SampleSD(b)/float64(len(b))
	if va+vb == 0 {
		return difference, difference
	}
	freedom := (va + vb) * (va + vb) / (va*va/float64(len(a)-1) + vb*vb/float64(len(b)-1))
	half := tQuantile(0.975, max(1, int(freedom))) * math.Sqrt(va+vb)
	return difference - half, difference + half
}
