package results

import (
	"strings"
	"testing"

	"mslab/results/record"
)

func TestJoinRuns(t *testing.T) {
	base, candidate := pairRun(1, 1, 1, 1, 1, 1, 1, 1), pairRun(1, 1, 1, 1, 1, 1, 1, 1)
	for _, r := range candidate.Trials {
		for i := range r.Slices {
			if r.Subject.Name == "b" {
				r.Slices[i].CPUPerRequest *= 1.2
			}
		}
	}
	base.Environment = &record.Environment{Kernel: "Linux 6.1", CalibrationNS: 1820}
	candidate.Environment = &record.Environment{Kernel: "Linux 6.18", CalibrationNS: 2130}
	joined := must(Join(base, candidate))
	got := must(Compare(joined, MetricCPU, joined.Pairs(), 0.01))
	if len(got) != 2 || got[0].Verdict != NoChange || got[1].Verdict != Slower || !got[1].Regressed() {
		t.Fatalf("%+v; want a unchanged and b slower", got)
	}
	if got[1].A != "b (base)" || got[1].B != "b (candidate)" {
		t.Errorf("compared %q with %q", got[1].B, got[1].A)
	}
	notes := strings.Join(joined.Notes, "\n")
	for _, want := range []string{"not interleaved", `"Linux 6.1" in the base, "Linux 6.18"`, "1.82µs", "2.13µs"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
	if len(base.Trials) != 16 || base.Trials[0].Subject.Name != "a" {
		t.Error("joining changed the base")
	}
}

func TestJoinPlainLoads(t *testing.T) {
	base, candidate := trialOf("", 0, "", 50e3), trialOf("", 0, "http://other/", 40e3)
	joined := must(Join(RunOf(base), RunOf(candidate)))
	got := must(Compare(joined, MetricCPU, joined.Pairs(), 0.01))
	if len(got) != 1 || got[0].Verdict != TooFew || got[0].Blocks != 1 || got[0].Change() != "-20.0 %" {
		t.Errorf("%+v; want the change and too few to tell", got)
	}
}

func TestJoinRefuses(t *testing.T) {
	base, candidate := pairRun(1), pairRun(1)
	candidate.Plan.Arms[0].Loads[0].Clients = 99
	if _, err := Join(base, candidate); err == nil || !strings.Contains(err.Error(), "same load") {
		t.Errorf("error %v of runs under different loads", err)
	}
	candidate.Plan.Subjects = []SubjectPlan{{Subject: record.Subject{Name: "x"}}, {Subject: record.Subject{Name: "y"}}}
	if _, err := Join(base, candidate); err == nil || !strings.Contains(err.Error(), "no subject") {
		t.Errorf("error %v of runs without a common subject", err)
	}
}
