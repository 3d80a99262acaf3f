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

// measurement holds a reading a table, tool and block.
type measurement struct {
	tools    []tool
	absent   []string
	readings [][][]reading
}

func newMeasurement(tools []tool, absent []string) *measurement {
	m := &measurement{tools: tools, absent: absent, readings: make([][][]reading, len(tables()))}
	for i := range m.readings {
		m.readings[i] = make([][]reading, len(tools))
	}
	return m
}

func (m *measurement) add(table, tool int, r reading) {
	m.readings[table][tool] = append(m.readings[table][tool], r)
}

// ratio compares a tool's stretches to the untraced ones of the same blocks: the
// geometric mean of the blocks' ratios, and its 95 % interval.
type ratio struct{ mean, low, high float64 }

func (m *measurement) ratio(table, tool int, pick func(reading) float64) ratio {
	var logs []float64
	for block, r := range m.readings[table][tool] {
		logs = append(logs, math.Log(pick(r)/pick(m.readings[table][0][block])))
	}
	low, high := results.SignFlipInterval(logs)
	return ratio{math.Exp(results.Mean(logs)), math.Exp(low), math.Exp(high)}
}

func costOf(r reading) float64 { return r.cost }
func rateOf(r reading) float64 { return r.rate }

// mean is the geometric mean over blocks.
func (m *measurement) mean(table, tool int, pick func(reading) float64) float64 {
	var logs []float64
	for _, r := range m.readings[table][tool] {
		logs = append(logs, math.Log(pick(r)))
	}
	return math.Exp(results.Mean(logs))
}

func (m *measurement) render(w io.Writer, o options) error {
	if len(m.tools) == 0 || len(m.readings[0][0]) == 0 {
		return errors.New("no block was played; give it a larger --budget")
	}
	var out []results.Table
	for i, t := range tables() {
		out = append(out, m.table(i, t, o))
	}
	last := &out[len(out)-1]
	last.Notes = append(last.Notes, "ratios are taken within a block; 95 % intervals by sign flips over blocks, infinite with fewer than six",
		"the tools' own processes run on any core and are not counted: strace's work is another process'")
	last.Notes = append(last.Notes, m.absent...)
	return results.Render(w, o.format, out)
}

func (m *measurement) table(i int, t table, o options) results.Table {
	blocks, length := len(m.readings[i][0]), o.slice
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
	for n, tool := range m.tools {
		row := append([]results.Cell{results.TextCell(tool.name), results.FigureCell(m.mean(i, n, costOf), results.FormatNS)}, ratioCells(m.ratio(i, n, costOf), n)...)
		if !t.loop {
			row = append(row, results.FigureCell(m.mean(i, n, rateOf), whole))
			row = append(row, ratioCells(m.ratio(i, n, rateOf), n)...)
		}
		out.Rows = append(out.Rows, row)
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

func ratioCells(r ratio, tool int) []results.Cell {
	if tool == 0 { // itself
		return []results.Cell{results.TextCell(""), results.TextCell(""), results.TextCell("")}
	}
	return []results.Cell{results.FigureCell(r.mean, times), results.FigureCell(r.low, times), results.FigureCell(r.high, times)}
}

func percent(ratio float64) string { return fmt.Sprintf("%+.1f %%", 100*(ratio-1)) }

// times prints a ratio with three significant digits.
func times(v float64) string {
	switch {
	case math.IsInf(v, 0):
		return "-"
	case v >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
