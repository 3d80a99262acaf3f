package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"mslab/results"
)

// reading is what one slice showed.
type reading struct {
	cpu float64 // ns of the server's CPU per answered request
	rps float64
}

// measurement holds a value a subject and round: the mean of its slices.
type measurement struct {
	subjects []subject
	slices   [][][]reading // by subject, then round
}

func newMeasurement(subjects []subject) *measurement {
	return &measurement{subjects: subjects, slices: make([][][]reading, len(subjects))}
}

func (m *measurement) add(subject, round int, r reading) {
	for len(m.slices[subject]) <= round {
		m.slices[subject] = append(m.slices[subject], nil)
	}
	m.slices[subject][round] = append(m.slices[subject][round], r)
}

// rounds is a subject's mean in each round of what pick takes from a reading.
func (m *measurement) rounds(name string, pick func(reading) float64) []float64 {
	i := slices.IndexFunc(m.subjects, func(s subject) bool { return s.name == name })
	values := make([]float64, 0, len(m.slices[i]))
	for _, round := range m.slices[i] {
		sum := 0.0
		for _, r := range round {
			sum += pick(r)
		}
		values = append(values, sum/float64(len(round)))
	}
	return values
}

func cpuOf(r reading) float64 { return r.cpu }
func rpsOf(r reading) float64 { return r.rps }

// paired combines two subjects round by round: slices of one round saw the
// same machine.
func (m *measurement) paired(a, b string, combine func(a, b float64) float64) []float64 {
	left, right := m.rounds(a, cpuOf), m.rounds(b, cpuOf)
	values := make([]float64, len(left))
	for i := range values {
		values[i] = combine(left[i], right[i])
	}
	return values
}

func ratio(a, b float64) float64      { return a / b }
func difference(a, b float64) float64 { return a - b }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

func (m *measurement) render(w io.Writer, o options) error {
	if len(m.slices[0]) == 0 {
		return fmt.Errorf("no round was played; give it a larger --budget")
	}
	return results.Render(w, o.format, []results.Table{m.costs(o), m.sums()})
}

// twinOf is the C program that a subject is held against.
func twinOf(subjects []subject, i int) string {
	for ; i >= 0; i-- {
		if subjects[i].twin != "" {
			return subjects[i].name
		}
	}
	return ""
}

func (m *measurement) costs(o options) results.Table {
	t := results.Table{
		Title: fmt.Sprintf("Server CPU per request: %d clients, a new connection each, %d rounds of 2 x %v", o.clients, len(m.slices[0]), o.slice),
		Columns: []results.Column{
			{Key: "subject", Title: "Server", Left: true},
			{Key: "cpu_ns", Title: "CPU/req", Unit: "ns"},
			{Key: "cpu_min_ns", Title: "min", Unit: "ns"},
			{Key: "cpu_max_ns", Title: "max", Unit: "ns"},
			{Key: "ratio", Title: "/ C twin"},
			{Key: "ratio_min", Title: "min"},
			{Key: "ratio_max", Title: "max"},
			{Key: "rps", Title: "RPS", Unit: "1/s"},
		},
		Notes: []string{
			"median, least and greatest round; a ratio is taken within a round",
			"both twins and phases: rate limit on, backlog 1,024; load from mslab load --connection new",
		},
	}
	for i, s := range m.subjects {
		cpu := m.rounds(s.name, cpuOf)
		ratios := m.paired(s.name, twinOf(m.subjects, i), ratio)
		t.Rows = append(t.Rows, []results.Cell{
			results.TextCell(s.name),
			results.FigureCell(median(cpu), microseconds),
			results.FigureCell(slices.Min(cpu), microseconds),
			results.FigureCell(slices.Max(cpu), microseconds),
			results.FigureCell(median(ratios), times),
			results.FigureCell(slices.Min(ratios), times),
			results.FigureCell(slices.Max(ratios), times),
			results.FigureCell(median(m.rounds(s.name, rpsOf)), whole),
		})
		t.Notes = append(t.Notes, s.name+": "+s.about)
	}
	return t
}

// sums splits what a request costs beyond C into its parts.
func (m *measurement) sums() results.Table {
	t := results.Table{
		Title: "What the difference is made of (CPU per request)",
		Columns: []results.Column{
			{Key: "part", Title: "Part", Left: true},
			{Key: "median_ns", Title: "median", Unit: "ns"},
			{Key: "min_ns", Title: "min", Unit: "ns"},
			{Key: "max_ns", Title: "max", Unit: "ns"},
		},
		Notes: []string{
			"without the collector memory is fresh each time, and its page faults are in \"the rest\"",
			"the collector's share of a thread is in part garbage that making threads leaves behind",
		},
	}
	for _, part := range []struct{ name, from, less string }{
		{"a Go thread a request, beyond C's", goThreads, cThreads},
		{"- of which the garbage collector", goThreads, goThreadsNoGC},
		{"- of which the rest", goThreadsNoGC, cThreads},
		{"a Go pool, beyond C's", goPool, cPool},
		{"- of which the garbage collector", goPool, goPoolNoGC},
		{"- of which the rest", goPoolNoGC, cPool},
		{"a thread a request instead of a pool, C", cThreads, cPool},
		{"a thread a request instead of a pool, Go", goThreads, goPool},
		{"the same without the garbage collector, Go", goThreadsNoGC, goPoolNoGC},
		{"phase 1's parser and its write in the request", goThreadsAsWas, goThreads},
	} {
		values := m.paired(part.from, part.less, difference)
		t.Rows = append(t.Rows, []results.Cell{
			results.TextCell(part.name),
			results.FigureCell(median(values), microseconds),
			results.FigureCell(slices.Min(values), microseconds),
			results.FigureCell(slices.Max(values), microseconds),
		})
	}
	return t
}

func microseconds(ns float64) string { return strconv.FormatFloat(ns/1000, 'f', 1, 64) + " µs" }
func times(ratio float64) string     { return strconv.FormatFloat(ratio, 'f', 2, 64) + "x" }
func whole(v float64) string         { return strconv.FormatFloat(v, 'f', 0, 64) }
