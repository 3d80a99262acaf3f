package results

import (
	"testing"

	"mslab/results/record"
)

// TestShortNamesTellSubjectsApart wants a phase's number where that says who is
// meant, and its name where two subjects are one phase.
func TestShortNamesTellSubjectsApart(t *testing.T) {
	three, five := 3, 5
	p := Plan{Subjects: []SubjectPlan{
		{Subject: record.Subject{Name: "linear-json", Phase: &three}}, {Subject: record.Subject{Name: "linear-json'", Phase: &three}},
		{Subject: record.Subject{Name: "pool", Phase: &five}}, {Subject: record.Subject{Name: "nginx"}},
	}}
	want := []string{"linear-json", "linear-json'", "5", "nginx"}
	for i, s := range p.Subjects {
		if got := p.short(s); got != want[i] {
			t.Errorf("%s is called %q, want %q", s.Title(), got, want[i])
		}
	}
}
