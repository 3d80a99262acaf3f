package main

import (
	"context"
	"fmt"
	"io"
	"syscall"

	"mslab/ebpf"
	"mslab/ebpf/fallback"
	"mslab/results"
)

// lookWithout prints what /proc counts, where the tracer cannot work.
func (o *traceSyscallsOptions) lookWithout(ctx context.Context, stdout, stderr io.Writer, t *traced, missing *ebpf.Missing) error {
	if err := mayWatch(t.pid); err != nil {
		return err
	}
	watcher, err := fallback.Watch(t.pid)
	if err != nil {
		return err
	}
	counted := procFigures{watcher: watcher, traced: t, missing: missing.Error()}
	defer counted.stop()
	if err := t.requests.begin(ctx); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "mslab: %s; printing what /proc counts instead\n", oneLine(missing.Error()))
	o.tell(stderr, "watching /proc", t)
	if t.command != nil {
		t.command.held.atEnd = func() { watcher.Read() }
	}
	t.begin(ctx)
	return o.watch(ctx, stdout, t, func(window string) (traceDocument, error) { return counted.take(ctx, window), nil })
}

// procFigures makes documents of what /proc has counted.
type procFigures struct {
	watcher *fallback.Watcher
	traced  *traced
	missing string
	before  []results.ProcessFigure
	beforeE int64 // ns since the start, at the end of the interval before
	stopped bool
}

func (f *procFigures) stop() {
	if !f.stopped {
		f.stopped = true
		f.watcher.Stop()
	}
}

func (f *procFigures) take(ctx context.Context, window string) traceDocument {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerInTime)
	defer cancel()
	requests := f.traced.requests.read(asking, window)
	read := f.watcher.Read
	if window == results.WindowTotal {
		read, f.stopped = f.watcher.Stop, true
	}
	now := read()
	t := &results.ProcTrace{Title: f.traced.title, PID: f.traced.pid, Window: window, Requests: requests, Missing: f.missing,
		ElapsedNS: now.Elapsed.Nanoseconds(), EndNS: now.Elapsed.Nanoseconds()}
	t.Ended, t.Command = f.traced.outcome()
	if window == results.WindowTotal {
		f.correct(t, &now)
	}
	t.Figures = processFigures(now)
	if window == results.WindowInterval {
		all := processFigures(now)
		subtract(t.Figures, f.before)
		t.ElapsedNS -= f.beforeE
		f.before, f.beforeE = all, t.EndNS
	} else {
		f.addNotes(t, now)
	}
	t.Settle()
	return procDocument{t}
}

// correct takes what the kernel told of a command when it ended, which holds
// threads and children that came and went between two looks.
func (f *procFigures) correct(t *results.ProcTrace, now *fallback.Figures) {
	if f.traced.command == nil || !f.traced.hasEnded() {
		return
	}
	end := f.traced.command.end
	if end.state == nil {
		return
	}
	usage, ok := end.state.SysUsage().(*syscall.Rusage)
	if !ok {
		return
	}
	now.Voluntary, now.Involuntary, now.CPU = uint64(usage.Nvcsw), uint64(usage.Nivcsw), end.CPU()
	now.MinorFaults, now.MajorFaults = uint64(usage.Minflt), uint64(usage.Majflt)
	now.IO = nil // as it was at some moment before the end
	t.Notes = append(t.Notes, "Switches, CPU and page faults are the kernel's own account of the ended command and its children (rusage); the other figures are of the command alone.")
}

// addNotes says what the figures hang on.
func (f *procFigures) addNotes(t *results.ProcTrace, now fallback.Figures) {
	if t.Requests == nil {
		t.Notes = append(t.Notes, f.traced.requests.note())
	}
	if now.ThreadsEnded > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%d threads ended meanwhile: what they did after they were last seen is missing in switches and waits, as are threads that were never seen.", now.ThreadsEnded))
	}
	switch {
	case now.IO != nil:
	case f.traced.command != nil && f.traced.hasEnded():
		t.Notes = append(t.Notes, "Calls of read and write are missing: the kernel does not tell them of a process that has ended.")
	default:
		t.Notes = append(t.Notes, "Calls of read and write are missing: /proc/PID/io of this process is not for you.")
	}
	if len(now.Network) > 0 {
		t.Notes = append(t.Notes, "The network's counters are those of all processes in its network namespace.")
	}
}

// subtract makes figures those of an interval.
func subtract(figures, before []results.ProcessFigure) {
	old := map[string]float64{}
	for _, b := range before {
		old[b.Key] = b.Value
	}
	for i, figure := range figures {
		if !figure.Moment {
			figures[i].Value -= old[figure.Key]
		}
	}
}

// processFigures lists what was counted.
func processFigures(f fallback.Figures) []results.ProcessFigure {
	process := func(key, name, unit string, value float64) results.ProcessFigure {
		return results.ProcessFigure{Key: key, Name: name, Unit: unit, Scope: results.ScopeProcess, Value: value}
	}
	moment := func(figure results.ProcessFigure) results.ProcessFigure {
		figure.Moment = true
		return figure
	}
	figures := []results.ProcessFigure{
		process("voluntary_switches", "context switches, voluntary", "", float64(f.Voluntary)),
		process("involuntary_switches", "context switches, involuntary", "", float64(f.Involuntary)),
		process("run_queue_wait", "wait for a core", "ns", float64(f.RunQueueWait)),
		process("timeslices", "turns on a core", "", float64(f.Timeslices)),
		process("cpu", "CPU", "ns", float64(f.CPU)),
		moment(process("threads", "threads, now", "", float64(f.Threads))),
		moment(process("threads_max", "threads, most", "", float64(f.ThreadsMost))),
		process("minor_faults", "page faults, minor", "", float64(f.MinorFaults)),
		process("major_faults", "page faults, major", "", float64(f.MajorFaults)),
	}
	if f.IO != nil {
		figures = append(figures,
			process("read_calls", "calls of read", "", float64(f.IO.ReadCalls)),
			process("write_calls", "calls of write", "", float64(f.IO.WriteCalls)))
	}
	for _, c := range f.Network {
		figures = append(figures, results.ProcessFigure{Key: c.Name, Name: c.Name, Scope: results.ScopeNetwork, Value: float64(c.Value)})
	}
	return figures
}

type procDocument struct{ *results.ProcTrace }

func (d procDocument) render(w io.Writer, format string, _ int, line bool) error {
	return results.RenderProcTrace(w, format, d.ProcTrace, line)
}
