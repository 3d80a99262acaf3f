package report

import (
	"slices"
	"strings"

	"mslab/results"
)

// change is what a subject is, against the one that it is compared with.
type change struct {
	Subject string
	Words   string
	Against string      // whose recipe it is held against; "" for none
	Stages  []stageDiff // the recipe's differences
	Recipe  []fact      // the whole recipe, of a subject that is held against none
	Command string      // of a foreign subject
	Claim   string
}

type stageDiff struct{ Stage, From, To string }

// changes says of each subject what it changes, in words and as a difference of
// recipes.
func (s *section) changes() []change {
	var out []change
	for i, subject := range s.run.Plan.Subjects {
		c := change{Subject: subject.Title(), Claim: subject.Claim, Command: command(subject)}
		if subject.Phase != nil {
			c.Words = s.o.Phases[*subject.Phase].About
		}
		base, ok := s.base(i)
		switch {
		case ok && len(subject.Recipe) > 0 && len(base.Recipe) > 0:
			c.Against, c.Stages = base.Title(), recipeDiff(base.Recipe, subject.Recipe)
		case len(subject.Recipe) > 0:
			for _, stage := range sortedKeys(subject.Recipe) {
				c.Recipe = append(c.Recipe, fact{stage, subject.Recipe[stage]})
			}
		}
		out = append(out, c)
	}
	return out
}

// base is the subject that the plan compares one with, else the one before it.
func (s *section) base(i int) (results.SubjectPlan, bool) {
	name := s.run.Plan.Subjects[i].Name
	for _, arm := range s.run.Plan.Arms {
		for _, pair := range arm.Pairs {
			if pair.B == name {
				return s.run.Plan.Subject(pair.A)
			}
		}
	}
	if i == 0 {
		return results.SubjectPlan{}, false
	}
	return s.run.Plan.Subjects[i-1], true
}

func recipeDiff(from, to map[string]string) []stageDiff {
	var out []stageDiff
	stages := map[string]string{}
	for stage := range from {
		stages[stage] = ""
	}
	for stage := range to {
		stages[stage] = ""
	}
	for _, stage := range sortedKeys(stages) {
		if from[stage] != to[stage] {
			out = append(out, stageDiff{stage, orDash(from[stage]), orDash(to[stage])})
		}
	}
	return out
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func command(s results.SubjectPlan) string {
	if s.URL != "" && len(s.Command) == 0 {
		return s.URL
	}
	return strings.Join(s.Command, " ")
}

// overrides is what an arm sets for all of its subjects.
func overrides(set map[string]string) string {
	var words []string
	for _, name := range sortedKeys(set) {
		words = append(words, name+" "+set[name])
	}
	return strings.Join(words, ", ")
}
