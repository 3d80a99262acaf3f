package results

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
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

// Table draws the first rows of the trace. For people, targets are cut to what
// a terminal has room for; programs get them whole.
func (t *SyscallTrace) Table(o SyscallRows, people bool) Table {
	byTarget := slices.ContainsFunc(t.Syscalls, func(s Syscall) bool { return s.Target != "" })
	byThread := slices.ContainsFunc(t.Syscalls, func(s Syscall) bool { return s.Thread != 0 })
	out := Table{Title: traceTitle("system calls of "+t.Title, t.Window, t.ElapsedNS, t.EndNS, t.Requests), Columns: traceColumns(byTarget, byThread, t.Requests != nil, o)}
	shown := t.Syscalls[:min(o.Most, len(t.Syscalls))]
	for _, s := range shown {
		row := []Cell{TextCell(s.Name)}
		if byTarget {
			row = append(row, targetCell(s.Target, people))
		}
		if byThread {
			row = append(row, FigureCell(float64(s.Thread), func(v float64) string { return fmt.Sprintf("%.0f", v) }))
		}
		row = append(row, FigureCell(float64(s.Calls), formatCount))
		if t.Requests != nil {
			row = append(row, perRequestCell(s.PerRequest))
		}
		errnos := s.Errnos
		if people {
			errnos = foldRestarts(errnos)
		}
		row = append(row, TextCell(errnoText(errnos)))
		total := float64(s.TotalNS)
		if o.TimePerRequest {
			total = math.NaN()
			if t.Requests != nil && *t.Requests > 0 {
				total = float64(s.TotalNS) / float64(*t.Requests)
			}
		}
		for _, ns := range []float64{total, s.MeanNS, float64(s.P50NS), float64(s.P99NS), float64(s.MaxNS)} {
			row = append(row, FigureCell(ns, FormatNS))
		}
		out.Rows = append(out.Rows, row)
	}
	out.Notes = t.notes(len(shown))
	return out
}

func traceColumns(byTarget, byThread, byRequest bool, o SyscallRows) []Column {
	columns := []Column{{Key: "name", Title: "syscall", Left: true}}
	if byTarget {
		columns = append(columns, Column{Key: "target", Title: "on", Left: true})
	}
	if byThread {
		columns = append(columns, Column{Key: "thread", Title: "thread"})
	}
	columns = append(columns, Column{Key: "calls", Title: "calls"})
	if byRequest {
		columns = append(columns, Column{Key: "per_request", Title: "/req"})
	}
	total := Column{Key: "total", Title: "total", Unit: "ns"}
	if o.TimePerRequest {
		total = Column{Key: "time_per_request", Title: "t/req", Unit: "ns"}
	}
	return append(columns,
		Column{Key: "errnos", Title: "errors", Left: true},
		total,
		Column{Key: "mean", Title: "mean", Unit: "ns", Extra: true},
		Column{Key: "p50", Title: "p50", Unit: "ns"},
		Column{Key: "p99", Title: "p99", Unit: "ns"},
		Column{Key: "max", Title: "max", Unit: "ns", Extra: byTarget || byThread},
	)
}

// targetWidth is what the figures leave for a word of a target on a terminal.
const targetWidth = 13

// targetCell cuts the front of a long path, whose end tells files apart, and the
// host of addresses that are all on this one.
func targetCell(target string, people bool) Cell {
	if !people {
		return TextCell(target)
	}
	words := strings.Fields(strings.ReplaceAll(target, "127.0.0.1:", ":"))
	for i, word := range words {
		if runes := []rune(word); len(runes) > targetWidth {
			words[i] = "…" + string(runes[len(runes)-targetWidth+1:])
		}
	}
	return TextCell(strings.Join(words, " "))
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
