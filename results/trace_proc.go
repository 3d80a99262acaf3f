package results

import (
	"fmt"
	"io"
	"math"
	"time"
)

// TraceProcSchema is the format of what is known without a tracer, as JSON.
const TraceProcSchema = "mslab.trace.proc/v1"

// ProcTrace is what the kernel counts for every process: what is left of a
// trace where the tracer cannot work.
type ProcTrace struct {
	Schema    string          `json:"schema"`
	Title     string          `json:"title"`
	PID       int             `json:"pid"`
	Window    string          `json:"window"`
	ElapsedNS int64           `json:"elapsed_ns"`
	EndNS     int64           `json:"end_ns"`
	Requests  *int64          `json:"requests,omitempty"`
	Ended     string          `json:"ended,omitempty"`
	Command   *TracedCommand  `json:"command,omitempty"`
	Missing   string          `json:"missing"` // why this is no trace
	Figures   []ProcessFigure `json:"figures"`
	Notes     []string        `json:"notes,omitempty"`
}

// ProcessFigure is one figure of a process, or of its network namespace.
type ProcessFigure struct {
	Key   string  `json:"key"`
	Name  string  `json:"name"` // for people
	Unit  string  `json:"unit,omitempty"`
	Scope string  `json:"scope"` // ScopeProcess or ScopeNetwork
	Value float64 `json:"value"`
	// Moment says that the value is of the end of the window; a rate of it
	// means nothing.
	Moment     bool     `json:"moment,omitempty"`
	PerRequest *float64 `json:"per_request,omitempty"`
}

// Whose a ProcessFigure is.
const (
	ScopeProcess = "process"
	ScopeNetwork = "network namespace"
)

// Settle fills in the figures that follow from others.
func (t *ProcTrace) Settle() {
	t.Schema = TraceProcSchema
	for i := range t.Figures {
		f := &t.Figures[i]
		if t.Requests != nil && *t.Requests > 0 && !f.Moment {
			ratio := f.Value / float64(*t.Requests)
			f.PerRequest = &ratio
		}
	}
}

// Table draws the figures.
func (t *ProcTrace) Table() Table {
	elapsed := time.Duration(t.ElapsedNS).Seconds()
	out := Table{Title: traceTitle("what /proc counts for "+t.Title, t.Window, t.ElapsedNS, t.EndNS, t.Requests), Columns: []Column{
		{Key: "name", Title: "figure", Left: true},
		{Key: "scope", Title: "of the", Left: true},
		{Key: "value", Title: "value"},
		{Key: "per_second", Title: "a second"},
	}}
	if t.Requests != nil {
		out.Columns = append(out.Columns, Column{Key: "per_request", Title: "a request"})
	}
	for _, f := range t.Figures {
		rate := TextCell(dash)
		if !f.Moment && elapsed > 0 {
			rate = FigureCell(f.Value/elapsed, f.format)
		}
		row := []Cell{TextCell(f.Name), TextCell(f.Scope), FigureCell(f.Value, f.format), rate}
		if t.Requests != nil {
			each := math.NaN()
			if f.PerRequest != nil {
				each = *f.PerRequest
			}
			row = append(row, FigureCell(each, f.format))
		}
		out.Rows = append(out.Rows, row)
	}
	if t.Ended != "" {
		out.Notes = append(out.Notes, t.Ended)
	}
	out.Notes = append(out.Notes, t.Notes...)
	return out
}

// format prints a value of the figure; counts that are small by request keep
// three digits.
func (f *ProcessFigure) format(v float64) string {
	switch {
	case f.Unit == "ns":
		return FormatNS(v)
	case math.Abs(v) < 999.5 && v != math.Trunc(v):
		return formatRatio(v)
	}
	return formatCount(v)
}

// RenderProcTrace prints what is known without a tracer in one of Formats, or,
// with line, as one line of JSON.
func RenderProcTrace(w io.Writer, format string, t *ProcTrace, line bool) error {
	if format == "json" {
		return writeTraceJSON(w, t, line)
	}
	return Render(w, format, []Table{t.Table()})
}

// traceTitle says what was looked at, for how long, and under how many requests.
func traceTitle(what, window string, elapsedNS, endNS int64, requests *int64) string {
	text := printable(what) + ", "
	if window == WindowInterval {
		text += fmt.Sprintf("%s up to %s", FormatNS(float64(elapsedNS)), FormatNS(float64(endNS)))
	} else {
		text += FormatNS(float64(elapsedNS))
	}
	if requests == nil {
		return text
	}
	rate := math.NaN()
	if elapsedNS > 0 {
		rate = float64(*requests) / time.Duration(elapsedNS).Seconds()
	}
	return text + fmt.Sprintf(" with %s requests (%s/s)", formatCount(float64(*requests)), formatCount(rate))
}
