// Package lessons holds what `mslab learn` teaches: questions that are answered
// by an experiment whose outcome the reader predicts first.
//
// A lesson is data and text in a file of its own, and a line in All. Whatever
// plays, prints or stores one knows none in particular.
package lessons

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"mslab/results"
	"mslab/scenarios"
)

// All lists the lessons; a lesson's number is its place here, from 1 on.
func All() []Lesson {
	return []Lesson{
		acceptQueue(),
	}
}

// Longest is how long a lesson may be planned to play.
const Longest = 40 * time.Second

// Lesson is a question with the experiment that answers it. Its texts are
// broken into lines of at most 80 characters.
type Lesson struct {
	Number   int // set by Find and Numbered
	Question string
	// Before says what is going to be played and what to think about.
	Before string
	// Scenario is the YAML of a scenario of the lesson's own.
	Scenario string
	// Asks are the predictions, in the order in which they are asked for.
	Asks []Ask
	// Evidence are the figures that tell why, for every phase of the first arm.
	Evidence []results.MetricColumn
	// NotShown is a sentence that says in which way this run did not show the
	// effect; "" where it did.
	NotShown func(Measured) string
	// Answer explains the outcome.
	Answer string
	// Next are commands to try.
	Next []Command
}

// Ask asks for a figure of one phase.
type Ask struct {
	Phase    string // the phase's number, also the key of --predict
	Metric   string // its path in the record
	Question string // one line
}

// Command is a command line and what it shows.
type Command struct {
	Line string
	Why  string
}

// Measured reads a figure of a phase: a metric by its path in the record, in
// the record's unit, not a number where it was not measured. See results.Figure.
type Measured func(phase, metric string) float64

// Numbered is All with the numbers filled in.
func Numbered() []Lesson {
	all := All()
	for i := range all {
		all[i].Number = i + 1
	}
	return all
}

// Find returns the lesson of that number. The error of one that does not exist
// says which there are.
func Find(number string) (Lesson, error) {
	all := Numbered()
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(all) {
		there := "there is lesson 1 only"
		if len(all) > 1 {
			there = fmt.Sprintf("there are lessons 1 to %d", len(all))
		}
		return Lesson{}, fmt.Errorf("find lesson %q: no such lesson; %s", number, there)
	}
	return all[n-1], nil
}

// Plan decides how to play the lesson's scenario on this machine.
func (l Lesson) Plan(o scenarios.Options) (*scenarios.Plan, error) {
	s, err := scenarios.Decode(fmt.Sprintf("lesson %d", l.Number), []byte(l.Scenario))
	if err != nil {
		return nil, err
	}
	return scenarios.NewPlan(s, o)
}

// Prediction is the answer to one of the lesson's questions, as a run of the
// plan stores it.
func (l Lesson) Prediction(plan *scenarios.Plan, a Ask, value float64) (results.Prediction, error) {
	p := results.Prediction{Arm: arm(plan.Record), Subject: subject(plan.Record, a.Phase), Metric: a.Metric, Value: value}
	return p, p.Check(&plan.Record)
}

// Tables are the predictions beside what was measured, and the evidence. The
// sentence about what was not shown is a note of the evidence.
func (l Lesson) Tables(run *results.Run) ([]results.Table, error) {
	var tables []results.Table
	predictions, ok, err := results.PredictionsTable(run)
	if err != nil {
		return nil, err
	}
	if ok {
		tables = append(tables, predictions)
	}
	evidence, err := results.MetricsTable(run, "evidence", arm(run.Plan), 0, l.Evidence)
	if err != nil {
		return nil, err
	}
	notShown, err := l.missing(run)
	if err != nil {
		return nil, err
	}
	if notShown != "" {
		evidence.Notes = append(evidence.Notes, notShown)
	}
	evidence.Notes = append(evidence.Notes, run.Notes...)
	return append(tables, evidence), nil
}

// missing asks the lesson what the run did not show.
func (l Lesson) missing(run *results.Run) (string, error) {
	if run.Incomplete {
		return "The run was interrupted: the figures are of what was played so far.", nil
	}
	var failed error
	sentence := l.NotShown(func(phase, metric string) float64 {
		v, err := results.Figure(run, arm(run.Plan), 0, subject(run.Plan, phase), metric)
		if failed == nil {
			failed = err
		}
		return v
	})
	return sentence, failed
}

// arm is the one that a lesson asks about and shows.
func arm(plan results.Plan) string { return plan.Arms[0].Name }

// subject is the name of the phase in a run, "" where it does not play.
func subject(plan results.Plan, phase string) string {
	i := slices.IndexFunc(plan.Subjects, func(s results.SubjectPlan) bool {
		return s.Phase != nil && strconv.Itoa(*s.Phase) == phase
	})
	if i < 0 {
		return ""
	}
	return plan.Subjects[i].Name
}
