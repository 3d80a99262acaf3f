package results

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// DoctorSchema is the format of checks as JSON.
const DoctorSchema = "mslab.doctor/v1"

// Check is one thing that a machine may be able to do, and how to find out.
// Try leaves nothing behind, gives up when its context ends, and says with
// Works or Fails what came of it.
type Check struct {
	Name string // in one list, once
	Try  func(context.Context) Finding
}

// Finding is what came of a check.
type Finding struct {
	OK  bool   `json:"ok"`
	Why string `json:"why"` // what was tried and what came back
	Fix string `json:"fix"` // what to do, in one line; empty where OK
}

// Works is the finding of a check that succeeded; it says what was tried.
func Works(format string, args ...any) Finding {
	return Finding{OK: true, Why: fmt.Sprintf(format, args...)}
}

// Fails is the finding of a check that did not: what to do, then what was tried
// and what came back.
func Fails(fix, format string, args ...any) Finding {
	return Finding{Why: fmt.Sprintf(format, args...), Fix: fix}
}

// Checked is a check that was made.
type Checked struct {
	Name string `json:"name"`
	Finding
}

// RenderChecks prints checks in one of Formats. JSON is {schema,
// checks:[{name, ok, why, fix}]}.
func RenderChecks(w io.Writer, format string, checks []Checked) error {
	switch format {
	case "json":
		return renderChecksJSON(w, checks)
	case "table":
		return RenderText(w, checksForTerminal(checks))
	}
	return Render(w, format, []Table{checksTable(checks, true)})
}

func renderChecksJSON(w io.Writer, checks []Checked) error {
	doc := struct {
		Schema string    `json:"schema"`
		Checks []Checked `json:"checks"`
	}{DoctorSchema, append([]Checked{}, checks...)}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("render checks as JSON: %w", err)
	}
	return nil
}

// checksForTerminal puts what to do into a table of its own, since four columns
// do not read well in 80.
func checksForTerminal(checks []Checked) []Table {
	all, todo := checksTable(checks, false), Table{
		Title:   "What to do about those that do not work",
		Columns: []Column{checkColumn, fixColumn},
	}
	for _, c := range checks {
		if !c.OK {
			todo.Rows = append(todo.Rows, []Cell{TextCell(c.Name), TextCell(c.Fix)})
		}
	}
	all.Notes = []string{fmt.Sprintf("%d of %d work.", len(checks)-len(todo.Rows), len(checks))}
	if len(todo.Rows) == 0 {
		return []Table{all}
	}
	return []Table{all, todo}
}

var (
	checkColumn = Column{Key: "name", Title: "check", Left: true}
	fixColumn   = Column{Key: "fix", Title: "what to do", Left: true}
)

func checksTable(checks []Checked, withFix bool) Table {
	t := Table{Columns: []Column{
		checkColumn,
		{Key: "ok", Title: "ok", Left: true},
		{Key: "why", Title: "what was tried, and what came back", Left: true},
	}}
	if withFix {
		t.Columns = append(t.Columns, fixColumn)
	}
	for _, c := range checks {
		answer := "no"
		if c.OK {
			answer = "yes"
		}
		row := []Cell{TextCell(c.Name), TextCell(answer), TextCell(c.Why)}
		if withFix {
			row = append(row, TextCell(c.Fix))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
