package results

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mslab/results/record"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with go test ./results -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what was printed:\n%s", path, got)
	}
}

// latencyOf makes a histogram of n values that grow evenly from p50/2, with the
// last one as the maximum. Encoding one costs milliseconds under -race, and many
// trials share one.
func latencyOf(n int64, p50, longest int64) record.Latency {
	key := [3]int64{n, p50, longest}
	if l, ok := latencies.Load(key); ok {
		return l.(record.Latency)
	}
	h := record.NewHistogram()
	for i := range n - 1 {
		_ = h.RecordValue(p50/2 + i*p50/n)
	}
	_ = h.RecordValue(longest)
	l := record.NewLatency(h, "service")
	latencies.Store(key, l)
	return l
}

var latencies sync.Map

// fullTrial makes a trial as the runner writes it. All that varies follows
// from block and slice, so that golden files stay.
func fullTrial(arm string, block int, subject record.Subject, clients int, cpu float64, slices int) *record.Record {
	const perSlice = 50
	ok := int64(perSlice * slices)
	r := &record.Record{
		Schema: record.Schema, Scenario: "phases", Arm: arm, Block: block, Subject: subject,
		Started: time.Date(2026, 1, 2, 3, 4, block, 0, time.UTC),
		Load:    record.Load{Clients: clients, Arrival: "closed", Connection: "new", DurationS: 0.5 * float64(slices), DeadlineNS: 250e6, TimeoutNS: 5e9, Metrics: 3, Seed: 1},
		Counts: record.Counts{Sent: ok + 1, Answered: ok, OK: ok, Failed: 1, WithinDeadline: ok - 2,
			ByClass: map[record.Class]int64{record.OK: ok, record.ReadTimeout: 1}},
		RPS:     record.RPS{OK: 2e8 / cpu, Total: 2e8 / cpu},
		Latency: latencyOf(ok, int64(20*cpu), 1_020_000_000),
		Server: &record.Server{CPUPerRequest: cpu, CPUNS: int64(cpu) * ok, ThreadsMax: 21, ListenOverflows: int64(block % 3),
			CtxSwitches: record.CtxSwitches{Voluntary: 3 * ok, Involuntary: ok / 50}, SynRetransmits: int64(block % 3), Counters: map[string]int64{}},
		Verdict: record.Verdict{Valid: true, Comparable: true},
	}
	timeout := latencyOf(1, 5e9, 5e9)
	r.Latency.ByClass = map[record.Class]*record.Latency{record.ReadTimeout: &timeout}
	drift := 1 + 0.02*math.Sin(float64(block)*2.3+cpu)
	for i := range slices {
		wave := drift + 0.01*math.Sin(float64(block*7+i*3)+cpu)
		r.Slices = append(r.Slices, record.Slice{Order: i, DurationS: 0.5, Sent: perSlice, OK: perSlice,
			CPUPerRequest: cpu * wave, RPSOK: 2e8 / (cpu * wave)})
	}
	first := latencyOf(int64(clients), 40e6, 3_100_000_000)
	r.FirstWait = &first
	r.Finalize()
	return r
}

// sampleRun is a run of four phases in a ranked and an unranked arm, with every
// verdict there is and trials that count for nothing. It is built once, and
// each caller gets records of its own; what they point to is shared.
func sampleRun() *Run {
	run := *builtSample()
	run.Trials = make([]*record.Record, len(builtSample().Trials))
	for i, r := range builtSample().Trials {
		own := *r
		run.Trials[i] = &own
	}
	return &run
}

var builtSample = sync.OnceValue(buildSample)

func buildSample() *Run {
	one, two, three, four := 1, 2, 3, 4
	subjects := []SubjectPlan{
		{Subject: record.Subject{Name: "threads", Phase: &one}, Claim: "88 % success at 20 clients"},
		{Subject: record.Subject{Name: "async", Phase: &two}, Claim: "66 % success at 50 clients"},
		{Subject: record.Subject{Name: "linear-json", Phase: &three}, Claim: "80.2 % at 100 clients, 2.73 ms"},
		{Subject: record.Subject{Name: "mutex-pool", Phase: &four}},
	}
	loads := []record.Load{{Clients: 20, Arrival: "closed", Connection: "new", Metrics: 3, DeadlineNS: 250e6}}
	original := []record.Load{loads[0], loads[0]}
	original[1].Clients = 100
	run := &Run{
		Schema: RunSchema, Tool: record.Tool{Version: "0.1.0", Commit: "abc"},
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Ended: time.Date(2026, 1, 2, 3, 9, 5, 0, time.UTC),
		Environment: &record.Environment{Kernel: "Linux 6.18.0", CPU: "AMD EPYC", Cores: 2, Go: "go1.26.0", Pinning: "server 0, generator 1", Governor: "none", CalibrationNS: 1820},
		Plan: Plan{Scenario: "phases", About: "The phases side by side.", Subjects: subjects, Seed: 1, MinEffect: 0.013, MinEffectFrom: "A/A run of this machine",
			Arms: []ArmPlan{
				{Name: "isolated", Ranked: true, Loads: loads, Blocks: 10, Slices: 4, SliceS: 0.5, Pairs: []PairPlan{
					{A: "threads", B: "async"}, {A: "async", B: "linear-json"}, {A: "linear-json", B: "mutex-pool", CannotShow: "one core for the server"}}},
				{Name: "original", Loads: original, Blocks: 2, Slices: 1},
			}},
	}
	costs := []float64{77_300, 61_900, 61_850, 61_700}
	for block := 1; block <= 10; block++ {
		for i, s := range subjects {
			run.Trials = append(run.Trials, fullTrial("isolated", block, s.Subject, 20, costs[i], 4))
			if block <= 2 {
				run.Trials = append(run.Trials,
					fullTrial("original", block, s.Subject, 20, costs[i], 1), fullTrial("original", block, s.Subject, 100, costs[i], 1))
			}
		}
	}
	for _, r := range run.Trials {
		switch {
		case r.Arm == "isolated" && r.Block == 3 && r.Subject.Name == "async":
			r.Verdict = record.Verdict{Valid: true, Reasons: []string{"the generator is saturated"}, Bottleneck: "generator"}
		case r.Arm == "original" && r.Load.Clients == 100 && r.Subject.Name == "mutex-pool":
			r.Verdict = record.Verdict{Valid: true, Reasons: []string{"no steady state"}}
		}
	}
	return run
}

func storeRun(t *testing.T, dir string, run *Run) *Store {
	t.Helper()
	s, err := CreateStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteRun(run); err != nil {
		t.Fatal(err)
	}
	for _, r := range run.Trials {
		if err := s.WriteTrial(r); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("fixture: %v", err))
	}
	return v
}
