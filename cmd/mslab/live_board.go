package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"

	"mslab/results"
	"mslab/results/record"
	"mslab/scenarios"
)

// board is what has been measured so far in one arm under one load, a row a
// subject. These are figures to look at while waiting: what they are worth is
// told by the tables at the end.
type board struct {
	load    string // in words
	faulty  bool   // the arm has faults
	rows    []*boardRow
	current string // the subject whose turn it is
	failed  map[record.Class]int64

	changes int // counts what has changed; drawn is as of drawnAt
	drawn   []string
	drawnAt boardSize
}

type boardSize struct {
	columns, rows, changes int
	current                string
}

// boardRow is a subject: the slices of its trials and of the block that is played.
type boardRow struct {
	subject  results.SubjectPlan
	valid    []record.Slice
	current  []record.Slice
	excluded []record.Slice // of invalid trials
	struck   int            // such trials
	rates    int            // valid trials whose rates do not compare
	timed    []record.Slice // of those whose rates do
}

func newBoard(plan *results.Plan, p scenarios.Place) *board {
	b := &board{failed: map[record.Class]int64{}}
	arm, ok := plan.Arm(p.Arm)
	if !ok {
		return b
	}
	b.faulty = len(arm.Faults) > 0
	if p.Load < len(arm.Loads) {
		l := arm.Loads[p.Load]
		b.load = offeredLoad(l.Clients, l.Rate, l.Rates)
	}
	for _, s := range plan.SubjectsOf(arm) {
		b.rows = append(b.rows, &boardRow{subject: s})
	}
	return b
}

func (b *board) row(subject string) *boardRow {
	for _, r := range b.rows {
		if r.subject.Name == subject {
			return r
		}
	}
	r := &boardRow{subject: results.SubjectPlan{Subject: record.Subject{Name: subject}}}
	b.rows = append(b.rows, r)
	return r
}

func (b *board) title(subject string) string { return b.row(subject).subject.Title() }

// slice takes the figures of a slice, which count until its trial is judged.
func (b *board) slice(e scenarios.SliceEnded) {
	b.changes++
	for class, n := range e.Counts.ByClass {
		if class != record.OK {
			b.failed[class] += n
		}
	}
	if e.Counts.Sent > 0 {
		r := b.row(e.Subject)
		r.current = append(r.current, e.Slice)
	}
}

// trial takes what the slices of a block came to.
func (b *board) trial(t *record.Record) {
	b.changes++
	r := b.row(t.Subject.Name)
	r.current = nil
	if !t.Verdict.Valid || t.Incomplete {
		r.struck++
		r.excluded = append(r.excluded, t.Slices...)
		return
	}
	r.valid = append(r.valid, t.Slices...)
	if t.Verdict.Comparable {
		r.timed = append(r.timed, t.Slices...)
	} else {
		r.rates++
	}
}

// counted are the slices that count; where there are none, those struck out.
func (r *boardRow) counted() (all []record.Slice, struck bool) {
	all = slices.Concat(r.valid, r.current)
	if len(all) == 0 {
		return r.excluded, true
	}
	return all, false
}

// figures are means over slices, and the spread of the CPU time as their
// standard deviation, relative to the mean.
type figures struct {
	cpu, spread, rate, ok float64
}

func figuresOfSlices(all []record.Slice) figures {
	var costs, rates []float64
	var sent, ok int64
	for _, s := range all {
		if s.CPUPerRequest > 0 {
			costs = append(costs, s.CPUPerRequest)
		}
		rates = append(rates, s.RPSOK)
		sent, ok = sent+s.Sent, ok+s.OK
	}
	f := figures{cpu: math.NaN(), spread: math.NaN(), rate: math.NaN(), ok: math.NaN()}
	if len(costs) > 0 {
		f.cpu = results.Mean(costs)
	}
	if len(costs) > 1 {
		f.spread = results.SampleSD(costs) / f.cpu
	}
	if sent > 0 {
		f.rate, f.ok = results.Mean(rates), float64(ok)/float64(sent)
	}
	return f
}

// lines draws the table, at most so many lines of it, around the subject whose
// turn it is.
func (b *board) lines(columns, rows int) []string {
	size := boardSize{columns, rows, b.changes, b.current}
	if size == b.drawnAt {
		return b.drawn
	}
	b.drawnAt, b.drawn = size, b.render(columns, rows)
	return b.drawn
}

func (b *board) render(columns, rows int) []string {
	if len(b.rows) == 0 {
		return nil
	}
	const (
		heading  = 2 // and the rule below it
		trendGap = 2
		// Of slices drawn, beside the table.
		leastTrend, mostTrend = len("CPU/req"), 40
	)
	shown, ruled := b.rows, true
	if len(shown)+heading > rows {
		ruled = false
		shown = b.around(max(rows-heading+1, 1))
	}
	t := b.table(shown, columns)
	var text strings.Builder
	if err := results.RenderText(&text, []results.Table{t}); err != nil {
		return []string{fit(err.Error(), columns)}
	}
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	width := 0
	for i, line := range lines {
		if b.current == "" { // the column of its mark is empty
			line = map[bool]string{true: "─", false: " "}[i == 1] + line
		}
		lines[i] = fit(line, columns)
		width = max(width, lipgloss.Width(lines[i]))
	}
	trend := min(columns-width-trendGap, mostTrend)
	for i := range lines {
		n := i - heading
		switch {
		case n < 0 || n >= len(shown):
			if i == 0 && trend >= leastTrend {
				lines[i] = pad(lines[i], width+trendGap) + "CPU/req by slice"[:min(trend, 16)]
			}
			lines[i] = faint.render(lines[i])
			continue
		case shown[n].subject.Name == b.current:
			lines[i] = strong.render(lines[i])
		}
		if trend >= leastTrend {
			lines[i] = pad(lines[i], width+trendGap) + shown[n].trend(trend)
		}
	}
	if !ruled {
		lines = append(lines[:1:1], lines[heading:]...)
	}
	return lines
}

// around are n rows with the current one among them.
func (b *board) around(n int) []*boardRow {
	at := 0
	for i, r := range b.rows {
		if r.subject.Name == b.current {
			at = i
		}
	}
	from := min(max(at-n/2, 0), max(len(b.rows)-n, 0))
	return b.rows[from:min(from+n, len(b.rows))]
}

// table is the rows as a table that is narrow enough.
func (b *board) table(rows []*boardRow, columns int) results.Table {
	wide := columns >= 60
	title := "subject"
	if len(rows) < len(b.rows) {
		title = fmt.Sprintf("%d of %d", len(rows), len(b.rows))
	}
	t := results.Table{Columns: []results.Column{{Key: "turn", Left: true}, {Key: "subject", Title: title, Left: true}, {Key: "cpu", Title: "CPU/req"}}}
	if wide {
		t.Columns = append(t.Columns, results.Column{Key: "spread", Title: "±sd"})
	}
	t.Columns = append(t.Columns, results.Column{Key: "rps", Title: "ok/s"}, results.Column{Key: "ok", Title: "ok %"})
	if wide {
		t.Columns = append(t.Columns, results.Column{Key: "slices", Title: "slices"})
	}
	struck := b.strikes() && wide
	if struck {
		t.Columns = append(t.Columns, results.Column{Key: "struck", Title: "struck out", Left: true})
	}
	for _, r := range rows {
		cells := r.cells(r.subject.Name == b.current, wide)
		if struck {
			cells = append(cells, results.TextCell(r.strikes()))
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// strikes tells whether a trial is struck out.
func (b *board) strikes() bool {
	return slices.ContainsFunc(b.rows, func(r *boardRow) bool { return r.strikes() != "" })
}

func (r *boardRow) cells(current, wide bool) []results.Cell {
	const longest, narrowest = 24, 12
	all, struck := r.counted()
	f := figuresOfSlices(all)
	cell := func(v float64, format func(float64) string) results.Cell {
		c := results.FigureCell(v, format)
		c.Struck = struck && len(all) > 0
		return c
	}
	rate := cell(f.rate, results.FormatCount)
	if timed := slices.Concat(r.timed, r.current); !struck && len(timed) > 0 {
		rate = cell(figuresOfSlices(timed).rate, results.FormatCount)
	} else if r.rates > 0 {
		rate.Struck = true
	}
	mark, room := "", narrowest
	if current {
		mark = "▶"
	}
	if wide {
		room = longest
	}
	out := []results.Cell{results.TextCell(mark), results.TextCell(fit(r.subject.Title(), room)), cell(f.cpu, results.FormatNS)}
	if wide {
		out = append(out, cell(f.spread, formatSpread))
	}
	out = append(out, rate, cell(f.ok, results.FormatShare))
	if wide {
		out = append(out, results.TextCell(results.FormatCount(float64(len(all)))))
	}
	return out
}

func (r *boardRow) strikes() string {
	var words []string
	if r.struck > 0 {
		words = append(words, plural(r.struck, "trial"))
	}
	if r.rates > 0 {
		words = append(words, plural(r.rates, "rate"))
	}
	return strings.Join(words, ", ")
}

func formatSpread(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*v)
}

// trend draws the CPU time of the last slices, from zero on.
func (r *boardRow) trend(columns int) string {
	all, _ := r.counted()
	if len(all) > columns {
		all = all[len(all)-columns:]
	}
	highest := 0.0
	for _, s := range all {
		highest = max(highest, s.CPUPerRequest)
	}
	line := make([]rune, len(all))
	for i, s := range all {
		line[i] = spark(s.CPUPerRequest, highest)
	}
	return wellInk.render(string(line))
}

// plural puts a number before a word.
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return results.FormatCount(float64(n)) + " " + word + "s"
}
