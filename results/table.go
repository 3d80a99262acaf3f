package results

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// TableSchema is the format of tables as JSON.
const TableSchema = "mslab.table/v1"

// Table is what every command prints: for people as text or Markdown, for
// programs as CSV or JSON, where figures stand unrounded in the column's unit.
type Table struct {
	Title   string
	Columns []Column
	Rows    [][]Cell
	// Under is what stands below a row, by its index, on lines that belong to no
	// column: what figures leave no room for. It is for terminals; what Markdown
	// and programs should have of it is a column of their own.
	Under  map[int]string
	Notes  []string
	Detail bool // more than a first look needs
}

// Column is one column. Key is its name in CSV and JSON, Title in the forms for
// people, Unit that of the unrounded figures ("ns", "1/s", "" for none).
type Column struct {
	Key   string
	Title string
	Unit  string
	Left  bool // text; figures are aligned right
	Extra bool // left out where a terminal has no room for it
	// Picture is a drawing for people: programs get the figures that it draws.
	Picture bool
}

// Cell is one figure or text.
type Cell struct {
	Text   string  // for people
	Value  float64 // for programs; not a number where Text is all there is
	Struck bool    // measured, and not to be used
}

// TextCell is a cell without a figure.
func TextCell(s string) Cell { return Cell{Text: s, Value: math.NaN()} }

// FigureCell prints v by format and keeps it.
func FigureCell(v float64, format func(float64) string) Cell {
	return Cell{Text: format(v), Value: v}
}

// Formats are the values of --format that any table can be rendered in.
var Formats = []string{"table", "markdown", "csv", "json"}

// Render prints tables in one of Formats.
func Render(w io.Writer, format string, tables []Table) error {
	switch format {
	case "table":
		return RenderText(w, tables)
	case "markdown":
		return RenderMarkdown(w, tables)
	case "csv":
		return RenderCSV(w, tables)
	case "json":
		return RenderJSON(w, tables)
	}
	return fmt.Errorf("render tables: unknown format %q; use one of %s", format, strings.Join(Formats, ", "))
}

// RenderText prints tables for a terminal.
func RenderText(w io.Writer, tables []Table) error {
	bare := renderer.NewBlueprint(tw.Rendition{
		Borders: tw.BorderNone,
		Symbols: tw.NewSymbols(tw.StyleLight),
		Settings: tw.Settings{
			Separators: tw.Separators{BetweenColumns: tw.Off, BetweenRows: tw.Off},
			Lines:      tw.Lines{ShowTop: tw.Off, ShowBottom: tw.Off, ShowHeaderLine: tw.On},
		},
	})
	for i, t := range tables {
		var b strings.Builder
		if err := t.renderPeople(&b, i > 0, "", bare, func(c Cell) string { return c.Text }, struckText); err != nil {
			return err
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return fmt.Errorf("render table %q: %w", t.Title, err)
		}
	}
	return nil
}

// lineWidth is what a terminal shows without wrapping.
const lineWidth = 80

// Wrap breaks a text between words so that it fits a terminal; further lines
// begin with two spaces.
func Wrap(s string) string { return wrap(s, lineWidth, "  ") }

// wrap breaks a text between words; further lines begin with indent.
func wrap(s string, width int, indent string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(s) {
		n := utf8.RuneCountInString(word)
		switch {
		case column > 0 && column+1+n > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		case column > 0:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// trimGrid takes away the padding at both ends of each line.
func trimGrid(grid string, pad string) string {
	var b strings.Builder
	for line := range strings.Lines(grid) {
		line = strings.TrimRight(strings.TrimPrefix(line, pad), " \n")
		b.WriteString(strings.TrimSuffix(strings.TrimPrefix(line, "─"), "─") + "\n")
	}
	return b.String()
}

// struckText marks a struck-out figure where letters cannot be struck out.
func struckText(s string) string { return "(" + s + ")" }

// RenderMarkdown prints tables as Markdown; what is struck out is struck out.
func RenderMarkdown(w io.Writer, tables []Table) error {
	escape := strings.NewReplacer("|", `\|`)
	for i, t := range tables {
		err := t.renderPeople(w, i > 0, "### ", renderer.NewMarkdown(),
			func(c Cell) string { return escape.Replace(c.Text) },
			func(s string) string { return "~~" + s + "~~" })
		if err != nil {
			return err
		}
	}
	return nil
}

func (t Table) renderPeople(w io.Writer, gap bool, heading string, r tw.Renderer, text func(Cell) string, strike func(string) string) error {
	var b strings.Builder
	if gap {
		b.WriteString("\n")
	}
	markdown, width := heading != "", lineWidth
	if markdown {
		width = 0 // whoever shows it wraps it
	}
	switch {
	case t.Title == "":
	case markdown:
		b.WriteString(heading + t.Title + "\n\n")
	default:
		b.WriteString(wrap(t.Title, lineWidth, "") + "\n\n")
	}
	var grid strings.Builder
	if err := t.grid(&grid, r, width, text, strike); err != nil {
		return fmt.Errorf("render table %q: %w", t.Title, err)
	}
	if markdown {
		b.WriteString(grid.String())
	} else {
		b.WriteString(trimGrid(grid.String(), " "))
	}
	if len(t.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, note := range t.Notes {
		if markdown {
			b.WriteString("- " + note + "\n")
		} else {
			b.WriteString(Wrap(note) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// grid draws header and rows; a width above 0 is what they should fit into.
func (t Table) grid(w io.Writer, r tw.Renderer, width int, cellText func(Cell) string, strike func(string) string) error {
	align := make([]tw.Align, len(t.Columns))
	lines := [][]string{make([]string, len(t.Columns))}
	for i, c := range t.Columns {
		lines[0][i], align[i] = c.Title, tw.AlignRight
		if c.Left {
			align[i] = tw.AlignLeft
		}
	}
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, c := range row {
			if cells[i] = cellText(c); c.Struck {
				cells[i] = strike(cells[i])
			}
		}
		lines = append(lines, cells)
	}
	if width > 0 && !t.fit(lines, width, false) {
		if narrow := t.without(func(c Column) bool { return c.Extra }); len(narrow.Columns) < len(t.Columns) {
			return narrow.grid(w, r, width, cellText, strike)
		}
		t.fit(lines, width, true)
	}
	var drawn strings.Builder
	table := tablewriter.NewTable(&drawn,
		tablewriter.WithRenderer(r),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: align}),
	)
	table.Header(lines[0])
	for _, cells := range lines[1:] {
		if err := table.Append(cells); err != nil {
			return err
		}
	}
	if err := table.Render(); err != nil {
		return err
	}
	text := drawn.String()
	if width > 0 && len(t.Under) > 0 {
		text = t.insertUnder(text, lines, width)
	}
	_, err := io.WriteString(w, text)
	return err
}

// underIndent sets what stands under a row apart from the row.
const underIndent = "  "

// insertUnder puts what stands under rows into a drawn grid, whose cells are
// lines, the header first.
func (t Table) insertUnder(grid string, lines [][]string, width int) string {
	var b strings.Builder
	rest := grid
	take := func(n int) {
		for range n {
			line, after, found := strings.Cut(rest, "\n")
			if !found {
				break
			}
			b.WriteString(line + "\n")
			rest = after
		}
	}
	for i, cells := range lines {
		height := 1
		for _, cell := range cells {
			height = max(height, strings.Count(cell, "\n")+1)
		}
		if i == 0 {
			take(height + 1) // and the rule
			continue
		}
		take(height)
		if text := t.Under[i-1]; text != "" {
			indent := " " + underIndent // the grid's own padding is taken away later
			text = wrap(text, width-len(underIndent), "")
			b.WriteString(indent + strings.ReplaceAll(text, "\n", "\n"+indent) + "\n")
		}
	}
	return b.String() + rest
}

// machine is the figure of a cell, else its text; nil for neither and for what
// is struck out.
func (c Cell) machine() any {
	switch {
	case c.Struck:
		return nil
	case !math.IsNaN(c.Value) && !math.IsInf(c.Value, 0):
		return c.Value
	case c.Text == "" || c.Text == dash:
		return nil
	}
	return c.Text
}

// RenderCSV prints tables one after the other, each under a header of its own
// that names columns and units, with the table's title as the first column.
// Struck-out figures are left empty.
func RenderCSV(w io.Writer, tables []Table) error {
	out := csv.NewWriter(w)
	for _, t := range tables {
		t = t.without(func(c Column) bool { return c.Picture })
		header := []string{"table"}
		for _, c := range t.Columns {
			name := c.Key
			if c.Unit != "" {
				name += " (" + c.Unit + ")"
			}
			header = append(header, name)
		}
		_ = out.Write(header) // the writer keeps its first error for Error
		for _, row := range t.Rows {
			fields := []string{t.Title}
			for _, c := range row {
				fields = append(fields, csvField(c.machine()))
			}
			_ = out.Write(fields)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("render CSV: %w", err)
	}
	return nil
}

// csvField prints figures in full and without an exponent.
func csvField(v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return v
	}
	return ""
}

type jsonColumn struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	Unit  string `json:"unit,omitempty"`
}

type jsonTable struct {
	Title   string           `json:"title,omitempty"`
	Columns []jsonColumn     `json:"columns"`
	Rows    []map[string]any `json:"rows"`
	Notes   []string         `json:"notes,omitempty"`
}

// RenderJSON prints {schema, tables:[{title, columns, rows:[{key: value}],
// notes}]}; what was not measured or is struck out is null.
func RenderJSON(w io.Writer, tables []Table) error {
	doc := struct {
		Schema string      `json:"schema"`
		Tables []jsonTable `json:"tables"`
	}{TableSchema, []jsonTable{}}
	for _, t := range tables {
		t = t.without(func(c Column) bool { return c.Picture })
		j := jsonTable{Title: t.Title, Notes: t.Notes, Rows: []map[string]any{}}
		for _, c := range t.Columns {
			j.Columns = append(j.Columns, jsonColumn{c.Key, c.Title, c.Unit})
		}
		for _, row := range t.Rows {
			object := make(map[string]any, len(row))
			for i, c := range row {
				object[t.Columns[i].Key] = c.machine()
			}
			j.Rows = append(j.Rows, object)
		}
		doc.Tables = append(doc.Tables, j)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("render JSON: %w", err)
	}
	return nil
}
