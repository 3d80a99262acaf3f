package main

import (
	"fmt"
	"slices"

	"mslab/bench/harness"
	"mslab/results"
)

// goal is a ratio of ours to a tool's that is to be reached.
type goal struct {
	server, tool string
	what         string
	pick         func(reading) float64
	bound        float64
	atMost       bool // the ratio is to be at most bound, else at least
	whole        bool // the interval's worse end is to reach it
}

func goals() []goal {
	return []goal{
		{server: serverC, tool: "wrk", what: "RPS, worse end of the interval", pick: rpsOf, bound: 1.15, whole: true},
		{server: serverC, tool: "wrk", what: "RPS", pick: rpsOf, bound: 1.2},
		{server: serverC, tool: "wrk", what: "client CPU", pick: clientOf, bound: 0.82, atMost: true},
		{server: serverNginx, tool: "wrk", what: "client CPU", pick: clientOf, bound: 0.93, atMost: true},
		{server: serverC, tool: "h2load", what: "RPS", pick: rpsOf, bound: 1.2},
		{server: serverC, tool: "fortio", what: "RPS", pick: rpsOf, bound: 1.25},
		{server: serverC, tool: "hey", what: "RPS", pick: rpsOf, bound: 3.5},
		{server: serverC, tool: "k6", what: "RPS", pick: rpsOf, bound: 10},
	}
}

// verdict of a goal.
type verdict string

// Verdicts. A goal is reached when its interval reaches it.
const (
	met         verdict = "met"
	metByMiddle verdict = "met by the middle, not by the whole interval"
	reached     verdict = "missed by the middle, reached by the interval"
	missedGoal  verdict = "missed"
	tooFew      verdict = "too few rounds to tell"
	notPlayed   verdict = "not measured"
)

// judge holds a ratio against the goal.
func (g goal) judge(r harness.Ratio) verdict {
	if r.Pairs < leastRuns || !r.Told() {
		return tooFew
	}
	reaches := func(v float64) bool {
		if g.atMost {
			return v <= g.bound
		}
		return v >= g.bound
	}
	worse, better := r.Low, r.High
	if g.atMost {
		worse, better = better, worse
	}
	switch {
	case reaches(worse):
		return met
	case g.whole:
		return missedGoal
	case reaches(r.Mean):
		return metByMiddle
	case reaches(better):
		return reached
	}
	return missedGoal
}

// outcome is a goal's ratio and verdict; a tool or server that is not there has
// none.
func (m *measurement) outcome(g goal) (harness.Ratio, verdict) {
	kind := slices.IndexFunc(m.kinds, func(k kind) bool { return k.name == g.server })
	i := slices.IndexFunc(m.tools, func(t tool) bool { return t.name == g.tool })
	if kind < 0 || i < 0 {
		return harness.RatioOf(nil, nil), notPlayed
	}
	r := m.ratio(kind, i, g.pick)
	return r, g.judge(r)
}

// ownProblems counts our plays that do not count: that our figures add up is a
// goal too.
func (m *measurement) ownProblems() (problems, plays int) {
	own := m.own()
	for kind := range m.readings {
		for _, r := range m.readings[kind][own] {
			if r != nil {
				plays++
				if r.problem != "" {
					problems++
				}
			}
		}
	}
	return problems, plays
}

// missed says whether a goal is missed. One that could not be measured is not.
func (m *measurement) missed() bool {
	if problems, _ := m.ownProblems(); problems > 0 {
		return true
	}
	return slices.ContainsFunc(goals(), func(g goal) bool {
		_, v := m.outcome(g)
		return v == missedGoal
	})
}

func (m *measurement) goals() results.Table {
	t := results.Table{Title: "Goals: ratios of mslab's to the tool's", Columns: []results.Column{
		{Key: "goal", Title: "Goal", Left: true}, {Key: "bound", Title: "bound"},
		{Key: "ratio", Title: "measured"}, {Key: "ratio_low", Title: "from"}, {Key: "ratio_high", Title: "to"},
		{Key: "verdict", Title: "verdict", Left: true},
	}}
	for _, g := range goals() {
		r, v := m.outcome(g)
		sign := ">= "
		if g.atMost {
			sign = "<= "
		}
		t.Rows = append(t.Rows, []results.Cell{
			results.TextCell(fmt.Sprintf("%s, %s: %s", g.server, g.tool, g.what)),
			results.FigureCell(g.bound, func(v float64) string { return sign + times(v) }),
			results.FigureCell(r.Mean, times), results.FigureCell(r.Low, times), results.FigureCell(r.High, times),
			results.TextCell(string(v)),
		})
	}
	problems, plays := m.ownProblems()
	v := met
	if problems > 0 {
		v = missedGoal
	}
	t.Rows = append(t.Rows, []results.Cell{results.TextCell("mslab's counts are the server's"), results.TextCell(""),
		results.TextCell(fmt.Sprintf("%d of %d", plays-problems, plays)), results.TextCell(""), results.TextCell(""), results.TextCell(string(v))})
	t.Notes = append(t.Notes, fmt.Sprintf("the middle is the geometric mean of the rounds' ratios; 95 %% intervals by sign flips over rounds; a goal is judged on at least %d rounds", leastRuns))
	t.Notes = append(t.Notes, m.absent...)
	t.Notes = append(t.Notes, m.conditionsLine(), results.EnvironmentLine(&m.begun.environment))
	return t
}

// conditionsLine says how busy the machine was, without the bench's own plays and
// while they lasted.
func (m *measurement) conditionsLine() string {
	pinned := "client on core 0, server on core 1"
	if !harness.Pins() {
		pinned = "nothing is pinned: there are no two cores for this process"
	}
	var others []float64
	for _, kinds := range m.readings {
		for _, tools := range kinds {
			for _, r := range tools {
				if r != nil {
					others = append(others, r.others)
				}
			}
		}
	}
	busy := ""
	if len(others) > 0 {
		busy = fmt.Sprintf("; what is neither client nor server kept %.2f cores busy during a play (median; at most %.2f)", results.Median(others), slices.Max(others))
	}
	return fmt.Sprintf("%s; load average %.2f before the first play%s; socket round %s before and %s after",
		pinned, m.begun.load, busy, results.FormatNS(m.begun.calibration), results.FormatNS(m.ended.calibration))
}
