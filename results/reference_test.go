package results

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"mslab/results/record"
)

// TestReferenceIsThatOfTheCommittedRun holds the figure inside the program
// against the run it is of; `go test ./results -run Reference -update` writes
// it anew.
func TestReferenceIsThatOfTheCommittedRun(t *testing.T) {
	summaries, err := ListRuns("reference")
	if err != nil {
		t.Fatal(err)
	}
	var comparisons []Comparison
	for _, s := range summaries {
		if s.Scenario != SameScenario {
			continue
		}
		run, err := OpenRun(s.Dir)
		if err != nil {
			t.Fatal(err)
		}
		want, ok := SameHalfWidth(run)
		if !ok {
			t.Fatalf("%s has no interval of a phase against itself", s.Dir)
		}
		if comparisons, err = Compare(run, MetricCPU, run.Pairs(), run.Plan.MinEffect); err != nil {
			t.Fatal(err)
		}
		if got, _ := ReferenceHalfWidth(); got != want && !*update {
			t.Errorf("half-width %v, the run says %v", got, want)
		}
		break
	}
	var b bytes.Buffer
	if err := RenderComparisons(&b, comparisons); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(filepath.Join("reference", "aa.json"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(b.Bytes(), referenceSame) {
		t.Errorf("reference/aa.json is not what the committed run says; write it with go test ./results -run Reference -update\nhave %s\nwant %s", referenceSame, b.Bytes())
	}
}

func TestSameHalfWidthIsOfAPhaseAgainstItself(t *testing.T) {
	three, other := 3, 4
	run := &Run{Plan: Plan{Subjects: []SubjectPlan{{}, {}}, Arms: []ArmPlan{{Name: "main", Ranked: true, Blocks: 10, Slices: 1,
		Pairs: []PairPlan{{A: "a", B: "b"}}}}}}
	run.Plan.Subjects[0].Name, run.Plan.Subjects[1].Name = "a", "b"
	run.Plan.Subjects[0].Phase = &three
	for block := 1; block <= 10; block++ {
		for i, name := range []string{"a", "b"} {
			run.Trials = append(run.Trials, fullTrial("main", block, record.Subject{Name: name}, 20, 60_000+300*float64((block*7+i*3)%5), 1))
		}
	}
	run.Plan.Subjects[1].Phase = &three
	half, ok := SameHalfWidth(run)
	if !ok || half < 0.001 || half > 0.1 {
		t.Errorf("a phase against itself: half-width %v, %v", half, ok)
	}
	run.Plan.Subjects[1].Phase = &other
	if half, ok := SameHalfWidth(run); ok {
		t.Errorf("a phase against another one gave a half-width of %v", half)
	}
}

// TestSameHalfWidthIsTheWidest holds that every pair of a thing with itself
// counts, phases and commands, and no other pair.
func TestSameHalfWidthIsTheWidest(t *testing.T) {
	three := 3
	phase := func(name, parse string) SubjectPlan {
		return SubjectPlan{Subject: record.Subject{Name: name, Phase: &three, Recipe: map[string]string{"parse": parse}}}
	}
	command := func(name string) SubjectPlan {
		return SubjectPlan{Subject: record.Subject{Name: name, Command: []string{"./a", "{port}"}}}
	}
	run := &Run{Plan: Plan{Subjects: []SubjectPlan{phase("a", "linear"), phase("b", "linear"), phase("c", "quadratic"), command("d"), command("e")},
		Arms: []ArmPlan{{Name: "main", Ranked: true, Blocks: 10, Slices: 1}}}}
	for block := 1; block <= 10; block++ {
		for i, spread := range []float64{300, 300, 9000, 900, 900} {
			name := run.Plan.Subjects[i].Name
			run.Trials = append(run.Trials, fullTrial("main", block, record.Subject{Name: name}, 20, 60_000+spread*float64((block*7+i*3)%5), 1))
		}
	}
	width := func(pairs ...PairPlan) float64 {
		run.Plan.Arms[0].Pairs = pairs
		half, ok := SameHalfWidth(run)
		if !ok {
			return 0
		}
		return half
	}
	phases, commands, other := PairPlan{A: "a", B: "b"}, PairPlan{A: "d", B: "e"}, PairPlan{A: "b", B: "c"}
	narrow, wide := width(phases), width(commands)
	if narrow == 0 || wide <= narrow {
		t.Fatalf("half-widths of %v and %v", narrow, wide)
	}
	if all := width(other, phases, commands); all != wide {
		t.Errorf("%v of all, want the widest of a thing with itself, %v", all, wide)
	}
	if got := width(other); got != 0 {
		t.Errorf("%v of two recipes", got)
	}
}
