package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"mslab/results"
)

// loopArgument is how this program runs itself as the loop of writes.
const loopArgument = "-write-loop"

// goal is what ours may cost the server: its CPU per request by this at most.
const goal = 1.12

// reading is what one stretch showed.
type reading struct {
	cost float64 // ns: the server's CPU per request, or the time of a write
	rate float64 // requests/s; 0 for the loop
}

// table is one of the report's: a phase, or the loop of writes.
type table struct {
	key, title string
	loop       bool
}

func tables() []table {
	return []table{
		{key: "phase 5", title: "Phase 5, 20 clients, a new connection for each request"},
		{key: "phase 7", title: "Phase 7, 20 clients, connections kept"},
		{key: "write", title: "A loop of writes of one byte to /dev/null", loop: true},
	}
}

// pair is a stretch under a tool, and the one beside it under none.
type pair struct{ with, without reading }

// measurement holds a pair a table, tool and block.
type measurement struct {
	tools  []tool
	absent []string
	pairs  [][][]pair
}

func newMeasurement(tools []tool, absent []string) *measurement {
	m := &measurement{tools: tools, absent: absent, pairs: make([][][]pair, len(tables()))}
	for i := range m.pairs {
		m.pairs[i] = make([][]pair, len(tools))
	}
	return m
}

func (m *measurement) add(table, tool int, p pair) {
	m.pairs[table][tool] = append(m.pairs[table][tool], p)
}

// ratio compares a tool's stretches to those beside them: the geometric mean of
// the blocks' ratios, and its 95 % interval.
type ratio struct{ mean, low, high float64 }

func (m *measurement) ratio(table, tool int, pick func(reading) float64) ratio {
	var logs []float64
	for _, p := range m.pairs[table][tool] {
		logs = append(logs, math.Log(pick(p.with)/pick(p.without)))
	}
	low, high := results.SignFlipInterval(logs)
	return ratio{math.Exp(results.Mean(logs)), math.Exp(low), math.Exp(high)}
}

func costOf(r reading) float64 { return r.cost }
func rateOf(r reading) float64 { return r.rate }

// geometric is the geometric mean of what pick takes from readings.
func geometric(readings []reading, pick func(reading) float64) float64 {
	var logs []float64
	for _, r := range readings {
		logs = append(logs, math.Log(pick(r)))
	}
	return math.Exp(results.Mean(logs))
}

// under lists the readings under a tool.
func (m *measurement) under(table, tool int) []reading {
	var out []reading
	for _, p := range m.pairs[table][tool] {
		out = append(out, p.with)
	}
	return out
}

// untraced lists the readings under none.
func (m *measurement) untraced(table int) []reading {
	var out []reading
	for _, pairs := range m.pairs[table] {
		for _, p := range pairs {
			out = append(out, p.without)
		}
	}
	return out
}

func (m *measurement) render(w io.Writer, o options) error {
	if len(m.tools) == 0 || len(m.pairs[0][0]) == 0 {
		return errors.New("nothing was played: no tool works here, or the --budget is too small")
	}
	var out []results.Table
	for i, t := range tables() {
		out = append(out, m.table(i, t, o))
	}
	last := &out[len(out)-1]
	last.Notes = append(last.Notes, "a ratio is that of two stretches side by side; 95 % intervals by sign flips over blocks, infinite with fewer than six",
		"the tools' own processes run on any core and are not counted: strace's work is another process'")
	last.Notes = append(last.Notes, m.absent...)
	return results.Render(w, o.format, out)
}

func (m *measurement) table(i int, t table, o options) results.Table {
	blocks, length := len(m.pairs[i][0]), o.slice
	cost := "CPU/req"
	if t.loop {
		length, cost = o.loop, "a write"
	}
	out := results.Table{
		Title: fmt.Sprintf("%s: %d blocks of %v", t.title, blocks, length),
		Columns: []results.Column{
			{Key: "tool", Title: "under", Left: true},
			{Key: "cost_ns", Title: cost, Unit: "ns"},
			{Key: "ratio", Title: "ratio"},
			{Key: "ratio_low", Title: "from"},
			{Key: "ratio_high", Title: "to"},
		},
	}
	if !t.loop {
		out.Columns = append(out.Columns,
			results.Column{Key: "rps", Title: "req/s", Unit: "1/s"},
			results.Column{Key: "rps_ratio", Title: "ratio"},
			results.Column{Key: "rps_ratio_low", Title: "from"},
			results.Column{Key: "rps_ratio_high", Title: "to"})
	}
	row := func(name string, readings []reading) []results.Cell {
		return []results.Cell{results.TextCell(name), results.FigureCell(geometric(readings, costOf), results.FormatNS)}
	}
	first := append(row(untraced, m.untraced(i)), noCells()...)
	if !t.loop {
		first = append(first, results.FigureCell(geometric(m.untraced(i), rateOf), whole))
		first = append(first, noCells()...)
	}
	out.Rows = append(out.Rows, first)
	for n, tool := range m.tools {
		cells := append(row(tool.name, m.under(i, n)), ratioCells(m.ratio(i, n, costOf))...)
		if !t.loop {
			cells = append(cells, results.FigureCell(geometric(m.under(i, n), rateOf), whole))
			cells = append(cells, ratioCells(m.ratio(i, n, rateOf))...)
		}
		out.Rows = append(out.Rows, cells)
		if !t.loop && tool.name == ours {
			out.Notes = append(out.Notes, m.goalLine(i, n))
		}
	}
	return out
}

// goalLine says whether ours costs the server no more than it may.
func (m *measurement) goalLine(table, tool int) string {
	r := m.ratio(table, tool, costOf)
	verdict := "missed"
	switch {
	case math.IsInf(r.high, 0):
		return fmt.Sprintf("goal: ours costs the server at most %s of CPU per request; measured %s, in too few blocks to tell", percent(goal), percent(r.mean))
	case r.high <= goal:
		verdict = "met"
	case r.mean <= goal:
		verdict = "met by the mean, not by the whole interval"
	case r.low <= goal:
		verdict = "missed by the mean, reached by the interval"
	}
	return fmt.Sprintf("goal: ours costs the server at most %s of CPU per request; measured %s (%s to %s): %s",
		percent(goal), percent(r.mean), percent(r.low), percent(r.high), verdict)
}

func ratioCells(r ratio) []results.Cell {
	return []results.Cell{results.FigureCell(r.mean, times), results.FigureCell(r.low, times), results.FigureCell(r.high, times)}
}

// noCells stand where there is nothing to compare.
func noCells() []results.Cell {
	return []results.Cell{results.TextCell(""), results.TextCell(""), results.TextCell("")}
}

func percent(ratio float64) string { return fmt.Sprintf("%+.1f %%", 100*(ratio-1)) }

// times prints a ratio with three significant digits.
func times(v float64) string {
	switch {
	case math.IsInf(v, 0), v == 0: // no interval with so few blocks
		return "-"
	case v >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
