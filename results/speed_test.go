package results

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mslab/results/record"
)

// thousand stores 1,000 trials as runs of the given number of trials each.
func thousand(tb testing.TB, each int) (root string) {
	tb.Helper()
	const all = 1000
	root = tb.TempDir()
	subjects := sampleRun().Plan.Subjects[:2]
	for r := range all / each {
		run := &Run{Schema: RunSchema, Started: time.Date(2026, 1, 2, 3, r, 5, 0, time.UTC), Plan: Plan{Scenario: "many", Subjects: subjects,
			Arms: []ArmPlan{{Name: "isolated", Ranked: true, Loads: []record.Load{{Clients: 20, Connection: "new", Metrics: 3}}, Blocks: each / 2, Slices: 4, SliceS: 0.5,
				Pairs: []PairPlan{{A: subjects[0].Name, B: subjects[1].Name}}}}}}
		store, err := CreateStore(filepath.Join(root, fmt.Sprintf("run-%03d", r)))
		if err != nil {
			tb.Fatal(err)
		}
		for block := 1; block <= each/2; block++ {
			for i, s := range subjects {
				run.Trials = append(run.Trials, fullTrial("isolated", block, s.Subject, 20, 60e3+float64(1e3*i), 4))
			}
		}
		if err := store.WriteRun(run); err != nil {
			tb.Fatal(err)
		}
		for _, trial := range run.Trials {
			if err := store.WriteTrial(trial); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return root
}

// TestThousandTrials holds what a user waits for: a list in under a second, and
// everything that a report draws read, compared and summed up in well under the
// five that a report has. Times are of the CPU, of which a machine has two cores or
// more: ten seconds of it are five.
func TestThousandTrials(t *testing.T) {
	for _, each := range []int{10, 1000} {
		root := thousand(t, each)
		begin := cpuTime(t)
		list, err := ListRuns(root)
		took := cpuTime(t) - begin
		trials := 0
		for _, s := range list {
			trials += s.Trials
		}
		if err != nil || len(list) != 1000/each || trials != 1000 {
			t.Fatalf("%d runs of %d trials, %v", len(list), trials, err)
		}
		t.Logf("%d runs of %d trials listed in %v", len(list), each, took)
		if took > time.Second {
			t.Errorf("listing %d runs took %v, over a second", len(list), took)
		}
		if each < 1000 {
			continue
		}
		begin = cpuTime(t)
		run := must(OpenRun(list[0].Dir))
		opened := cpuTime(t) - begin
		must(Tables(run, 0.01))
		must(ComparePercentiles(run, run.Pairs(), 0.01))
		took = cpuTime(t) - begin
		t.Logf("1,000 trials read in %v, drawn and compared after %v", opened, took)
		if took > 10*time.Second && !raceEnabled {
			t.Errorf("reading and drawing took %v", took)
		}
	}
}

// cpuTime is what this process has spent, which other processes do not add to.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkListRuns(b *testing.B) {
	for _, each := range []int{10, 1000} {
		b.Run(fmt.Sprintf("%d_runs_of_%d", 1000/each, each), func(b *testing.B) {
			root := thousand(b, each)
			for b.Loop() {
				if _, err := ListRuns(root); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenRunOfThousand(b *testing.B) {
	dir := filepath.Join(thousand(b, 1000), "run-000")
	for b.Loop() {
		if _, err := OpenRun(dir); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompareThousand is all that compare does of 500 blocks, reading apart.
func BenchmarkCompareThousand(b *testing.B) {
	run := must(OpenRun(filepath.Join(thousand(b, 1000), "run-000")))
	for b.Loop() {
		must(Compare(run, MetricCPU, run.Pairs(), 0.01))
		must(Compare(run, MetricRPS, run.Pairs(), 0.01))
		must(ComparePercentiles(run, run.Pairs(), 0.01))
	}
}
