package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mslab/ebpf"
	"mslab/results"
)

// The values of --by.
const (
	byFD     = "fd"
	byThread = "thread"
)

// rungAuto is the --rung that takes the best one that works.
const rungAuto = "auto"

// traceSyscallsOptions are the flags of trace syscalls.
type traceSyscallsOptions struct {
	traceOptions
	only       []string
	by         []string
	perRequest bool
	rung       string
}

func newTraceSyscallsCommand() *cobra.Command {
	var o traceSyscallsOptions
	cmd := &cobra.Command{
		Use:   "syscalls [ADMIN-URL | -- COMMAND]",
		Short: "Count and time system calls, by request",
		Long: `syscalls counts and times the system calls of the one server that mslab serve
has running, of the process named by --pid or by a server's admin address, of a
phase that --phase starts under load, or of a command and its children. It adds
up in the kernel (eBPF), and says what that cost. Calls are counted exactly;
quantiles are within a few percent. Figures by request come from the server's
own counters. Where the command fails, so does mslab, with exit code 1.

It needs root, or the capabilities CAP_BPF and CAP_PERFMON. Without them it
prints what /proc counts for any process: context switches, waits for a core,
the network's troubles.`,
		Example: `  mslab trace syscalls
  mslab trace syscalls --phase 5
  mslab trace syscalls --only read,write --by fd --interval 1s
  mslab trace syscalls --json -- ls -l`,
		Args: traceArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.resolve(cmd, args); err != nil {
				return err
			}
			stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
			return o.with(cmd.Context(), stdout, stderr, func(ctx context.Context, t *traced) error {
				return o.look(ctx, stdout, stderr, t)
			})
		},
	}
	o.addFlags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.only, "only", nil, "trace these calls only, such as read,write")
	f.StringSliceVar(&o.by, "by", nil, "split calls by what their descriptor refers to (fd), by thread, or both")
	f.BoolVar(&o.perRequest, "per-request", false, "print each call's time by request; fails where requests are not known")
	f.StringVar(&o.rung, "rung", rungAuto, "how to attach ("+strings.Join(rungs(), ", ")+")")
	o.addOutputFlags(cmd, 20)
	_ = cmd.RegisterFlagCompletionFunc("only", cobra.FixedCompletions(ebpf.SyscallNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{byFD, byThread}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("rung", cobra.FixedCompletions(rungs(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func rungs() []string {
	names := []string{rungAuto}
	for _, r := range ebpf.Rungs() {
		names = append(names, string(r))
	}
	return names
}

// resolve checks the flags.
func (o *traceSyscallsOptions) resolve(cmd *cobra.Command, args []string) error {
	if !slices.Contains(rungs(), o.rung) {
		return usagef("--rung %s: want one of %s", o.rung, strings.Join(rungs(), ", "))
	}
	for _, by := range o.by {
		if by != byFD && by != byThread {
			return usagef("--by %s: want fd or thread", by)
		}
	}
	if cmd.Flags().Changed("by") && len(o.by) == 0 {
		return usagef(`--by "": want fd or thread`)
	}
	if cmd.Flags().Changed("only") && len(o.only) == 0 {
		return usagef(`--only "": want names of system calls, such as read,write`)
	}
	if err := ebpf.CheckNames(o.only); err != nil {
		return usage(err)
	}
	return o.traceOptions.resolve(cmd, args)
}

func (o *traceSyscallsOptions) look(ctx context.Context, stdout, stderr io.Writer, t *traced) error {
	if o.perRequest && t.requests.admin == nil {
		return fmt.Errorf("trace system calls by request: requests of %s are not known: %s", t.title, t.requests.why)
	}
	options := ebpf.SyscallOptions{
		PID: t.pid, Follow: t.command != nil, Only: o.only,
		ByFD: slices.Contains(o.by, byFD), ByThread: slices.Contains(o.by, byThread),
	}
	if o.rung != rungAuto {
		options.Rung = ebpf.Rung(o.rung)
	}
	tracer, err := ebpf.TraceSyscalls(options)
	var missing *ebpf.Missing
	switch {
	case errors.As(err, &missing) && options.Rung == "":
		return o.lookWithout(ctx, stdout, stderr, t, missing)
	case err != nil:
		return err
	}
	defer func() { _ = tracer.Close() }() // the figures are out; the kernel detaches whatever it says
	if err := t.requests.begin(ctx); err != nil {
		return err
	}
	o.tell(stderr, "tracing system calls", t)
	t.begin(ctx)
	counted := syscallFigures{tracer: tracer, traced: t, perRequest: o.perRequest}
	return o.watch(ctx, stdout, t, func(window string) (traceDocument, error) { return counted.take(ctx, window) })
}

// tell says what is being done, before it takes its time.
func (o *traceOptions) tell(stderr io.Writer, doing string, t *traced) {
	length := " for " + o.duration.String()
	if t.command != nil {
		length = " until it ends"
	}
	fmt.Fprintf(stderr, "%s of %s%s\n", doing, t.title, length)
}

// syscallFigures makes documents of what a tracer has counted.
type syscallFigures struct {
	tracer     *ebpf.SyscallTracer
	traced     *traced
	perRequest bool
	before     ebpf.Syscalls // at the end of the interval before
}

// answerInTime is how long the server may take to tell its last counters once
// the context has ended.
const answerInTime = 2 * time.Second

// take reads the tracer. The server's counters are read inside the traced time
// at both ends, so that both windows differ by the same answer.
func (f *syscallFigures) take(ctx context.Context, window string) (traceDocument, error) {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerInTime)
	defer cancel()
	requests := f.traced.requests.read(asking, window)
	read := f.tracer.Read
	if window == results.WindowTotal {
		read = f.tracer.Stop
	}
	now, err := read()
	if err != nil {
		return nil, err
	}
	shown := now
	if window == results.WindowInterval {
		shown = now.Since(f.before)
		f.before = now
	}
	t := syscallTrace(shown)
	t.Title, t.PID, t.Window, t.Requests = f.traced.title, f.traced.pid, window, requests
	t.EndNS = now.Elapsed.Nanoseconds()
	t.Ended, t.Command = f.traced.outcome()
	if requests == nil && window == results.WindowTotal {
		t.Notes = append(t.Notes, f.traced.requests.note())
	}
	if requests != nil && *requests == 0 && window == results.WindowTotal {
		t.Notes = append(t.Notes, "No request was served meanwhile: this is the server at rest. Run mslab load beside it, or give --phase N.")
	}
	t.Settle()
	return syscallDocument{t, f.perRequest}, nil
}

// syscallTrace is what the tracer counted in the words of package results.
func syscallTrace(s ebpf.Syscalls) *results.SyscallTrace {
	t := &results.SyscallTrace{
		ElapsedNS:   s.Elapsed.Nanoseconds(),
		EndedInside: s.Ended,
		Self: results.TraceSelf{
			Rung: string(s.Self.Rung), Drops: s.Self.Lost(), By: s.Self.Drops,
			Cost: results.TraceCost{
				CPUNS: s.Self.CPU.Nanoseconds(), PerCallNS: s.Self.PerCall.Nanoseconds(), BystanderNS: s.Self.Bystander.Nanoseconds(),
				MachineNS: s.Self.Machine.Nanoseconds(), Runs: s.Self.Runs, FloorNS: s.Self.Floor.Nanoseconds(),
			},
		},
	}
	for i := range s.Calls {
		c := &s.Calls[i]
		row := results.Syscall{
			Name: c.Name, Target: c.Target, Thread: int(c.Thread), Calls: c.Calls, Errors: c.Errors, Errnos: c.Errnos,
			TotalNS: c.Total.Nanoseconds(), P50NS: c.P50().Nanoseconds(), P99NS: c.P99().Nanoseconds(), MaxNS: c.Max.Nanoseconds(),
		}
		if fd := int(c.FD); c.Target != "" && fd >= 0 {
			row.FD = &fd
		}
		t.Syscalls = append(t.Syscalls, row)
	}
	for _, c := range s.Unfinished {
		t.Unfinished = append(t.Unfinished, results.UnfinishedCall{
			Name: c.Name, Target: c.Target, Thread: int(c.Thread), ForNS: c.For.Nanoseconds()})
	}
	if s.Processes > 1 {
		t.Notes = append(t.Notes, fmt.Sprintf("%d processes: the command and its children.", s.Processes))
	}
	return t
}

type syscallDocument struct {
	*results.SyscallTrace
	perRequest bool
}

func (d syscallDocument) render(w io.Writer, format string, rows int, line bool) error {
	return results.RenderSyscalls(w, format, d.SyscallTrace, results.SyscallRows{Most: rows, TimePerRequest: d.perRequest}, line)
}
