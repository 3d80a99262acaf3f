package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/scenarios"
	"mslab/server"
)

// traceDuration is how long a process that runs is traced.
const traceDuration = 10 * time.Second

// newTraceCommand holds the views: a constructor and a line each.
func newTraceCommand() *cobra.Command {
	return newGroup("trace", "Watch what a server or a command asks of the kernel",
		newTraceSyscallsCommand(),
	)
}

// traceOptions are what every view takes: whom to look at, for how long, and how
// to print it.
type traceOptions struct {
	duration  time.Duration
	interval  time.Duration
	pid       int
	phase     string
	load      scenarios.Loaded
	overrides map[server.Stage]*string
	url       string   // of an admin listener
	command   []string // after --
	rows      int
	format    string
	json      bool
}

// addFlags adds those flags that say whom and for how long.
func (o *traceOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&o.duration, "duration", traceDuration, "time traced; with --phase "+scenarios.LoadedDuration.String()+"; a COMMAND until it ends")
	f.IntVar(&o.pid, "pid", 0, "process to trace, a server of mslab or any other")
	f.StringVar(&o.phase, "phase", "", "start this phase, by number or name, under load")
	f.DurationVar(&o.interval, "interval", 0, "print the figures of each such stretch too; redrawn in place on a terminal")
}

// addOutputFlags adds those that say how to print it, and, last, what belongs to
// a phase under load.
func (o *traceOptions) addOutputFlags(cmd *cobra.Command, rows int) {
	f := cmd.Flags()
	f.IntVarP(&o.rows, "rows", "n", rows, "rows to print; JSON has all")
	f.IntVarP(&o.load.Clients, "clients", "c", scenarios.LoadedClients, "with --phase: concurrent clients")
	f.IntVar(&o.load.Metrics, "metrics", scenarios.LoadedMetrics, "with --phase: metrics in a body")
	addFormatFlags(cmd, &o.format, &o.json, results.Formats...)
	o.overrides = addStageFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("phase", cobra.FixedCompletions(phaseNames(), cobra.ShellCompDirectiveNoFileComp))
}

// traceArgs takes an admin address, or a command after --.
func traceArgs(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	switch {
	case dash < 0:
		return wantArgs(0, 1, "one admin address, or a command after --")(cmd, args)
	case dash > 0:
		return usagef("an admin address and a command after -- exclude each other; give one")
	case len(args) == 0 || args[0] == "":
		return usagef("needs a command after --")
	}
	return nil
}

// resolve checks the flags.
func (o *traceOptions) resolve(cmd *cobra.Command, args []string) error {
	given := cmd.Flags().Changed
	if cmd.ArgsLenAtDash() >= 0 {
		o.command = args
	} else if len(args) > 0 {
		o.url = args[0]
	}
	if o.phase != "" && !given("duration") {
		o.duration = scenarios.LoadedDuration
	}
	if err := firstError(
		exclusive(cmd, "pid", "phase"),
		exclusive(cmd, "json", "format"),
		checkFormat(&o.format, o.json, results.Formats...),
		positive("duration", o.duration),
		notNegative("interval", o.interval),
		atLeast("rows", int64(o.rows), 1),
		atLeast("clients", int64(o.load.Clients), 1),
		atLeast("metrics", int64(o.load.Metrics), 1),
	); err != nil {
		return err
	}
	switch named := given("pid") || given("phase"); {
	case given("pid") && o.pid < 1:
		return usagef("--pid %d: want the id of a process", o.pid)
	case given("phase") && o.phase == "":
		return usagef(`--phase "": want a number or a name`)
	case named && (o.url != "" || o.command != nil):
		return usagef("a URL, --pid, --phase and a command exclude each other; give one")
	case o.command != nil && given("duration"):
		return usagef("--duration: a command is traced until it ends")
	case given("interval") && o.interval < shortestInterval:
		return usagef("--interval %s: want %s or more", o.interval, shortestInterval)
	}
	return o.resolveLoad(given)
}

// shortestInterval leaves a reading of the tracer and of the server's counters
// time to be small beside it.
const shortestInterval = 50 * time.Millisecond

// resolveLoad checks what is for a phase under load only.
func (o *traceOptions) resolveLoad(given func(string) bool) error {
	o.load.Phase, o.load.Overrides = o.phase, map[string]string{}
	names := []string{"clients", "metrics"}
	for _, info := range server.Stages() {
		names = append(names, string(info.Stage))
		if value := *o.overrides[info.Stage]; value != "" {
			o.load.Overrides[string(info.Stage)] = value
		}
	}
	if o.phase != "" {
		return usage(o.load.Check())
	}
	if i := slices.IndexFunc(names, given); i >= 0 {
		return usagef("--%s needs --phase: a process that runs has its recipe and its load", names[i])
	}
	return nil
}

// traceDocument is one set of figures that can be printed; line asks for JSON in
// one line.
type traceDocument interface {
	render(w io.Writer, format string, rows int, line bool) error
}

// takeFigures makes the document of a window, results.WindowInterval being the
// time since the interval before.
type takeFigures func(window string) (traceDocument, error)

// watch prints the figures of each interval, and those of the whole time when
// that is over, the process has ended, or ctx has. The error is that of ctx.
func (o *traceOptions) watch(ctx context.Context, stdout io.Writer, t *traced, take takeFigures) error {
	out := o.newPrinter(stdout)
	var over, tick <-chan time.Time
	if t.command == nil {
		timer := time.NewTimer(o.duration)
		defer timer.Stop()
		over = timer.C
	}
	if o.interval > 0 {
		ticker := time.NewTicker(o.interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	ended := ctx.Done()
	if t.command != nil {
		ended = nil // it gets the signal, and is waited for
	}
	latest := time.Now()
	interval := func() error {
		latest = time.Now()
		doc, err := take(results.WindowInterval)
		if err != nil {
			return err
		}
		return out.show(doc)
	}
	for going := true; going; {
		select {
		case <-tick:
			if err := interval(); err != nil {
				return err
			}
		case <-over:
			going = false
		case <-t.ended:
			going = false
		case <-ended:
			going = false
		}
	}
	// The last tick and the end come at the same time.
	if o.interval > 0 && time.Since(latest) > o.interval/2 {
		if err := interval(); err != nil {
			return err
		}
	}
	doc, err := take(results.WindowTotal)
	if err == nil {
		err = out.last(doc)
	}
	return errors.Join(err, ctx.Err())
}

// printer prints documents one after the other, or each in place of the one
// before.
type printer struct {
	w      io.Writer
	format string
	rows   int
	lines  bool        // JSON documents of one line
	screen *liveScreen // nil where nothing is redrawn
	shown  bool
}

func (o *traceOptions) newPrinter(stdout io.Writer) *printer {
	p := &printer{w: stdout, format: o.format, rows: o.rows, lines: o.interval > 0}
	// A command writes to the same terminal, and would be overwritten.
	if file, ok := plainWriter(stdout).(*os.File); ok && o.interval > 0 && o.format == formatTable && o.command == nil && isTerminal(file) {
		p.screen = newLiveScreen(stdout, file)
	}
	return p
}

// plainWriter is the writer below one that remembers its first error.
func plainWriter(w io.Writer) io.Writer {
	if c, ok := w.(*checkedWriter); ok {
		return c.w
	}
	return w
}

// show prints an interval.
func (p *printer) show(doc traceDocument) error {
	if p.screen != nil {
		return p.screen.draw(doc, p.rows)
	}
	return p.print(doc)
}

// last prints the total, which stays.
func (p *printer) last(doc traceDocument) error {
	if p.screen != nil {
		if err := p.screen.clear(); err != nil {
			return err
		}
	}
	return p.print(doc)
}

func (p *printer) print(doc traceDocument) error {
	if p.shown && p.format != formatJSON && p.screen == nil {
		if _, err := fmt.Fprintln(p.w); err != nil {
			return fmt.Errorf("print an empty line: %w", err)
		}
	}
	p.shown = true
	return doc.render(p.w, p.format, p.rows, p.lines)
}
