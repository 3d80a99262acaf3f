package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"mslab/results"
	"mslab/results/record"
	"mslab/server"
)

// subjectsOf resolves the subjects of a scenario. A phase named again gets a
// prime, so that it can be told from itself; names that were given are unique.
func subjectsOf(specs []SubjectSpec) ([]results.SubjectPlan, error) {
	var subjects []results.SubjectPlan
	taken := map[string]bool{}
	for _, spec := range specs {
		if err := spec.Check(); err != nil {
			return nil, err
		}
		if spec.Name != "" && taken[spec.Name] {
			return nil, fmt.Errorf("subject %s: the name is there twice; want a name of its own for each", spec.Name)
		}
		subject, err := spec.plan()
		if err != nil {
			return nil, err
		}
		for taken[subject.Name] {
			subject.Name += "'"
		}
		taken[subject.Name] = true
		subjects = append(subjects, subject)
	}
	return subjects, nil
}

// plan is the subject as the run's plan keeps it.
func (s SubjectSpec) plan() (results.SubjectPlan, error) {
	if s.Foreign() {
		return results.SubjectPlan{Subject: record.Subject{Name: s.Name, Command: s.Command, URL: s.URL, Request: s.describeRequest()}}, nil
	}
	phase, err := server.FindPhase(s.Phase)
	if err != nil {
		return results.SubjectPlan{}, err
	}
	recipe, err := overridden(phase.Recipe, s.Overrides)
	if err != nil {
		return results.SubjectPlan{}, fmt.Errorf("subject %s: %w", s.label(), err)
	}
	number, name := phase.Number, s.Name
	if name == "" {
		name = phase.Name
	}
	out := results.SubjectPlan{Subject: record.Subject{Name: name, Phase: &number, Recipe: recipeMap(recipe)}, Claim: phase.Claim}
	if len(s.Overrides) > 0 {
		out.Claim = "" // nobody made one of this variant
	}
	return out, nil
}

// overridden is a recipe with the variants that flags name.
func overridden(recipe server.Recipe, flags map[string]string) (server.Recipe, error) {
	var err error
	for _, info := range server.Stages() {
		if value, ok := flags[string(info.Stage)]; ok {
			if recipe, err = recipe.With(info.Stage, value); err != nil {
				return recipe, err
			}
		}
	}
	return recipe, nil
}

// describe names the player for the plan that a user reads.
func (p player) describe() string {
	switch {
	case p.spec.URL != "":
		return fmt.Sprintf("%s (%s, runs already; %s)", p.spec.Name, p.spec.URL, p.subject.Request)
	case p.spec.Foreign():
		return fmt.Sprintf("%s (%s; %s)", p.spec.Name, strings.Join(p.spec.Command, " "), p.subject.Request)
	}
	return p.phase + " " + p.subject.Name
}

// RunsAlready are the names of the subjects that are servers which run already,
// and which only the host's network leads to.
func (p *Plan) RunsAlready() []string {
	var names []string
	for _, s := range p.Record.Subjects {
		if s.Phase == nil && s.URL != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// foreignNotes say what the figures of foreign subjects are not. They follow
// from the plan alone.
func (p *Plan) foreignNotes() []string {
	var foreign, running []string
	for _, s := range p.Record.Subjects {
		if s.Phase != nil {
			continue
		}
		foreign = append(foreign, s.Name)
		if s.URL != "" {
			running = append(running, s.Name)
		}
	}
	var notes []string
	if len(foreign) > 0 {
		notes = append(notes, fmt.Sprintf("Of %s nothing is known but what the generator and the kernel see: no counters of its own, so nothing holds its account of the requests against ours.",
			strings.Join(foreign, ", ")))
	}
	if len(running) > 0 {
		notes = append(notes, fmt.Sprintf("Not started by this run: %s. It is the same process in all blocks, on the cores that it was given elsewhere.",
			strings.Join(running, ", ")))
	}
	if len(foreign) > 0 && len(foreign) < len(p.Record.Subjects) {
		for _, arm := range p.Record.Arms {
			if len(arm.Overrides) > 0 {
				notes = append(notes, fmt.Sprintf("Arm %s: its settings (%s) are those of the phases; they do not reach %s.",
					arm.Name, settings(arm.Overrides), strings.Join(foreign, ", ")))
			}
		}
	}
	return notes
}

func settings(flags map[string]string) string {
	words := make([]string, 0, len(flags))
	for _, name := range sortedKeys(flags) {
		words = append(words, name+" "+flags[name])
	}
	return strings.Join(words, ", ")
}

// replaceSubjects is the scenario with other subjects. Pairs of which none is
// left become the neighbours.
func (s *Scenario) replaceSubjects(subjects []SubjectSpec) {
	s.Subjects = subjects
	known := func(word string) bool {
		return slices.ContainsFunc(subjects, func(spec SubjectSpec) bool { return spec.called(word) })
	}
	if s.Compare != nil && !slices.ContainsFunc(s.Compare, func(pair [2]string) bool { return known(pair[0]) && known(pair[1]) }) {
		s.Compare = nil
	}
}

// anyPhase says whether one of the subjects is a phase.
func anyPhase(subjects []results.SubjectPlan) bool {
	return slices.ContainsFunc(subjects, func(s results.SubjectPlan) bool { return s.Phase != nil })
}
