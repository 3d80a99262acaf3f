package scenarios

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"mslab/results"
	"mslab/results/record"
)

// source is what a plan is made from, as run.json keeps it.
type source struct {
	Scenario *Scenario
	Options  Options
}

// keepSource stores what the plan was made from in its record.
func (p *Plan) keepSource(s *Scenario, o Options) error {
	data, err := json.Marshal(source{s, o})
	if err != nil {
		return fmt.Errorf("keep what %s was planned from: %w", s.Name, err)
	}
	p.Record.Source = data
	return nil
}

// PlanRest plans what an interrupted run has left to play. The plan is made
// anew from what the run keeps of its scenario, and must come out as it did:
// the error names the first thing that this program or this machine would play
// differently. Whether the environment is the same is seen when it is played.
func PlanRest(run *results.Run) (*Plan, error) {
	allowed, err := allowedCores()
	if err != nil {
		return nil, err
	}
	return planRest(run, splitCores(allowed))
}

func planRest(run *results.Run, c cores) (*Plan, error) {
	resume := "resume " + run.Dir
	if !run.Incomplete {
		return nil, fmt.Errorf("%s: the run is complete", resume)
	}
	if len(run.Plan.Source) == 0 {
		return nil, fmt.Errorf("%s: the version of mslab that played it did not keep what it takes; play it anew", resume)
	}
	dec := json.NewDecoder(bytes.NewReader(run.Plan.Source))
	dec.DisallowUnknownFields()
	var from source
	if err := dec.Decode(&from); err != nil || from.Scenario == nil || len(from.Scenario.Arms) == 0 {
		return nil, fmt.Errorf("%s: what it was planned from cannot be read by this version of mslab, use the one that began it: %w",
			resume, cmpError(err, errors.New("it has no arm")))
	}
	p, err := newPlan(from.Scenario, from.Options, c)
	if err != nil {
		return nil, fmt.Errorf("%s: plan it again: %w", resume, err)
	}
	again, before := p.Record, run.Plan
	again.Source, before.Source = nil, nil
	if where, was, is, differ := firstDifference("plan", before, again); differ {
		return nil, fmt.Errorf("%s: it would be played differently now: %s was %s and is %s; play it anew", resume, where, was, is)
	}
	p.Record = run.Plan
	rest := *run
	rest.CutShort()
	p.rest = &rest
	return p, nil
}

func cmpError(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// sameProgram tells what differs between what began a run and what is to finish
// it: the tool, or the machine around it.
func sameProgram(run *results.Run, tool record.Tool, now *record.Environment) error {
	if where, was, is, differ := firstDifference("mslab", run.Tool, tool); differ {
		return fmt.Errorf("%s was %s and is %s; use the mslab that began it", where, was, is)
	}
	if run.Environment == nil {
		return errors.New("the environment that it began in is not known")
	}
	before, after := comparableEnvironment(*run.Environment), comparableEnvironment(*now)
	if where, was, is, differ := firstDifference("environment", before, after); differ {
		return fmt.Errorf("%s was %s and is %s; figures from both would not be of one kind", where, was, is)
	}
	return nil
}

// comparableEnvironment leaves out what is measured, and the name of the
// control group, which every login changes; its limits stay.
func comparableEnvironment(e record.Environment) record.Environment {
	e.CalibrationNS, e.Steal = 0, 0
	if _, limits, ok := strings.Cut(e.Cgroup, " "); ok {
		e.Cgroup = limits
	}
	return e
}

// firstDifference compares the JSON forms of two values and names the first
// place where they differ, in the order of the keys.
func firstDifference(name string, a, b any) (where, was, is string, differ bool) {
	return differenceIn(name, generic(a), generic(b))
}

func generic(v any) (out any) {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return err.Error()
	}
	return out
}

func differenceIn(name string, a, b any) (where, was, is string, differ bool) {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			return differenceOfObjects(name, a, b)
		}
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			for i := range a {
				if where, was, is, differ = differenceIn(fmt.Sprintf("%s[%d]", name, i), a[i], b[i]); differ {
					return where, was, is, true
				}
			}
			return "", "", "", false
		}
	}
	if reflect.DeepEqual(a, b) {
		return "", "", "", false
	}
	return name, shown(a), shown(b), true
}

func differenceOfObjects(name string, a, b map[string]any) (where, was, is string, differ bool) {
	keys := sortedKeys(a)
	for _, key := range sortedKeys(b) {
		if _, ok := a[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if where, was, is, differ = differenceIn(name+"."+key, a[key], b[key]); differ {
			return where, was, is, true
		}
	}
	return "", "", "", false
}

// shown is a value in a message: its JSON form, the beginning of a long one.
func shown(v any) string {
	if v == nil {
		return "absent"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	const most = 80
	if letters := []rune(string(data)); len(letters) > most {
		return string(letters[:most]) + "…"
	}
	return string(data)
}

// Rest describes what is left of a run that is being resumed, "" for a new one.
func (p *Plan) Rest() string {
	if p.rest == nil {
		return ""
	}
	var parts []string
	for _, arm := range p.Record.Arms {
		if done := p.rest.FinishedBlocks(arm); done > 0 {
			parts = append(parts, fmt.Sprintf("%s of arm %s", count(done, "block"), arm.Name))
		}
	}
	if len(parts) == 0 {
		return "Nothing of it is over yet."
	}
	return "Over already: " + strings.Join(parts, ", ") + "."
}
