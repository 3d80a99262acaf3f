package results

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mslab/results/record"
)

func rankedArms(run *Run) int {
	n := 0
	for _, arm := range run.Plan.Arms {
		if arm.Ranked {
			n++
		}
	}
	return n
}

// overviewTable has a row for each comparison of a run with several ranked
// arms: what it was played under, and what came of it.
func overviewTable(run *Run, trials trialIndex, comparisons []Comparison, minEffect float64) (Table, error) {
	t := Table{Title: "what each change does to the server's cost, under its load", Columns: []Column{
		run.Plan.subjectColumn(),
		{Key: "against", Title: "against", Left: true},
		{Key: "load", Title: "load", Left: true},
		{Key: "before_cpu_ns_per_request", Title: "before", Unit: "ns", Extra: true},
		{Key: "server_cpu_ns_per_request", Title: "CPU/req", Unit: "ns"},
		{Key: "change", Title: "change", Unit: "fraction"},
		{Key: "interval", Title: "95 %"},
	}}
	for i, pair := range run.Pairs() {
		arm := run.Plan.Arms[slices.IndexFunc(run.Plan.Arms, func(a ArmPlan) bool { return a.Name == pair.Arm })]
		before, err := summarizeSubject(trials, arm, run.subject(pair.A), pair.Load)
		if err != nil {
			return t, err
		}
		after, err := summarizeSubject(trials, arm, run.subject(pair.B), pair.Load)
		if err != nil {
			return t, err
		}
		c := comparisons[i]
		t.Rows = append(t.Rows, []Cell{
			TextCell(after.subject.Title()), TextCell(run.Plan.short(before.subject)), TextCell(loadInShort(loadOf(arm, pair.Load), arm.Overrides)),
			FigureCell(before.cpu, FormatNS), FigureCell(after.cpu, FormatNS),
			changeCell(c, true), intervalCell(c, true),
		})
		switch {
		case c.cannotShow():
			t.Notes = append(t.Notes, after.subject.Title()+": "+string(c.Verdict)+".")
		case c.Verdict == TooFew:
			t.Notes = append(t.Notes, after.subject.Title()+": "+c.tooFew()+".")
		}
	}
	t.Notes = append(t.Notes, fmt.Sprintf("min effect %s%s; ~ is no significant difference, corrected for the number of rows; an interval is its row's own.", percent(minEffect), run.effectSource(minEffect)))
	return t, nil
}

// short is the phase's number where no other subject has it, else the name; a
// row that begins with a title needs no more.
func (p *Plan) short(s SubjectPlan) string {
	if s.Phase == nil {
		return s.Name
	}
	for _, other := range p.Subjects {
		if other.Name != s.Name && other.Phase != nil && *other.Phase == *s.Phase {
			return s.Name
		}
	}
	return strconv.Itoa(*s.Phase)
}

// effectSource says where a run's own minimum effect comes from.
func (r *Run) effectSource(minEffect float64) string {
	if r.Plan.MinEffectFrom == "" || minEffect != r.Plan.MinEffect {
		return ""
	}
	return " (" + r.Plan.MinEffectFrom + ")"
}

func (r *Run) subject(name string) SubjectPlan {
	for _, s := range r.Plan.Subjects {
		if s.Name == name {
			return s
		}
	}
	return SubjectPlan{Subject: record.Subject{Name: name}}
}

// loadInShort names what is particular about a load: sizes, kept connections
// and the servers' flags, but not their backlog.
func loadInShort(l record.Load, overrides map[string]string) string {
	words := []string{fmt.Sprintf("%d clients", l.Clients)}
	if l.Connection == "keep" {
		words = append(words, "kept")
	}
	if l.Metrics > 0 && l.Metrics != 3 {
		words = append(words, fmt.Sprintf("%d metrics", l.Metrics))
	}
	flags := make([]string, 0, len(overrides))
	for name, value := range overrides {
		if name != "listen" && name != "fault-hooks" {
			flags = append(flags, name+" "+value)
		}
	}
	slices.Sort(flags)
	return strings.Join(append(words, flags...), ", ")
}
