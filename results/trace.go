package results

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
)

// TraceSyscallsSchema is the format of a trace of system calls as JSON.
const TraceSyscallsSchema = "mslab.trace.syscalls/v1"

// The stretches of time that a SyscallTrace can be of.
const (
	WindowTotal    = "total"    // from the attaching of the tracer to the end
	WindowInterval = "interval" // from the figures before to these
)

// SyscallTrace is what system calls a process made in a stretch of time. Its
// JSON is what `mslab trace syscalls --json` prints.
type SyscallTrace struct {
	Schema string `json:"schema"`
	Title  string `json:"title"` // what was traced
	PID    int    `json:"pid"`
	// Window is WindowTotal or WindowInterval; EndNS is when it ended, counted
	// from the attaching of the tracer.
	Window    string `json:"window"`
	ElapsedNS int64  `json:"elapsed_ns"` // its length
	EndNS     int64  `json:"end_ns"`
	// Requests are those that the server completed meanwhile; nil where nothing
	// tells.
	Requests *int64 `json:"requests,omitempty"`
	// Ended says how the process ended while it was traced; "" where it did not.
	Ended      string           `json:"ended,omitempty"`
	Command    *TracedCommand   `json:"command,omitempty"`
	Syscalls   []Syscall        `json:"syscalls"` // by total time, largest first
	Unfinished []UnfinishedCall `json:"unfinished"`
	// EndedInside counts calls whose thread ended inside them (exit, exit_group);
	// they are in no total.
	EndedInside map[string]uint64 `json:"ended_inside,omitempty"`
	Self        TraceSelf         `json:"self"`
	// Notes are what else a reader should know.
	Notes []string `json:"notes,omitempty"`
}

// TracedCommand is a command that was started to be traced.
type TracedCommand struct {
	Args []string `json:"args"`
	// ExitCode is 128 + N where signal N ended it; -1 while it runs.
	ExitCode int `json:"exit_code"`
}

// Syscall is what was counted of one system call, or of one system call on one
// target or of one thread.
type Syscall struct {
	Name   string            `json:"name"`
	Target string            `json:"target,omitempty"` // what its descriptor refers to
	FD     *int              `json:"fd,omitempty"`
	Thread int               `json:"thread,omitempty"`
	Calls  uint64            `json:"calls"`
	Errors uint64            `json:"errors"`
	Errnos map[string]uint64 `json:"errnos"` // by name, "EAGAIN": 512
	// PerRequest is calls by request; nil where requests are not known or none
	// were served.
	PerRequest *float64 `json:"per_request,omitempty"`
	TotalNS    int64    `json:"total_ns"`
	MeanNS     float64  `json:"mean_ns"`
	P50NS      int64    `json:"p50_ns"`
	P99NS      int64    `json:"p99_ns"`
	MaxNS      int64    `json:"max_ns"`
}

// UnfinishedCall is a call that was in progress at the end; it is in no total.
type UnfinishedCall struct {
	Name   string `json:"name"`
	Target string `json:"target,omitempty"`
	Thread int    `json:"thread"`
	ForNS  int64  `json:"for_ns"` // from its begin to the end of the window
}

// TraceSelf is what tracing cost and what it missed.
type TraceSelf struct {
	Rung  string            `json:"rung"` // how the probes were attached
	Cost  TraceCost         `json:"cost"`
	Drops uint64            `json:"drops"` // calls that are missing in the figures
	By    map[string]uint64 `json:"drops_by,omitempty"`
}

// TraceCost is what tracing took.
type TraceCost struct {
	// CPUNS is what it took of the traced process' time: the counted calls, each
	// at PerCallNS, which was measured before the start.
	CPUNS       int64   `json:"cpu_ns"`
	ShareOfCore float64 `json:"share_of_core"` // CPUNS by elapsed time
	PerCallNS   int64   `json:"per_call_ns"`
	// BystanderNS is what a call of a process takes longer that is not traced.
	BystanderNS int64 `json:"bystander_ns"`
	// MachineNS is the time in the probes on all cores, and Runs how often they
	// ran, by the kernel's own account; 0 where it gives none.
	MachineNS int64  `json:"machine_ns"`
	Runs      uint64 `json:"runs"`
	// FloorNS is what the shortest call reads as: a part of each time is the
	// tracer's own. 0 where it was not measured.
	FloorNS int64 `json:"floor_ns"`
}

// Settle fills in the figures that follow from others.
func (t *SyscallTrace) Settle() {
	t.Schema = TraceSyscallsSchema
	for i := range t.Syscalls {
		s := &t.Syscalls[i]
		if s.Errnos == nil {
			s.Errnos = map[string]uint64{}
		}
		if s.Calls > 0 {
			s.MeanNS = float64(s.TotalNS) / float64(s.Calls)
		}
		if t.Requests != nil && *t.Requests > 0 {
			ratio := float64(s.Calls) / float64(*t.Requests)
			s.PerRequest = &ratio
		}
	}
	if t.Syscalls == nil {
		t.Syscalls = []Syscall{}
	}
	if t.Unfinished == nil {
		t.Unfinished = []UnfinishedCall{}
	}
	if t.ElapsedNS > 0 {
		t.Self.Cost.ShareOfCore = float64(t.Self.Cost.CPUNS) / float64(t.ElapsedNS)
	}
}

func writeTraceJSON(w io.Writer, v any, line bool) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if !line {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("render the trace as JSON: %w", err)
	}
	return nil
}

// SyscallRows says how a SyscallTrace is drawn.
type SyscallRows struct {
	Most int // rows that tables have; JSON has all
	// TimePerRequest puts each call's time by request into the place of its
	// total time.
	TimePerRequest bool
}

// Table draws the first rows of the trace. For people at a terminal, what a call
// was on and its errors stand under its row, so that all figures fit beside each
// other; otherwise they are columns.
func (t *SyscallTrace) Table(o SyscallRows, people bool) Table {
	byTarget := slices.ContainsFunc(t.Syscalls, func(s Syscall) bool { return s.Target != "" })
	byThread := slices.ContainsFunc(t.Syscalls, func(s Syscall) bool { return s.Thread != 0 })
	shown := t.Syscalls[:min(o.Most, len(t.Syscalls))]
	columns := t.columns(shown, byTarget && !people, byThread, !people, o)
	out := Table{Title: traceTitle("system calls of "+t.Title, t.Window, t.ElapsedNS, t.EndNS, t.Requests), Under: map[int]string{}}
	for _, c := range columns {
		out.Columns = append(out.Columns, c.Column)
	}
	for i := range shown {
		row := make([]Cell, 0, len(columns))
		for _, c := range columns {
			row = append(row, c.cell(&shown[i]))
		}
		out.Rows = append(out.Rows, row)
		if people {
			out.Under[i] = shown[i].under()
		}
	}
	out.Notes = t.notes(len(shown))
	return out
}

// syscallColumn is a column and where its cells come from.
type syscallColumn struct {
	Column
	cell func(*Syscall) Cell
}

func (t *SyscallTrace) columns(shown []Syscall, target, byThread, errnos bool, o SyscallRows) []syscallColumn {
	columns := []syscallColumn{{Column{Key: "name", Title: "syscall", Left: true}, func(s *Syscall) Cell { return TextCell(s.Name) }}}
	add := func(c Column, cell func(*Syscall) Cell) { columns = append(columns, syscallColumn{c, cell}) }
	if target {
		add(Column{Key: "target", Title: "on", Left: true}, func(s *Syscall) Cell { return TextCell(s.Target) })
	}
	if byThread {
		add(Column{Key: "thread", Title: "thread"}, func(s *Syscall) Cell { return FigureCell(float64(s.Thread), plainCount) })
	}
	counts := formatCount
	if byThread && slices.ContainsFunc(shown, func(s Syscall) bool { return s.Calls >= 1e6 }) {
		counts = plainCount // commas take the room of other figures
	}
	add(Column{Key: "calls", Title: "calls"}, func(s *Syscall) Cell { return FigureCell(float64(s.Calls), counts) })
	if t.Requests != nil {
		add(Column{Key: "per_request", Title: "/req"}, func(s *Syscall) Cell { return perRequestCell(s.PerRequest) })
	}
	if errnos {
		add(Column{Key: "errnos", Title: "errors", Left: true}, func(s *Syscall) Cell { return TextCell(errnoText(s.Errnos)) })
	}
	duration := func(c Column, value func(*Syscall) float64) {
		c.Unit = "ns"
		add(c, func(s *Syscall) Cell { return FigureCell(value(s), FormatNS) })
	}
	if o.TimePerRequest {
		duration(Column{Key: "time_per_request", Title: "t/req"}, t.timePerRequest)
	} else {
		duration(Column{Key: "total", Title: "total"}, func(s *Syscall) float64 { return float64(s.TotalNS) })
	}
	duration(Column{Key: "mean", Title: "mean"}, func(s *Syscall) float64 { return s.MeanNS })
	duration(Column{Key: "p50", Title: "p50"}, func(s *Syscall) float64 { return float64(s.P50NS) })
	duration(Column{Key: "p99", Title: "p99"}, func(s *Syscall) float64 { return float64(s.P99NS) })
	duration(Column{Key: "max", Title: "max"}, func(s *Syscall) float64 { return float64(s.MaxNS) })
	return columns
}

// timePerRequest is not a number where no request is known.
func (t *SyscallTrace) timePerRequest(s *Syscall) float64 {
	if t.Requests == nil || *t.Requests == 0 {
		return math.NaN()
	}
	return float64(s.TotalNS) / float64(*t.Requests)
}

// plainCount prints a count by its digits alone.
func plainCount(v float64) string { return fmt.Sprintf("%.0f", v) }

// targetWidth is what a line under a row has room for.
const targetWidth = lineWidth - len(underIndent)

// under is what stands below a call's row: what it was on, and its errors.
func (s *Syscall) under() string {
	var parts []string
	if s.Target != "" {
		words := strings.Fields(printable(s.Target))
		for i, word := range words {
			// The end of a long path tells files apart.
			if runes := []rune(word); len(runes) > targetWidth {
				words[i] = "…" + string(runes[len(runes)-targetWidth+1:])
			}
		}
		parts = append(parts, strings.Join(words, " "))
	}
	if len(s.Errnos) > 0 {
		parts = append(parts, "errors: "+errnoText(foldRestarts(s.Errnos)))
	}
	return strings.Join(parts, "; ")
}

// printable takes out what a terminal would obey: names of files and commands
// may hold any byte.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '?'
	}, s)
}

func perRequestCell(ratio *float64) Cell {
	if ratio == nil {
		return TextCell(dash)
	}
	return FigureCell(*ratio, formatRatio)
}

// formatRatio prints what is seldom as such; it must not read as never.
func formatRatio(v float64) string {
	if v > 0 && v < 0.0005 {
		return "<.001"
	}
	return significant(v)
}

// foldRestarts adds up the kernel's own codes for calls that a signal interrupted
// and that it makes again, or ends with EINTR (include/linux/errno.h).
func foldRestarts(errnos map[string]uint64) map[string]uint64 {
	folded := make(map[string]uint64, len(errnos))
	for name, n := range errnos {
		if strings.HasPrefix(name, "ERESTART") {
			name = "ERESTART*"
		}
		folded[name] += n
	}
	return folded
}

// errnoText lists counts by name, most first: "EAGAIN 512, EINTR 3".
func errnoText(errnos map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(errnos), func(a, b string) int {
		if errnos[a] != errnos[b] {
			if errnos[a] > errnos[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = name + " " + formatCount(float64(errnos[name]))
	}
	return strings.Join(names, ", ")
}

// notes are the footer: what is not in the rows, and what the tracing cost.
func (t *SyscallTrace) notes(shown int) []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	switch {
	case len(t.Syscalls) == 0:
		add("No system call ended meanwhile.")
	case shown < len(t.Syscalls):
		var rest, all int64
		for i, s := range t.Syscalls {
			if all += s.TotalNS; i >= shown {
				rest += s.TotalNS
			}
		}
		add("The first %d of %d rows; the others are %s of %s. --rows shows more.", shown, len(t.Syscalls), FormatNS(float64(rest)), FormatNS(float64(all)))
	}
	if t.Ended != "" {
		add("%s", t.Ended)
	}
	if len(t.Unfinished) > 0 {
		add("In progress at the end, in no total: %s.", unfinishedText(t.Unfinished))
	}
	if len(t.EndedInside) > 0 {
		add("Not returned from, in no total: %s.", errnoText(t.EndedInside))
	}
	notes = append(notes, t.Notes...)
	return append(notes, t.Self.String())
}

// unfinishedText sums calls in progress up by name: "accept4 16 (up to 5.02s)".
func unfinishedText(calls []UnfinishedCall) string {
	count, longest := map[string]int{}, map[string]int64{}
	for _, c := range calls {
		count[c.Name]++
		longest[c.Name] = max(longest[c.Name], c.ForNS)
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%s %d (up to %s)", name, count[name], FormatNS(float64(longest[name]))))
	}
	return strings.Join(parts, ", ")
}

// String is the footer about the tracer: how it was attached, what it cost and
// what it missed.
func (s TraceSelf) String() string {
	text := fmt.Sprintf("Tracer: %s; it took %s of CPU (%.2f %% of a core, %s a call", s.Rung,
		FormatNS(float64(s.Cost.CPUNS)), 100*s.Cost.ShareOfCore, FormatNS(float64(s.Cost.PerCallNS)))
	if s.Cost.BystanderNS > 0 {
		text += fmt.Sprintf("; %s a call of other processes", FormatNS(float64(s.Cost.BystanderNS)))
	}
	text += "); "
	if s.Drops == 0 {
		text += "nothing dropped"
	} else {
		text += fmt.Sprintf("%s calls are missing", formatCount(float64(s.Drops)))
		if len(s.By) > 0 {
			text += " (" + errnoText(s.By) + ")"
		}
	}
	if s.Cost.FloorNS > 0 {
		text += fmt.Sprintf("; floor: the shortest call reads %s", FormatNS(float64(s.Cost.FloorNS)))
	}
	return text + "."
}

// RenderSyscalls prints a trace in one of Formats. With line, JSON is one line.
func RenderSyscalls(w io.Writer, format string, t *SyscallTrace, rows SyscallRows, line bool) error {
	if format == "json" {
		return writeTraceJSON(w, t, line)
	}
	return Render(w, format, []Table{t.Table(rows, format == "table")})
}
