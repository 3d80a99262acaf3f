package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"mslab/bench/harness"
	"mslab/results"
	"mslab/results/record"
)

// Servers by name.
const (
	serverC     = "c"
	serverNginx = "nginx"
)

// reading is what one play showed.
type reading struct {
	requests int64   // as the server counted them, uncounted warm-ups taken off
	span     float64 // s from the first of them to the last, by the server; 0 where it does not say
	client   float64 // ns of the tool's CPU for each, its start and end included
	server   float64 // ns of the server's CPU for each
	others   float64 // cores that neither of them kept busy, on average
	said     said
	problem  string // why the play is left out of the figures; "" where it is not
}

// rps is the rate over the time that the tool says it played.
func (r reading) rps() float64 {
	if r.said.seconds <= 0 {
		return 0
	}
	return float64(r.requests) / r.said.seconds
}

func rpsOf(r reading) float64    { return r.rps() }
func clientOf(r reading) float64 { return r.client }
func serverOf(r reading) float64 { return r.server }

// The server's time from the first request to the last may differ from a tool's
// own by this: a tool's clock also runs while it connects and ends.
const (
	clockShare   = 0.02
	clockSeconds = 0.05
)

// judge decides whether a play counts. What the server got, the tool must say that
// it was answered, less what was in flight at the end: one a connection.
func (r *reading) judge(failed error, connections int) {
	unanswered := r.requests - r.said.answered
	switch off := math.Abs(r.said.seconds - r.span); {
	case failed != nil:
		r.problem = failed.Error()
	case r.requests <= 0 || r.said.seconds <= 0:
		r.problem = "the server got no request"
	case r.said.errors > 0:
		r.problem = fmt.Sprintf("it says that %d requests failed", r.said.errors)
	case unanswered < 0 || unanswered > int64(connections):
		r.problem = fmt.Sprintf("it says that %d requests were answered, the server counted %d: more apart than %d connections in flight",
			r.said.answered, r.requests, connections)
	case r.span > 0 && off > clockShare*r.span+clockSeconds:
		r.problem = fmt.Sprintf("it says that it played for %.3f s, the server was busy for %.3f s", r.said.seconds, r.span)
	}
}

// condition is how the machine was at one moment.
type condition struct {
	load        float64 // average of the last minute
	calibration float64 // ns of a fixed piece of socket work
	environment record.Environment
}

// measurement holds a reading a server, tool and round.
type measurement struct {
	*bench
	readings     [][][]*reading
	begun, ended condition
}

func newMeasurement(b *bench) *measurement {
	m := &measurement{bench: b, readings: make([][][]*reading, len(b.kinds))}
	for k := range m.readings {
		m.readings[k] = make([][]*reading, len(b.tools))
		for t := range m.readings[k] {
			m.readings[k][t] = make([]*reading, b.runs)
		}
	}
	return m
}

func (m *measurement) set(kind, tool, round int, r reading) { m.readings[kind][tool][round] = &r }

// othersLimit is how many cores others may keep busy during a play that counts.
// Client and server have a core each, so that a build beside them halves a rate.
const othersLimit = 0.1

// disturbed says whether the machine was not the play's alone.
func (r reading) disturbed() bool { return r.others > othersLimit }

// good says whether a round's reading is there and counts.
func good(r *reading) bool { return r != nil && r.problem == "" && !r.disturbed() }

// figures are what pick takes from the readings that count.
func (m *measurement) figures(kind, tool int, pick func(reading) float64) []float64 {
	var out []float64
	for _, r := range m.readings[kind][tool] {
		if good(r) {
			out = append(out, pick(*r))
		}
	}
	return out
}

// own is which of the tools is ours.
func (m *measurement) own() int {
	return slices.IndexFunc(m.tools, func(t tool) bool { return t.name == ours })
}

// ratio is that of ours to a tool's, over the rounds in which both count.
func (m *measurement) ratio(kind, tool int, pick func(reading) float64) harness.Ratio {
	own := m.own()
	var a, b []float64
	for round, r := range m.readings[kind][tool] {
		if mine := m.readings[kind][own][round]; good(r) && good(mine) {
			a, b = append(a, pick(*mine)), append(b, pick(*r))
		}
	}
	return harness.RatioOf(a, b)
}

func (m *measurement) render(w io.Writer, format string) error {
	if len(m.kinds) == 0 || len(m.tools) == 0 {
		return errors.New("nothing was played")
	}
	var tables []results.Table
	for k := range m.kinds {
		tables = append(tables, m.rates(k), m.costs(k))
	}
	tables = append(tables, m.goals())
	return results.Render(w, format, tables)
}

// title says what a table is of.
func (m *measurement) title(what string, kind int) string {
	return fmt.Sprintf("%s: %s (%s), %d connections kept, %d rounds of %v", what, m.kinds[kind].name, m.kinds[kind].about, m.connections, m.runs, m.duration)
}

func (m *measurement) rates(kind int) results.Table {
	t := results.Table{Title: m.title("Rate", kind), Columns: []results.Column{
		{Key: "tool", Title: "Tool", Left: true}, {Key: "runs", Title: "n"},
		{Key: "rps", Title: "RPS", Unit: "1/s"}, {Key: "rps_min", Title: "min", Unit: "1/s"}, {Key: "rps_max", Title: "max", Unit: "1/s"},
		{Key: "ratio", Title: "mslab / it"}, {Key: "ratio_low", Title: "from"}, {Key: "ratio_high", Title: "to"},
	}}
	for i, tool := range m.tools {
		values := m.figures(kind, i, rpsOf)
		t.Rows = append(t.Rows, slices.Concat([]results.Cell{results.TextCell(tool.label()), results.FigureCell(float64(len(values)), whole)},
			spread(values, whole), m.against(kind, i, rpsOf)))
	}
	t.Notes = []string{"requests as the server counted them, over the time that the tool says it played; medians and ranges of the n plays that count",
		fmt.Sprintf("a play counts when the tool's count is the server's, it tells of no error, and others kept at most %.1f cores busy", othersLimit)}
	t.Notes = append(t.Notes, m.problems(kind)...)
	return t
}

func (m *measurement) costs(kind int) results.Table {
	t := results.Table{Title: m.title("CPU per request", kind), Columns: []results.Column{
		{Key: "tool", Title: "Tool", Left: true},
		{Key: "client_ns", Title: "client", Unit: "ns"}, {Key: "client_min_ns", Title: "min", Unit: "ns"}, {Key: "client_max_ns", Title: "max", Unit: "ns"},
		{Key: "ratio", Title: "mslab / it"}, {Key: "ratio_low", Title: "from"}, {Key: "ratio_high", Title: "to"},
		{Key: "server_ns", Title: "server", Unit: "ns"}, {Key: "server_min_ns", Title: "min", Unit: "ns"}, {Key: "server_max_ns", Title: "max", Unit: "ns"},
	}}
	for i, tool := range m.tools {
		t.Rows = append(t.Rows, slices.Concat([]results.Cell{results.TextCell(tool.name)},
			spread(m.figures(kind, i, clientOf), results.FormatNS), m.against(kind, i, clientOf),
			spread(m.figures(kind, i, serverOf), results.FormatNS)))
	}
	t.Notes = []string{"the client's is all of its process, its start and end included; the server's is its CPU clock's"}
	return t
}

// spread is median, least and greatest.
func spread(values []float64, format func(float64) string) []results.Cell {
	if len(values) == 0 {
		return []results.Cell{results.TextCell("-"), results.TextCell("-"), results.TextCell("-")}
	}
	return []results.Cell{results.FigureCell(results.Median(values), format),
		results.FigureCell(slices.Min(values), format), results.FigureCell(slices.Max(values), format)}
}

// against is a ratio with its interval; ours has none to itself.
func (m *measurement) against(kind, tool int, pick func(reading) float64) []results.Cell {
	if m.tools[tool].name == ours {
		return []results.Cell{results.TextCell(""), results.TextCell(""), results.TextCell("")}
	}
	r := m.ratio(kind, tool, pick)
	return []results.Cell{results.FigureCell(r.Mean, times), results.FigureCell(r.Low, times), results.FigureCell(r.High, times)}
}

// problems lists the plays that are left out, and why.
func (m *measurement) problems(kind int) (lines []string) {
	for i, tool := range m.tools {
		for round, r := range m.readings[kind][i] {
			switch {
			case r == nil:
			case r.problem != "":
				lines = append(lines, fmt.Sprintf("left out: %s in round %d: %s", tool.name, round+1, r.problem))
			case r.disturbed():
				lines = append(lines, fmt.Sprintf("left out: %s in round %d: others kept %.2f cores busy", tool.name, round+1, r.others))
			}
		}
	}
	return lines
}

func whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

// times prints a ratio; without an interval there is none to print.
func times(v float64) string {
	if math.IsInf(v, 0) || math.IsNaN(v) || v == 0 {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
