package results

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
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
	t := Table{Title: title, Columns: []Column{
		{Key: "b", Title: "subject", Left: true},
		{Key: "a", Title: "against", Left: true},
		{Key: "change", Title: "change", Unit: "fraction"},
		{Key: "interval", Title: "95 %"},
		{Key: "p", Title: "p"},
		{Key: "min_detectable", Title: "MDE", Unit: "fraction"},
		{Key: "blocks", Title: "n"},
	}}
	places := map[string]bool{}
	for _, c := range comparisons {
		places[c.place()] = true
	}
	several := len(places) > 1
	if several {
		t.Columns = append([]Column{{Key: "arm", Title: "arm", Left: true}}, t.Columns...)
	} else if len(comparisons) > 0 && comparisons[0].Arm != "" {
		t.Title += " in arm " + comparisons[0].place()
	}
	tested := 0
	for _, c := range comparisons {
		row := c.row()
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
		t.Notes = append(t.Notes, fmt.Sprintf("min effect %s; p by sign-flip permutation over n blocks, Holm over %d pairs; the MDE is found with a chance of 90 %%; ~ is no significant difference.",
			percent(comparisons[0].MinEffect), tested))
	}
	return t
}

func (c Comparison) cannotShow() bool {
	return strings.HasPrefix(string(c.Verdict), string(CannotShow))
}

func (c Comparison) row() []Cell {
	return []Cell{
		TextCell(c.B), TextCell(c.A), changeCell(c, true), intervalCell(c, true),
		FigureCell(float64(c.P), formatP),
		FigureCell(float64(c.MinDetectable), func(v float64) string {
			if math.IsNaN(v) {
				return dash
			}
			return percent(v)
		}),
		FigureCell(float64(c.Blocks), formatCount),
	}
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
	if comparisons == nil {
		comparisons = []Comparison{}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(Comparisons{CompareSchema, comparisons}); err != nil {
		return fmt.Errorf("render comparisons: %w", err)
	}
	return nil
}
