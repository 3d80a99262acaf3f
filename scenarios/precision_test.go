package scenarios

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"mslab/results"
)

// TestScenariosSurviveTheirKeeping holds that what --resume plans from is what
// was planned from, for every scenario there is.
func TestScenariosSurviveTheirKeeping(t *testing.T) {
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(all, Default()) {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again := new(Scenario)
		if err := json.Unmarshal(data, again); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(s, again) {
			t.Errorf("%s: kept and read again it is another scenario:\n%+v\n%+v", s.Name, s, again)
		}
	}
}

func TestPlanRestIsThePlan(t *testing.T) {
	p := gatePlan(t, Options{Phases: []string{"3", "5"}, Precision: 0.02, Budget: 5 * time.Minute, Clients: []int{4}, MinEffect: 0.02, MinEffectFrom: "a test"})
	data, err := json.MarshalIndent(p.Record, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	run := &results.Run{Incomplete: true}
	if err := json.Unmarshal(data, &run.Plan); err != nil {
		t.Fatal(err)
	}
	again, err := planRest(run, splitCores([]int{0, 1}))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.arms, p.arms) {
		t.Errorf("planned %+v, again %+v", p.arms, again.arms)
	}
	if _, err := planRest(run, splitCores([]int{0})); err != nil {
		t.Logf("on one core: %v", err) // is seen by the environment at the latest
	}
}

func TestGoalsAndBudgets(t *testing.T) {
	pair := []string{"3", "5"}
	p := gatePlan(t, Options{Phases: pair, Precision: 0.01})
	arm := p.Record.Arms[0]
	if arm.Blocks != 10 || arm.PrecisionGoal != 0.01 || math.Abs(arm.BudgetS-600) > 1e-6 || p.arms[0].goal != 0.01 {
		t.Errorf("%+v", arm)
	}
	if p := gatePlan(t, Options{Phases: pair, Precision: 0.01, Blocks: 12}); p.Record.Arms[0].Blocks != 12 {
		t.Errorf("--blocks 12: %d at least", p.Record.Arms[0].Blocks)
	}
	p = gatePlan(t, Options{Phases: pair, Precision: 0.01, Budget: 20 * time.Second})
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "the least number of blocks, 10,") {
		t.Errorf("notes %q", p.Notes)
	}
	shared, err := newPlan(mustDecode(t, `name: x
matrix: {subject: [3, 5]}
arms:
  a: {}
  b: {load: {clients: [2, 4]}}
  told: {load: {requests-per-client: 10}, blocks: 2}
repeat: {blocks: 30, slices: 4}
`), Options{Precision: 0.01}, splitCores([]int{0, 1}))
	if err != nil {
		t.Fatal(err)
	}
	a, b, told := shared.Record.Arms[0], shared.Record.Arms[1], shared.Record.Arms[2]
	left := 600 - 2*shared.arms[2].blockDuration().Seconds()
	for i := range shared.arms {
		left -= shared.arms[i].tracedDuration().Seconds()
	}
	if math.Abs(a.BudgetS+b.BudgetS-left) > 1e-6 || math.Abs(b.BudgetS-2*a.BudgetS) > 1e-6 {
		t.Errorf("budgets %v and %v of %v", a.BudgetS, b.BudgetS, left)
	}
	if a.Blocks != 10 || told.PrecisionGoal != 0 || told.Blocks != 2 {
		t.Errorf("blocks %d; %+v", a.Blocks, told)
	}
	var text strings.Builder
	if err := shared.Describe(&text); err != nil || !strings.Contains(strings.ReplaceAll(text.String(), "\n ", ""), "every interval is within ±1 %") {
		t.Errorf("%v: %s", err, text.String())
	}
	if _, err := newPlan(mustDecode(t, "name: x\nmatrix: {subject: [3]}\n"), Options{Precision: 0.01}, splitCores([]int{0, 1})); err == nil {
		t.Error("a precision of nothing was planned")
	}
}

func mustDecode(t *testing.T, yaml string) *Scenario {
	t.Helper()
	s, err := Decode("f.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
