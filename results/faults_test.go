package results

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"mslab/results/record"
)

const (
	ms       = time.Millisecond
	deadline = 250 * ms
)

// stretch makes requests that are sent every so often in [from, to) and each
// take as long and end alike.
func stretch(from, to, every, took time.Duration, class record.Class, kept bool) []record.Request {
	var out []record.Request
	for at := from; at < to; at += every {
		out = append(out, record.Request{Sent: at, Ended: at + took, Class: class, Kept: kept})
	}
	return out
}

func join(parts ...[]record.Request) []record.Request {
	var out []record.Request
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func faultAt(injected, healed time.Duration) record.Fault {
	f := record.Fault{FaultPlan: record.FaultPlan{Name: "partition"}, InjectedS: new(injected.Seconds())}
	if healed > 0 {
		f.HealedS = new(healed.Seconds())
	}
	return f
}

// none stands for what did not happen.
const none = time.Duration(-1)

func wantMoment(t *testing.T, what string, got *float64, want time.Duration) {
	t.Helper()
	switch {
	case got == nil && want == none:
	case got == nil:
		t.Errorf("%s: never, want %v", what, want)
	case want == none:
		t.Errorf("%s: %v s, want never", what, *got)
	case math.Abs(*got-want.Seconds()) > 1e-9:
		t.Errorf("%s: %v s, want %v", what, *got, want)
	}
}

func TestMeasureFaults(t *testing.T) {
	steady := func(from, to time.Duration) []record.Request {
		return stretch(from, to, 10*ms, 2*ms, record.OK, true)
	}
	one := func(sent, took time.Duration, class record.Class) []record.Request {
		return []record.Request{{Sent: sent, Ended: sent + took, Class: class, Kept: true}}
	}
	cases := []struct {
		name                               string
		fault                              record.Fault
		requests                           []record.Request
		firstMiss, detect, recover, steady time.Duration
		during, after                      record.FaultCounts
	}{
		{
			name: "waits for the retransmission timer", fault: faultAt(1*time.Second, 2*time.Second),
			// In the cut one request waits until 2.6 s; then all is well.
			requests:  join(steady(0, time.Second), one(1004*ms, 1596*ms, record.OK), steady(2610*ms, 4*time.Second)),
			firstMiss: 1004 * ms, detect: 254 * ms, recover: 612 * ms, steady: 612 * ms,
			during: record.FaultCounts{Sent: 1, Late: 1}, after: record.FaultCounts{Sent: 139, OK: 139},
		},
		{
			name: "a reset is known at once", fault: faultAt(1*time.Second, 2*time.Second),
			requests: join(steady(0, time.Second), stretch(1003*ms, 2*time.Second, 100*ms, ms, record.ConnectRefused, true),
				steady(2*time.Second, 3*time.Second)),
			firstMiss: 1003 * ms, detect: 4 * ms, recover: 2 * ms, steady: 2 * ms,
			during: record.FaultCounts{Sent: 10, Failed: map[record.Class]int64{record.ConnectRefused: 10}},
			after:  record.FaultCounts{Sent: 100, OK: 100},
		},
		{
			name: "never recovers", fault: faultAt(1*time.Second, 2*time.Second),
			requests: join(steady(0, time.Second), stretch(1002*ms, 4*time.Second, 500*ms, 500*ms, record.ReadTimeout, true)),
			// Deadline before timeout: that is when it is known.
			firstMiss: 1002 * ms, detect: 252 * ms, recover: none, steady: none,
			during: record.FaultCounts{Sent: 2, Failed: map[record.Class]int64{record.ReadTimeout: 2}},
			after:  record.FaultCounts{Sent: 4, Failed: map[record.Class]int64{record.ReadTimeout: 4}},
		},
		{
			name: "never detected", fault: faultAt(1*time.Second, 2*time.Second), requests: steady(0, 3*time.Second),
			firstMiss: none, detect: none, recover: 2 * ms, steady: 2 * ms,
			during: record.FaultCounts{Sent: 100, OK: 100}, after: record.FaultCounts{Sent: 100, OK: 100},
		},
		{
			name: "a failure before the fault is not its own", fault: faultAt(1*time.Second, 2*time.Second),
			requests: join(steady(0, time.Second), one(500*ms, 300*ms, record.Status503), one(1001*ms, 1099*ms, record.ReadTimeout),
				steady(2*time.Second, 3*time.Second)),
			firstMiss: 1001 * ms, detect: 251 * ms, recover: 2 * ms, steady: 100 * ms,
			during: record.FaultCounts{Sent: 1, Failed: map[record.Class]int64{record.ReadTimeout: 1}},
			after:  record.FaultCounts{Sent: 100, OK: 100},
		},
		{
			name: "slow before the fault began", fault: faultAt(1*time.Second, 2*time.Second),
			// Out for 240 ms already where requests take 2 ms: not the fault's
			// first miss; the one sent 4 ms ahead is.
			requests:  join(steady(0, 900*ms), one(760*ms, 600*ms, record.OK), one(996*ms, 1300*ms, record.OK), steady(2300*ms, 4*time.Second)),
			firstMiss: 996 * ms, detect: 246 * ms, recover: 302 * ms, steady: 302 * ms,
			during: record.FaultCounts{Sent: 2, Late: 2}, after: record.FaultCounts{Sent: 170, OK: 170},
		},
		{
			name: "no request at all", fault: faultAt(1*time.Second, 2*time.Second),
			firstMiss: none, detect: none, recover: none, steady: none,
		},
		{
			name: "no request in the window", fault: faultAt(1*time.Second, 1005*ms),
			requests:  join(steady(0, 900*ms), steady(1500*ms, 2010*ms)),
			firstMiss: none, detect: none, recover: 497 * ms, steady: 497 * ms,
			after: record.FaultCounts{Sent: 51, OK: 51},
		},
		{
			name: "at the very end", fault: faultAt(2990*ms, 3*time.Second),
			requests:  join(steady(0, 2990*ms), one(2995*ms, 210*ms, record.OK)),
			firstMiss: none, detect: none, recover: 205 * ms, steady: none,
			during: record.FaultCounts{Sent: 1, OK: 1},
		},
		{
			name: "at the very end and felt", fault: faultAt(2990*ms, 3*time.Second),
			requests:  join(steady(0, 2990*ms), one(2991*ms, 5*time.Second, record.ReadTimeout)),
			firstMiss: 2991 * ms, detect: 251 * ms, recover: none, steady: none,
			during: record.FaultCounts{Sent: 1, Failed: map[record.Class]int64{record.ReadTimeout: 1}},
		},
		{
			name: "never healed", fault: faultAt(1*time.Second, 0),
			requests:  join(steady(0, time.Second), stretch(1*time.Second, 3*time.Second, time.Second, 500*ms, record.ConnectTimeout, true)),
			firstMiss: time.Second, detect: 250 * ms, recover: none, steady: none,
			during: record.FaultCounts{Sent: 2, Failed: map[record.Class]int64{record.ConnectTimeout: 2}},
		},
		{
			name: "answers before it is steady", fault: faultAt(1*time.Second, 2*time.Second),
			requests: join(steady(0, time.Second), one(1001*ms, 1050*ms, record.OK), steady(2051*ms, 2501*ms),
				one(2505*ms, 400*ms, record.OK), steady(2521*ms, 5*time.Second)),
			firstMiss: 1001 * ms, detect: 251 * ms, recover: 53 * ms, steady: 521 * ms,
			during: record.FaultCounts{Sent: 1, Late: 1}, after: record.FaultCounts{Sent: 294, OK: 293, Late: 1},
		},
		{
			name: "one client is left behind", fault: faultAt(1*time.Second, 2*time.Second),
			requests:  join(steady(0, time.Second), one(1001*ms, 3*time.Second, record.OK), steady(2*time.Second, 5*time.Second)),
			firstMiss: 1001 * ms, detect: 251 * ms, recover: 2 * ms, steady: 2001 * ms,
			during: record.FaultCounts{Sent: 1, Late: 1}, after: record.FaultCounts{Sent: 300, OK: 300},
		},
		{
			name: "as good as it was, which was not perfect", fault: faultAt(2*time.Second, 3*time.Second),
			// One of 100 misses in each second before; the same after it.
			requests: join(steady(0, 990*ms), one(990*ms, ms, record.Status503), steady(time.Second, 1990*ms), one(1990*ms, ms, record.Status503),
				one(2001*ms, 999*ms, record.OK), steady(3*time.Second, 3500*ms), one(3500*ms, ms, record.Status503), steady(3510*ms, 4*time.Second)),
			firstMiss: 2001 * ms, detect: 251 * ms, recover: 2 * ms, steady: 2 * ms,
			during: record.FaultCounts{Sent: 1, Late: 1},
			after:  record.FaultCounts{Sent: 100, OK: 99, Failed: map[record.Class]int64{record.Status503: 1}},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			faults := []record.Fault{c.fault}
			rand.New(rand.NewPCG(1, 2)).Shuffle(len(c.requests), func(i, j int) { c.requests[i], c.requests[j] = c.requests[j], c.requests[i] })
			MeasureFaults(faults, c.requests, deadline)
			e := faults[0].Effect
			if e == nil {
				t.Fatal("no effect")
			}
			wantMoment(t, "first miss sent", e.FirstMissS, c.firstMiss)
			wantMoment(t, "detect", e.DetectS, c.detect)
			wantMoment(t, "recover", e.RecoverS, c.recover)
			wantMoment(t, "steady", e.SteadyS, c.steady)
			wantCounts(t, "during", e.During, c.during)
			wantCounts(t, "after", e.After, c.after)
		})
	}
}

func wantCounts(t *testing.T, what string, got, want record.FaultCounts) {
	t.Helper()
	if got.Sent != want.Sent || got.OK != want.OK || got.Late != want.Late || got.FailedSum() != want.FailedSum() {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
	for class, n := range want.Failed {
		if got.Failed[class] != n {
			t.Errorf("%s: %d %s, want %d", what, got.Failed[class], class, n)
		}
	}
	if got.Sent != got.OK+got.Late+got.FailedSum() {
		t.Errorf("%s does not add up: %+v", what, got)
	}
}

// TestMeasureFaultsByConnection: the two kinds of connections wait for different
// timers, and their counts make up the whole.
func TestMeasureFaultsByConnection(t *testing.T) {
	requests := join(
		stretch(0, time.Second, 10*ms, 2*ms, record.OK, true), stretch(5*ms, time.Second, 10*ms, 3*ms, record.OK, false),
		[]record.Request{
			{Sent: 1010 * ms, Ended: 2900 * ms, Class: record.OK, Kept: true},
			{Sent: 1020 * ms, Ended: 2300 * ms, Class: record.OK},
		},
		stretch(2905*ms, 4*time.Second, 10*ms, 2*ms, record.OK, true), stretch(2305*ms, 4*time.Second, 10*ms, 3*ms, record.OK, false))
	faults := []record.Fault{faultAt(time.Second, 2*time.Second)}
	MeasureFaults(faults, requests, deadline)
	f := faults[0]
	kept, fresh := f.ByConnection["keep"], f.ByConnection["new"]
	wantMoment(t, "kept: recover", kept.RecoverS, 907*ms)
	wantMoment(t, "new: recover", fresh.RecoverS, 308*ms)
	wantMoment(t, "kept: detect", kept.DetectS, 260*ms)
	wantMoment(t, "new: detect", fresh.DetectS, 270*ms)
	wantMoment(t, "all: recover", f.Effect.RecoverS, 308*ms)
	wantMoment(t, "all: steady", f.Effect.SteadyS, 900*ms)
	if sum := kept.After.Sent + fresh.After.Sent; sum != f.Effect.After.Sent || kept.During.Sent != 1 || fresh.During.Sent != 1 {
		t.Errorf("kept %+v and new %+v do not make up %+v", kept, fresh, f.Effect)
	}
	if gap := seconds(f.Effect.GapS); gap != 5*ms {
		t.Errorf("gap between requests: %v, want 5ms", gap)
	}
	if f.Effect.LevelBefore == nil || *f.Effect.LevelBefore != 1 {
		t.Errorf("level before: %v, want 1", f.Effect.LevelBefore)
	}
}

// TestMeasureFaultsInARow: a request belongs to one fault only.
func TestMeasureFaultsInARow(t *testing.T) {
	requests := join(stretch(0, time.Second, 10*ms, 2*ms, record.OK, true),
		[]record.Request{{Sent: 1005 * ms, Ended: 3500 * ms, Class: record.OK, Kept: true}}, // through both
		stretch(2*time.Second, 3*time.Second, 10*ms, 2*ms, record.OK, true),
		[]record.Request{{Sent: 3010 * ms, Ended: 4100 * ms, Class: record.OK, Kept: true}},
		stretch(4*time.Second, 5*time.Second, 10*ms, 2*ms, record.OK, true))
	faults := []record.Fault{faultAt(time.Second, 2*time.Second), {FaultPlan: record.FaultPlan{Name: "memory"}}, faultAt(3*time.Second, 4*time.Second)}
	MeasureFaults(faults, requests, deadline)
	if faults[1].Effect != nil {
		t.Errorf("a fault that never was has an effect: %+v", faults[1].Effect)
	}
	wantCounts(t, "during the first", faults[0].Effect.During, record.FaultCounts{Sent: 1, Late: 1})
	wantCounts(t, "after the first", faults[0].Effect.After, record.FaultCounts{Sent: 100, OK: 100})
	wantCounts(t, "during the second", faults[2].Effect.During, record.FaultCounts{Sent: 1, Late: 1})
	wantCounts(t, "after the second", faults[2].Effect.After, record.FaultCounts{Sent: 100, OK: 100})
	wantMoment(t, "the second's first miss", faults[2].Effect.FirstMissS, 3010*ms)
	wantMoment(t, "the second's steady", faults[2].Effect.SteadyS, 100*ms)
}

// TestMeasureFaultsOfManyRequests keeps the analysis fast where every other
// request misses: 200,000 of them.
func TestMeasureFaultsOfManyRequests(t *testing.T) {
	if testing.Short() {
		t.Skip("many requests: skipped by -short")
	}
	const every = 100 * time.Microsecond
	requests := make([]record.Request, 0, 200_000)
	for i := range 200_000 {
		r := record.Request{Sent: time.Duration(i) * every, Class: record.OK}
		r.Ended = r.Sent + ms
		if r.Sent > 5*time.Second && i%2 == 0 {
			r.Class = record.Status503
		}
		requests = append(requests, r)
	}
	faults := []record.Fault{faultAt(5*time.Second, 10*time.Second)}
	start := time.Now()
	MeasureFaults(faults, requests, deadline)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	if faults[0].Effect.SteadyS != nil {
		t.Errorf("steady after %v s, never was", *faults[0].Effect.SteadyS)
	}
}
