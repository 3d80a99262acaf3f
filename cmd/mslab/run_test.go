package main

import (
	"strings"
	"testing"

	"mslab/results"
	"mslab/results/record"
)

// TestCellsWithoutTrial has two rates of one number of clients, of which one has
// no valid trial.
func TestCellsWithoutTrial(t *testing.T) {
	number := 7
	subject := record.Subject{Name: "pool", Phase: &number}
	low := record.Load{Clients: 4, Arrival: "constant", Rate: 100}
	high := low
	high.Rate = 100000
	run := &results.Run{
		Plan: results.Plan{
			Subjects: []results.SubjectPlan{{Subject: subject}},
			Arms:     []results.ArmPlan{{Name: "main", Subjects: []string{"pool"}, Loads: []record.Load{low, high}, Blocks: 1}},
		},
		Trials: []*record.Record{
			{Arm: "main", Block: 1, Subject: subject, Load: low, Verdict: record.Verdict{Valid: true}},
			{Arm: "main", Block: 1, Subject: subject, Load: high},
		},
	}
	empty := cellsWithoutTrial(run)
	if len(empty) != 1 || !strings.Contains(empty[0], "100000 requests/s") {
		t.Errorf("without a valid trial: %q, want that of 100000 requests/s alone", empty)
	}
}
