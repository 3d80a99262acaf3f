package report

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mslab/results"
	"mslab/results/record"
)

// reference opens one of the committed runs.
func reference(t testing.TB, name string) *results.Run {
	t.Helper()
	return open(t, filepath.Join("..", "reference", name))
}

// ranked is the reference run of the phases without the arm that ranks nothing:
// most of what a page has, at a fifth of the work.
func ranked(t testing.TB) *results.Run {
	t.Helper()
	run := reference(t, "phases")
	run.Plan.Arms = run.Plan.Arms[:1]
	run.Trials = slices.DeleteFunc(run.Trials, func(r *record.Record) bool { return r.Arm != run.Plan.Arms[0].Name })
	return run
}

func open(t testing.TB, dir string) *results.Run {
	t.Helper()
	run, err := results.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func drawn(t testing.TB, runs ...*results.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, runs, words()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func words() Options {
	return Options{Phases: map[int]PhaseText{2: {About: "The writer leaves the request path."}, 5: {About: "16 worker threads and a bounded queue."}}}
}

// evil is what a file that somebody else wrote may hold wherever it has text.
const evil = `</script><img src=x onerror="alert(1)"><script>alert(2)</script>'"&{{.}}]]>`

// foreignRun has two subjects that are no phases: one whose process could be
// read, and one at a URL, of which nothing is known but what its clients saw.
// Its names and reasons are hostile.
func foreignRun(t testing.TB, blocks int) *results.Run {
	t.Helper()
	load := record.Load{Clients: 4, Arrival: "closed", Connection: "keep", DurationS: 1, DeadlineNS: 250e6, TimeoutNS: 5e9}
	run := &results.Run{
		Schema: results.RunSchema, Tool: record.Tool{Version: evil}, Started: time.Unix(1_790_000_000, 0), Incomplete: true,
		Notes: []string{evil},
		Plan: results.Plan{Scenario: evil, About: evil, MinEffect: .01, MinEffectFrom: evil,
			Subjects: []results.SubjectPlan{
				{Subject: record.Subject{Name: "old" + evil, Command: []string{"./a", evil}}, Claim: evil},
				{Subject: record.Subject{Name: "new", URL: "http://example.invalid/" + evil}},
			},
			Arms: []results.ArmPlan{{Name: "arm" + evil, About: evil, Ranked: true, Loads: []record.Load{load}, Blocks: blocks, Slices: 2, SliceS: .5,
				Overrides: map[string]string{evil: evil}, Pairs: []results.PairPlan{{A: "old" + evil, B: "new"}}}}},
	}
	for block := 1; block <= blocks; block++ {
		for i, subject := range run.Plan.Subjects {
			run.Trials = append(run.Trials, trial(run.Plan.Arms[0].Name, subject.Subject, load, block, i == 0))
		}
	}
	return run
}

func trial(arm string, subject record.Subject, load record.Load, block int, read bool) *record.Record {
	h := record.NewHistogram()
	for i := range int64(1000) {
		if err := h.RecordValue(100_000 + 900*i + 7000*int64(block)); err != nil {
			panic(err) // within the histogram's range by construction
		}
	}
	r := &record.Record{Schema: record.Schema, Arm: arm, Block: block, Subject: subject, Load: load,
		Counts:  record.Counts{Sent: 1000, Answered: 1000, OK: 1000, ByClass: map[record.Class]int64{record.OK: 1000}, WithinDeadline: 1000},
		Success: record.Success{Transport: 1, HTTP: 1, Semantic: 1, Deadline: 1}, RPS: record.RPS{OK: 1000 + float64(block), Total: 1000 + float64(block)},
		Latency: record.NewLatency(h, "service"), Verdict: record.Verdict{Valid: true, Comparable: true},
		Series: []record.Second{{T: 0, OK: 1000, P50: 500_000, P99: 900_000}}}
	for i := range 2 {
		slice := record.Slice{Order: 2*block + i, OffsetS: float64(4*block + i), DurationS: .5, Sent: 500, OK: 500, RPSOK: 1000 + float64(block), P50: 500_000, P99: 900_000}
		if read {
			slice.CPUPerRequest = 50_000 + 100*float64(block)
		}
		r.Slices = append(r.Slices, slice)
	}
	if read {
		r.Server = &record.Server{CPUPerRequest: 50_000, CPUNS: 50_000_000, UserNS: 10_000_000, SystemNS: 40_000_000, ThreadsMax: 5}
	}
	if block == 2 {
		r.Verdict = record.Verdict{Reasons: []string{evil}}
	}
	return r
}

// manyTrials is a run of n trials of seven phases.
func manyTrials(t testing.TB, n int) *results.Run {
	t.Helper()
	run := reference(t, "phases")
	var pattern []*record.Record
	for _, r := range run.Trials {
		if r.Arm == "isolated" {
			pattern = append(pattern, r)
		}
	}
	run.Trials = nil
	run.Plan.Arms = run.Plan.Arms[:1]
	run.Traced = nil
	perRound := 7 * 10
	for i := range n {
		r := *pattern[i%len(pattern)]
		r.Block += 10 * (i / perRound)
		run.Trials = append(run.Trials, &r)
	}
	run.Plan.Arms[0].Blocks = (n + 6) / 7
	return run
}

func folder(t testing.TB, run *results.Run) string {
	t.Helper()
	store, err := results.CreateStore(filepath.Join(t.TempDir(), "run"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.WriteRun(run); err != nil {
		t.Fatal(err)
	}
	for _, r := range run.Trials {
		if err := store.WriteTrial(r); err != nil {
			t.Fatal(fmt.Errorf("trial: %w", err))
		}
	}
	return store.Dir()
}
