package scenarios

import (
	"errors"
	"fmt"
	"time"

	"mslab/results"
)

// defaultBudget bounds a run with a precision to reach and no budget.
const defaultBudget = 10 * time.Minute

// withGoal hands the precision of the options or of the scenario to the ranked
// arms. That of the options stands over all others; blocks that the scenario
// counts do not bind then.
func (s *Scenario) withGoal(o Options) {
	if o.Precision > 0 {
		s.Precision, s.Budget = o.Precision, o.Budget
	}
	for i := range s.Arms {
		arm := &s.Arms[i]
		if o.Precision > 0 {
			arm.Precision, arm.Budget = 0, 0
		}
		if arm.Precision == 0 && arm.Ranked {
			arm.Precision = s.Precision
		}
	}
}

// setGoals gives the arms that compare something and have a precision to reach
// their least number of blocks, or the options' where those are more, and their
// share of the budget, which is the time that is left beside what else is
// played, by the length of their blocks.
//
// That nothing is compared is an error where the options ask for a precision,
// and a note where the scenario does.
func (p *Plan) setGoals(budget time.Duration, o Options) error {
	asked, pairs := o.Precision > 0, p.comparisons()
	var goals []int
	var rest, weight time.Duration
	for i := range p.arms {
		arm, play := &p.Record.Arms[i], &p.arms[i]
		asked = asked || arm.PrecisionGoal > 0
		if arm.PrecisionGoal > 0 && (len(arm.Pairs) == 0 || arm.Blocks == 0) {
			arm.PrecisionGoal, arm.BudgetS = 0, 0
		}
		if arm.PrecisionGoal == 0 {
			rest += time.Duration(play.blocks)*play.blockDuration() + play.tracedDuration()
			continue
		}
		goals = append(goals, i)
		rest += play.tracedDuration()
		arm.Blocks = max(o.Blocks, results.LeastBlocks(pairs))
		play.blocks, play.goal = arm.Blocks, arm.PrecisionGoal
		if arm.BudgetS == 0 {
			weight += play.blockDuration()
		}
	}
	if asked && len(goals) == 0 {
		const nothing = "a precision is asked for, and nothing is compared: it takes two subjects in a ranked arm, whose load is sliced"
		if o.Precision > 0 {
			return errors.New(nothing)
		}
		p.Notes = append(p.Notes, "The numbers of blocks are fixed: "+nothing+".")
	}
	if budget == 0 {
		budget = defaultBudget
	}
	for _, i := range goals {
		arm, play := &p.Record.Arms[i], p.arms[i]
		if arm.BudgetS == 0 {
			share := max(budget-rest, 0).Seconds() * play.blockDuration().Seconds() / weight.Seconds()
			arm.BudgetS = max(share, 1) // 0 would be no bound
		}
		if least := time.Duration(arm.Blocks) * play.blockDuration(); least > arm.Budget() {
			p.Notes = append(p.Notes, fmt.Sprintf("Arm %s: the least number of blocks, %d, takes about %s and is played, though the budget leaves %s for it.",
				arm.Name, arm.Blocks, least.Round(time.Second), arm.Budget().Round(time.Second)))
		}
	}
	return nil
}

// describeGoal says what a precision to reach adds to an arm's description.
func (p *Plan) describeGoal(i int) string {
	arm := p.Record.Arms[i]
	if arm.PrecisionGoal == 0 {
		return ""
	}
	return fmt.Sprintf(" at least, and more until every interval is within ±%.3g %% or %s are spent",
		100*arm.PrecisionGoal, arm.Budget().Round(time.Second))
}
