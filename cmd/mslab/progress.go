package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
	"mslab/scenarios"
)

// The values of --progress.
const (
	progressAuto  = "auto"
	progressPlain = "plain"
	progressNone  = "none"
)

var progressModes = []string{progressAuto, progressPlain, progressNone}

// addProgressFlag lets the user say how a command shows what goes on.
func addProgressFlag(cmd *cobra.Command, f *pflag.FlagSet, mode *string) {
	f.StringVar(mode, "progress", progressAuto, "show what goes on: auto (a live view on a terminal, else lines), plain or none")
	_ = cmd.RegisterFlagCompletionFunc("progress", cobra.FixedCompletions(progressModes, cobra.ShellCompDirectiveNoFileComp))
}

func checkProgress(mode string) error {
	if !slices.Contains(progressModes, mode) {
		return usagef("--progress %q: want auto, plain or none", mode)
	}
	return nil
}

// isTerminal tells whether w is a terminal that understands control sequences.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// liveTerminal is where a live view is drawn, nil where lines are written
// instead: w is no terminal, one that is too small, or another job's.
func liveTerminal(w io.Writer, mode string) *os.File {
	f, ok := w.(*os.File)
	if mode != progressAuto || !ok || !isTerminal(w) || !inForegroundOf(f) {
		return nil
	}
	if columns, rows := terminalSize(f); columns < leastColumns || rows < leastRows {
		return nil
	}
	return f
}

// terminalSize is the size of a terminal, that of a VT100 where it does not say.
func terminalSize(f *os.File) (columns, rows int) {
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || columns < 1 || rows < 1 {
		return 80, 24
	}
	return columns, rows
}

// watchLoad shows a load on w while it runs. end is called once it is over.
func watchLoad(w io.Writer, mode string, p *loadgen.Plan, of record.Subject) (end func()) {
	if mode == progressNone {
		return func() {}
	}
	terminal := liveTerminal(w, mode)
	if terminal == nil {
		p.Progress = func(now loadgen.Progress) { sayLoad(w, now) }
		return func() {}
	}
	live := startLive(terminal, newLoadView(p, of), loadFrames)
	p.ProgressEvery = sampleEvery
	p.Progress = func(now loadgen.Progress) { live.tell(now) }
	return live.end
}

// sayLoad writes a line about a load.
func sayLoad(w io.Writer, now loadgen.Progress) {
	line := fmt.Sprintf("%4ds  %8.0f requests/s  p99 %s  ok %d  failed %d  in flight %d",
		int(now.Elapsed.Round(time.Second)/time.Second), now.RPS, results.FormatNS(float64(now.P99)), now.OK, now.Failed, now.InFlight)
	if now.Warmup {
		line += "  (warm-up)"
	}
	fmt.Fprintln(w, line)
}

// watchRun has a run show on w how it goes. end is called once it is over.
func watchRun(w io.Writer, mode string, play *scenarios.Play) (end func()) {
	if mode == progressNone {
		return func() {}
	}
	terminal := liveTerminal(w, mode)
	if terminal == nil {
		play.Progress = func(e scenarios.Event) { sayRun(w, e) }
		return func() {}
	}
	live := startLive(terminal, newRunView(), runFrames)
	play.SampleEvery = sampleEvery
	play.Progress = func(e scenarios.Event) {
		if begun, ok := e.(scenarios.RunBegun); ok {
			sayRun(w, begun) // it stays when the view is gone
		}
		live.tell(e)
	}
	return live.end
}

// sayRun writes lines about what is over of a run.
func sayRun(w io.Writer, e scenarios.Event) {
	switch e := e.(type) {
	case scenarios.RunBegun:
		fmt.Fprintf(w, "%s: about %s\n", e.Plan.Scenario, e.Expected.Round(time.Second))
		for _, note := range e.Notes {
			fmt.Fprintln(w, results.Wrap(note))
		}
	case scenarios.BlockEnded:
		fmt.Fprintf(w, "%s: block %d of %d done, %s left\n", e.Arm, e.Block, e.Blocks, e.Left.Round(time.Second))
	case scenarios.ArmTraced:
		if e.Why != "" {
			fmt.Fprintln(w, results.Wrap(fmt.Sprintf("%s: syscalls are not counted: %s", e.Arm, e.Why)))
			return
		}
		subjects := "subjects"
		if e.Counted == 1 {
			subjects = "subject"
		}
		fmt.Fprintf(w, "%s: syscalls of %d %s counted, %s left\n", e.Arm, e.Counted, subjects, e.Left.Round(time.Second))
	}
}
