package scenarios

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mslab/results"
)

// checkEvents holds what a whole run told against what it stored.
func checkEvents(t *testing.T, events []Event, run *results.Run) {
	t.Helper()
	if len(events) < 2 {
		t.Fatalf("%d events", len(events))
	}
	if begun, ok := events[0].(RunBegun); !ok || begun.Plan.Scenario != run.Plan.Scenario || begun.Expected <= 0 {
		t.Errorf("the first event is %+v", events[0])
	}
	if events[len(events)-1] != (RunEnded{Complete: true}) {
		t.Errorf("the last event is %+v", events[len(events)-1])
	}
	var slice *SliceBegun
	played := map[Place][]string{}
	trials, samples := 0, 0
	for _, e := range events {
		switch e := e.(type) {
		case SliceBegun:
			if slice != nil {
				t.Errorf("slice %+v begins inside %+v", e, *slice)
			}
			slice = &e
		case Sample:
			samples++
			if slice == nil || e.Warmup {
				t.Errorf("a sample outside of the slices: %+v", e)
			}
		case SliceEnded:
			if slice == nil || slice.Subject != e.Subject || slice.Place != e.Place || e.Slice.Sent != e.Counts.Sent || e.Counts.OK == 0 {
				t.Errorf("slice %+v ended as %+v", slice, e)
			}
			slice, played[e.Place] = nil, append(played[e.Place], e.Subject)
		case TrialKept:
			if e.Trial != run.Trials[trials] || len(e.Trial.Slices) != occurrences(played[e.Place], e.Trial.Subject.Name) {
				t.Errorf("trial %d of %+v is not the one told of", trials, e.Place)
			}
			trials++
		}
	}
	if trials != len(run.Trials) {
		t.Errorf("told of %d trials of %d", trials, len(run.Trials))
	}
	// A single short slice may be over on a busy machine before it is glanced at.
	if took := sliceTime(run); samples == 0 && took > 15*tinySampleEvery {
		t.Errorf("no sample in %v of slices, want one about every %v", took, tinySampleEvery)
	}
	for _, p := range run.Order {
		if got := played[Place{Arm: p.Arm, Load: p.Load, Block: p.Block, Blocks: blocksOf(run, p.Arm)}]; !slices.Equal(got, p.Order) {
			t.Errorf("arm %s, block %d: told of slices of %v, played %v", p.Arm, p.Block, got, p.Order)
		}
	}
}

func sliceTime(run *results.Run) (sum time.Duration) {
	for _, trial := range run.Trials {
		for _, s := range trial.Slices {
			sum += time.Duration(s.DurationS * 1e9)
		}
	}
	return sum
}

func occurrences(names []string, name string) int {
	n := 0
	for _, s := range names {
		if s == name {
			n++
		}
	}
	return n
}

func blocksOf(run *results.Run, arm string) int {
	for _, a := range run.Plan.Arms {
		if a.Name == arm {
			return a.Blocks
		}
	}
	return 0
}

// TestTimeLeft plays a plan of 4 blocks of 10 s each on a machine that takes 12 s.
func TestTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arm := armPlay{name: "a", blocks: 4, slices: 1, subjects: make([]player, 1), loads: []Load{{Clients: []int{1}, Slice: 10*time.Second - sliceOverhead - startOverhead}}}
		var lefts []time.Duration
		p := newProgress(Play{Progress: func(e Event) {
			switch e := e.(type) {
			case RunBegun:
				lefts = append(lefts, e.Expected)
			case BlockBegun:
				lefts = append(lefts, e.Left)
			case SliceBegun:
				lefts = append(lefts, e.Left)
			case BlockEnded:
				lefts = append(lefts, e.Left)
			}
		}}, &Plan{arms: []armPlay{arm}})
		for block := 1; block <= arm.blocks; block++ {
			p.block(&arm, block, 0)
			time.Sleep(6 * time.Second)
			p.slice(&arm, &cell{}, arm.loads[0])
			time.Sleep(6 * time.Second)
			p.blockEnded()
		}
		want := []time.Duration{40, 40, 34, 36, 36, 30, 24, 24, 18, 12, 12, 6, 0}
		for i := range want {
			want[i] *= time.Second
		}
		for i := range lefts {
			lefts[i] = lefts[i].Round(time.Millisecond)
		}
		if !slices.Equal(lefts, want) {
			t.Errorf("time left %v, want %v", lefts, want)
		}
	})
}

func TestNobodyWatches(t *testing.T) {
	var p *progress
	p.tell(RunEnded{})
	newProgress(Play{}, &Plan{}).tell(RunEnded{})
}
