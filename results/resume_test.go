package results

import (
	"testing"

	"mslab/results/record"
)

// TestFinishedForeignTrialsAreKept resumes a run in which a phase and a foreign
// subject, which gets no metrics, were played under several loads.
func TestFinishedForeignTrialsAreKept(t *testing.T) {
	loads := []record.Load{{Clients: 4, Metrics: 3}, {Clients: 8, Metrics: 3}}
	number := 7
	phase, foreign := record.Subject{Name: "ours", Phase: &number}, record.Subject{Name: "theirs", URL: "http://127.0.0.1:1", Request: "GET /"}
	run := &Run{Incomplete: true, Plan: Plan{
		Subjects: []SubjectPlan{{Subject: phase}, {Subject: foreign}},
		Arms:     []ArmPlan{{Name: "main", Subjects: []string{"ours", "theirs"}, Loads: loads, Blocks: 2, Slices: 1}},
	}}
	for i, load := range loads {
		run.Order = append(run.Order, Played{Arm: "main", Block: 1, Load: i, Order: []string{"ours", "theirs"}})
		own := load
		own.Metrics = 0
		run.Trials = append(run.Trials,
			&record.Record{Arm: "main", Block: 1, Subject: phase, Load: load},
			&record.Record{Arm: "main", Block: 1, Subject: foreign, Load: own})
	}
	// Of a second block one subject's trial was cut short.
	cut := loads[1]
	cut.Metrics = 0
	run.Order = append(run.Order, Played{Arm: "main", Block: 2, Load: 1, Order: []string{"ours", "theirs"}})
	run.Trials = append(run.Trials, &record.Record{Arm: "main", Block: 2, Subject: foreign, Load: cut, Incomplete: true})

	blocks, trials := run.CutShort()
	if len(blocks) != 1 || blocks[0].Block != 2 || len(run.Order) != 2 {
		t.Errorf("%d blocks taken out, %d left, want the second one alone taken out", len(blocks), len(run.Order))
	}
	if len(trials) != 1 || len(run.Trials) != 4 {
		t.Errorf("%d trials taken out, %d left, want 1 and 4", len(trials), len(run.Trials))
	}
}
