package results

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"mslab/results/record"
)

// measured is a run of two subjects whose blocks differ by the given log ratios
// and take 5 s each.
func measured(ratios []float64, arm ArmPlan) *Run {
	arm.Name, arm.Ranked, arm.Slices = "arm", true, 1
	arm.Pairs = []PairPlan{{A: "a", B: "b"}}
	run := &Run{Plan: Plan{Subjects: []SubjectPlan{{Subject: record.Subject{Name: "a"}}, {Subject: record.Subject{Name: "b"}}}, Arms: []ArmPlan{arm}}}
	for i, ratio := range ratios {
		run.Order = append(run.Order, Played{Arm: "arm", Block: i + 1, Order: []string{"a", "b"}, TookS: 5})
		for name, cost := range map[string]float64{"a": 1000, "b": 1000 * math.Exp(ratio)} {
			run.Trials = append(run.Trials, &record.Record{Arm: "arm", Block: i + 1, Subject: record.Subject{Name: name},
				Verdict: record.Verdict{Valid: true, Comparable: true}, Slices: []record.Slice{{CPUPerRequest: cost}}})
		}
	}
	return run
}

func gaussians(seed uint64, n int, mean, sd float64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]float64, n)
	for i := range out {
		out[i] = mean + sd*rng.NormFloat64()
	}
	return out
}

func TestNextBlock(t *testing.T) {
	goal := ArmPlan{Blocks: 10, PrecisionGoal: 0.01}
	narrow, wide := gaussians(1, 10, 0, 0.005), gaussians(2, 10, 0, 0.05)
	for _, c := range []struct {
		name   string
		ratios []float64
		arm    ArmPlan
		want   StopReason // "" goes on
	}{
		{"narrow", narrow, goal, StopPrecision},
		{"narrow and too few", narrow[:9], goal, ""},
		{"narrow and large", gaussians(1, 10, 1, 0.005), goal, StopPrecision},
		{"wide", wide, goal, ""},
		{"wide, time left", wide, ArmPlan{Blocks: 10, PrecisionGoal: 0.01, BudgetS: 55}, ""},
		{"wide, no time left", wide, ArmPlan{Blocks: 10, PrecisionGoal: 0.01, BudgetS: 54}, StopBudget},
		{"least blocks stand over the budget", wide[:9], ArmPlan{Blocks: 10, PrecisionGoal: 0.01, BudgetS: 1}, ""},
		{"wide for long", gaussians(3, MaxBlocks, 0, 1), goal, StopBlocks},
	} {
		next, err := NextBlock(measured(c.ratios, c.arm), "arm")
		if err != nil {
			t.Fatal(err)
		}
		if next.Stop != (c.want != "") || next.Stopped.Why != c.want {
			t.Errorf("%s: %+v, want %q", c.name, next, c.want)
		}
		if next.Stop && (next.Stopped.Blocks != len(c.ratios) || next.Stopped.B != "b" || next.Expected != len(c.ratios)) {
			t.Errorf("%s: %+v", c.name, next)
		}
		if !next.Stop && next.Expected < 10 {
			t.Errorf("%s: %d blocks expected", c.name, next.Expected)
		}
	}
	if _, err := NextBlock(measured(narrow, goal), "none"); err == nil {
		t.Error("an arm that does not exist was decided on")
	}
}

// TestNextBlockIgnoresWhatCannotBeUsed holds that a trial which is not valid
// narrows no interval, and that one pair of many decides.
func TestNextBlockIgnoresWhatCannotBeUsed(t *testing.T) {
	run := measured(gaussians(1, 10, 0, 0.005), ArmPlan{Blocks: 10, PrecisionGoal: 0.01})
	for _, r := range run.Trials[:10] {
		r.Verdict.Valid = false
	}
	if next, err := NextBlock(run, "arm"); err != nil || next.Stop {
		t.Errorf("half of the blocks are not valid: %+v, %v", next, err)
	}
	run = measured(gaussians(1, 10, 0, 0.005), ArmPlan{Blocks: 10, PrecisionGoal: 0.01})
	run.Plan.Subjects = append(run.Plan.Subjects, SubjectPlan{Subject: record.Subject{Name: "c"}})
	run.Plan.Arms[0].Pairs = append(run.Plan.Arms[0].Pairs, PairPlan{A: "b", B: "c"})
	if next, err := NextBlock(run, "arm"); err != nil || next.Stop {
		t.Errorf("a pair without a trial: %+v, %v", next, err)
	}
}

func TestQuickInterval(t *testing.T) {
	for n := 8; n <= 34; n++ {
		for seed := range uint64(6) {
			values := gaussians(seed, n, 0.01, 0.02)
			if seed == 0 {
				values[n/2] = 0.5 // one block apart from all others
			}
			if seed == 1 {
				for i := range values {
					values[i] = math.Round(values[i]*100) / 100 // ties
				}
			}
			low, high := SignFlipInterval(values)
			quickLow, quickHigh := quickInterval(values)
			near := 1.1 * quickTo * SampleSD(values) / math.Sqrt(float64(n))
			if quickLow > low+1e-9 || quickHigh < high-1e-9 || low-quickLow > near || quickHigh-high > near {
				t.Errorf("%d values, seed %d: [%v, %v], by bisection [%v, %v]", n, seed, quickLow, quickHigh, low, high)
			}
		}
	}
}

// TestStoppingRuleIsBlindToSigns holds what the level of the test under the rule
// rests on: of values about zero the rule sees their sizes, not their signs.
func TestStoppingRuleIsBlindToSigns(t *testing.T) {
	values := gaussians(4, 14, 0, 0.02)
	rng := rand.New(rand.NewPCG(5, 6))
	var blinds, halves []float64
	for range 200 {
		for i := range values {
			if rng.IntN(2) == 0 {
				values[i] = -values[i]
			}
		}
		half, blind := blindHalfWidth(values)
		halves, blinds = append(halves, half), append(blinds, blind)
	}
	if seen, is := SampleSD(blinds)/Mean(blinds), SampleSD(halves)/Mean(halves); seen > is/2 {
		t.Errorf("under flips of the signs the width that the rule sees varies by %.1f %%, the interval's by %.1f %%", 100*seen, 100*is)
	}
	half, blind := blindHalfWidth(gaussians(7, 20, 10, 0.02))
	if bound := half * math.Sqrt(1+blindTo*blindTo*half*half/(0.01*0.01)); blind > bound {
		t.Errorf("a large effect is seen as a width of %v, the interval has %v", blind, half)
	}
	if half, blind := blindHalfWidth([]float64{1, 2, 3}); !math.IsInf(half, 1) || !math.IsInf(blind, 1) {
		t.Errorf("three values have an interval: %v, %v", half, blind)
	}
	if half, _ := blindHalfWidth(make([]float64, 12)); half > 1e-9 {
		t.Errorf("twelve equal values differ by %v", half)
	}
}

func TestStoppedIsSaid(t *testing.T) {
	for want, s := range map[string]Stopped{
		"budget of time being spent": {Why: StopBudget, HalfWidth: 0.02, A: "a", B: "b"},
		"the most that are played":   {Why: StopBlocks, HalfWidth: 0.02, A: "a", B: "b"},
		"no interval of b against a": {Why: StopBudget, HalfWidth: Number(math.Inf(1)), A: "a", B: "b"},
		"(4 clients)":                {Why: StopPrecision, HalfWidth: 0.02, Load: "4 clients"},
	} {
		if got := s.String(); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}

func TestCutShort(t *testing.T) {
	run := measured(gaussians(1, 4, 0, 0.01), ArmPlan{Blocks: 10})
	run.Order[1].Order = run.Order[1].Order[:1]     // block 2 was interrupted
	run.Trials[4].Incomplete = true                 // block 3 has a trial that was
	run.Order = append(run.Order[:3], run.Order[0]) // block 4 was not written, 1 twice
	blocks, trials := run.CutShort()
	if len(run.Order) != 1 || run.Order[0].Block != 1 || len(run.Trials) != 2 || len(blocks) != 3 || len(trials) != 6 {
		t.Errorf("kept %v and %d trials, took out %v and %d", run.Order, len(run.Trials), blocks, len(trials))
	}
	if !run.Finished("arm", 1, 0) || run.Finished("arm", 2, 0) || run.Finished("arm", 1, 1) {
		t.Error(fmt.Sprint(run.Order))
	}
}
