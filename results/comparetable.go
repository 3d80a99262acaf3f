package results

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// CompareTables draws comparisons one a row, in a table for each metric.
func CompareTables(comparisons []Comparison) []Table {
	var tables []Table
	byMetric := map[string][]Comparison{}
	var metrics []string
	for _, c := range comparisons {
		if byMetric[c.Metric] == nil {
			metrics = append(metrics, c.Metric)
		}
		byMetric[c.Metric] = append(byMetric[c.Metric], c)
	}
	for _, m := range metrics {
		tables = append(tables, compareTable(m, byMetric[m]))
	}
	return tables
}

// place is where a comparison was made: the arm, and the load where there are
// several.
func (c Comparison) place() string {
	if c.Load == "" {
		return c.Arm
	}
	return c.Arm + ", " + c.Load
}

func compareTable(title string, comparisons []Comparison) Table {
	columns := []Column{
		{Key: "b", Title: "subject", Left: true},
		{Key: "a", Title: "against", Left: true},
		{Key: "change", Title: "change", Unit: "fraction"},
		{Key: "interval", Title: "95 %"},
		{Key: "p", Title: "p"},
		{Key: "min_detectable", Title: "MDE", Unit: "fraction"},
		{Key: "blocks", Title: "n"},
	}
	skip := 0
	twins := !slices.ContainsFunc(comparisons, func(c Comparison) bool { _, ok := twin(c.A, c.B); return !ok })
	if twins {
		title, skip = title+", candidate against base", 1 // the second column would repeat the first
	}
	places := map[string]bool{}
	for _, c := range comparisons {
		places[c.place()] = true
	}
	several := len(places) > 1
	t := Table{Title: title, Columns: slices.Delete(columns, 1, 1+skip)}
	if several {
		t.Columns = append([]Column{{Key: "arm", Title: "arm", Left: true}}, t.Columns...)
	} else if len(comparisons) > 0 && comparisons[0].Arm != "" {
		t.Title += " in arm " + comparisons[0].place()
	}
	tested := 0
	for _, c := range comparisons {
		row := c.row()
		if name, ok := twin(c.A, c.B); ok && twins {
			row = append([]Cell{TextCell(name)}, row[2:]...)
		}
		if several {
			row = append([]Cell{TextCell(c.place())}, row...)
		}
		t.Rows = append(t.Rows, row)
		t.Notes = append(t.Notes, c.notes()...)
		if !c.cannotShow() {
			tested++
		}
	}
	if tested > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("min effect %s; p by sign-flip permutation over n blocks, Holm over %d pairs; an interval is its row's own; the MDE is found with a chance of 90 %%; ~ is no significant difference.",
			percent(comparisons[0].MinEffect), tested))
	}
	return t
}

// twin is the name of a subject that is compared with itself in another run.
func twin(a, b string) (name string, ok bool) {
	name, ok = strings.CutSuffix(a, baseSuffix)
	of, too := strings.CutSuffix(b, candidateSuffix)
	return name, ok && too && name == of
}

func (c Comparison) cannotShow() bool {
	return strings.HasPrefix(string(c.Verdict), string(CannotShow))
}

func (c Comparison) row() []Cell {
	return []Cell{
		TextCell(c.B), TextCell(c.A), c.changeCell(), intervalCell(c, true),
		FigureCell(float64(c.P), formatP),
		FigureCell(float64(c.MinDetectable), formatEffect),
		FigureCell(float64(c.Blocks), formatCount),
	}
}

// changeCell shows the ratio of too few blocks too: this table says how many
// there are, and its notes how many are needed.
func (c Comparison) changeCell() Cell {
	if c.Verdict == TooFew && !math.IsNaN(float64(c.Ratio)) {
		return Cell{Text: c.Change() + " (too few)", Value: float64(c.Ratio) - 1}
	}
	return changeCell(c, true)
}

// formatEffect prints a minimum detectable effect. Of two or three blocks it may
// have many digits, all of which say that nothing can be detected.
func formatEffect(v float64) string {
	const most = 9.99
	switch {
	case math.IsNaN(v):
		return dash
	case v > most:
		return ">" + percent(most)
	}
	return percent(v)
}

// notes are what the row cannot hold.
func (c Comparison) notes() []string {
	var notes []string
	switch {
	case c.cannotShow():
		notes = append(notes, fmt.Sprintf("%s against %s: %s.", c.B, c.A, c.Verdict))
	case c.Verdict == TooFew:
		notes = append(notes, fmt.Sprintf("%s against %s: %s, %d blocks of %d needed.", c.B, c.A, c.Verdict, c.Blocks, c.BlocksNeeded))
	}
	// One line says it; the JSON form has all.
	switch n := len(c.LeftOut); {
	case n == 1:
		notes = append(notes, fmt.Sprintf("Left out of %s against %s: %s.", c.B, c.A, c.LeftOut[0]))
	case n > 1:
		notes = append(notes, fmt.Sprintf("Left out of %s against %s, %d times: %s, and others.", c.B, c.A, n, firstReason(c.LeftOut[0])))
	}
	return notes
}

// formatP prints a p-value; below 0.001 only that it is.
func formatP(p float64) string {
	switch {
	case math.IsNaN(p):
		return dash
	case p < 0.001:
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// RenderComparisons prints comparisons as the document {schema, pairs}.
func RenderComparisons(w io.Writer, comparisons []Comparison) error {
	return Comparisons{Pairs: comparisons}.Render(w)
}

// Render prints the document with its schema.
func (doc Comparisons) Render(w io.Writer) error {
	doc.Schema = CompareSchema
	if doc.Pairs == nil {
		doc.Pairs = []Comparison{}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("render comparisons: %w", err)
	}
	return nil
}
