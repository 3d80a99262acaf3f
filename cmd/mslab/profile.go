package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mslab/profile"
	"mslab/results"
	"mslab/results/record"
	"mslab/scenarios"
	"mslab/server"
	"mslab/server/registry"
)

// profileDuration is how long a live server is profiled.
const profileDuration = 10 * time.Second

type profileOptions struct {
	kind      profile.Kind
	via       string
	command   []string // after --
	out       string
	duration  time.Duration
	pid       int
	phase     string
	load      scenarios.Loaded
	overrides map[server.Stage]*string
	rows      int
	format    string
	json      bool
}

func newProfileCommand() *cobra.Command {
	var o profileOptions
	cmd := &cobra.Command{
		Use:   "profile KIND [ADMIN-URL | -- COMMAND...]",
		Short: "Take a profile of a server, and show the top of it by request",
		Long: `profile takes a profile of the one server that mslab serve has running, of the
one named by --pid or by its admin address, or, with --phase, of a server that
it starts under load itself. It writes the profile in pprof's format, prints the
first functions with what they cost a request, and what the profiler cost.

A cpu profile is sampled by the kernel where this may load eBPF (root): exactly,
and of any process (--pid) or command (-- COMMAND) and its children. Otherwise the
Go runtime samples its own threads and misses some; --via says which.

Kinds:
` + kindsText() + `
Notes about locks and waits (mutex, block) are switched on in the server only
while such a profile is taken.`,
		Example: `  mslab profile cpu
  mslab profile cpu --phase 2 --metrics 300
  mslab profile cpu -- gzip -k big.log
  mslab profile mutex --duration 5s -o mutex.pb.gz
  mslab pprof -http :0 cpu-async-20060102T150405Z.pb.gz`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				if dash == len(args) {
					return usagef("--: want a command after it")
				}
				if dash > 1 {
					return usagef("a URL and -- COMMAND exclude each other; give one")
				}
				args = args[:dash]
			}
			return wantArgs(1, 2, "one of "+strings.Join(profile.Names(), ", "))(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				args, o.command = args[:dash], args[dash:]
			}
			if err := o.resolve(cmd, args); err != nil {
				return err
			}
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[1:])
		},
		ValidArgsFunction: cobra.FixedCompletions(profile.Names(), cobra.ShellCompDirectiveNoFileComp),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.out, "out", "o", "", "write the profile to this file (default KIND-PHASE-TIME.pb.gz here)")
	f.DurationVar(&o.duration, "duration", profileDuration, "time profiled; with --phase "+scenarios.LoadedDuration.String())
	f.StringVar(&o.via, "via", viaAuto, "who samples a cpu profile: kernel (eBPF), runtime (Go's own), auto")
	f.IntVar(&o.pid, "pid", 0, "process of a server that mslab serve has running; with cpu any process")
	f.StringVar(&o.phase, "phase", "", "start this phase, by number or name, under load")
	f.IntVarP(&o.load.Clients, "clients", "c", scenarios.LoadedClients, "with --phase: concurrent clients")
	f.IntVar(&o.load.Metrics, "metrics", scenarios.LoadedMetrics, "with --phase: metrics in a body")
	f.IntVarP(&o.rows, "rows", "n", 15, "functions to print")
	addFormatFlags(cmd, &o.format, &o.json, results.Formats...)
	o.overrides = addStageFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("phase", cobra.FixedCompletions(phaseNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func kindsText() string {
	var b strings.Builder
	for _, k := range profile.Kinds() {
		fmt.Fprintf(&b, "  %-13s %s\n", k.Name, k.About)
	}
	return b.String()
}

// resolve checks the flags.
func (o *profileOptions) resolve(cmd *cobra.Command, args []string) error {
	var err error
	if o.kind, err = profile.FindKind(args[0]); err != nil {
		return usage(err)
	}
	given := cmd.Flags().Changed
	if o.phase != "" && !given("duration") {
		o.duration = scenarios.LoadedDuration
	}
	if err := firstError(
		exclusive(cmd, "pid", "phase"),
		exclusive(cmd, "json", "format"),
		checkFormat(&o.format, o.json, results.Formats...),
		positive("duration", o.duration),
		atLeast("rows", int64(o.rows), 1),
		atLeast("clients", int64(o.load.Clients), 1),
		atLeast("metrics", int64(o.load.Metrics), 1),
	); err != nil {
		return err
	}
	switch {
	case given("pid") && o.pid < 1:
		return usagef("--pid %d: want the id of a process", o.pid)
	case len(args) > 1 && (given("pid") || given("phase")):
		return usagef("a URL, --pid and --phase exclude each other; give one")
	case len(args) > 1:
		if err := profile.CheckAddress(args[1]); err != nil {
			return usage(err)
		}
	}
	switch {
	case given("phase") && o.phase == "":
		return usagef(`--phase "": want a number or a name`)
	case given("duration") && o.kind.Moment():
		return usagef("--duration: a %s profile is of one moment", o.kind.Name)
	case o.kind.WholeSeconds() && o.duration%time.Second != 0:
		return usagef("--duration %s: want whole seconds for a %s profile", o.duration, o.kind.Name)
	}
	if err := o.resolveVia(given); err != nil {
		return err
	}
	return o.resolveLoad(given)
}

// resolveLoad checks what is for a phase under load only.
func (o *profileOptions) resolveLoad(given func(string) bool) error {
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
	for _, name := range names {
		if given(name) {
			return usagef("--%s needs --phase: a server that runs has its recipe and its load", name)
		}
	}
	return nil
}

// profiled is the server as the output names it.
type profiled struct {
	name  string // for the file
	title string
	pid   int // 0: not known
}

func (o *profileOptions) run(ctx context.Context, stdout, stderr io.Writer, urls []string) error {
	if o.phase != "" {
		return o.underLoad(ctx, stdout, stderr)
	}
	if len(o.command) > 0 {
		return o.takeCommand(ctx, stdout, stderr)
	}
	if foreign, err := o.foreign(); err != nil || foreign {
		if err != nil {
			return err
		}
		return o.takeForeign(ctx, stdout, stderr)
	}
	if len(urls) > 0 {
		return o.take(ctx, stdout, stderr, urls[0], profiled{name: "server", title: "the server"}, false)
	}
	entry, err := o.find()
	if err != nil {
		return err
	}
	if entry.Admin == "" {
		return fmt.Errorf(`profile the server with pid %d: it has no admin listener; start it without --admin ""`, entry.PID)
	}
	who := profiled{entry.Name, fmt.Sprintf("phase %d %s (pid %d)", entry.Phase, entry.Name, entry.PID), entry.PID}
	return o.take(ctx, stdout, stderr, entry.Admin, who, false)
}

// find finds the server that is meant.
func (o *profileOptions) find() (registry.Entry, error) {
	if o.pid != 0 {
		return serverByPID(registry.Dir(), o.pid)
	}
	return liveServer(registry.Dir(), choice{otherwise: "let --phase N start one under load", by: "--pid"})
}

// underLoad profiles a server that is started for it.
func (o *profileOptions) underLoad(ctx context.Context, stdout, stderr io.Writer) error {
	counted, err := scenarios.UnderLoad(ctx, o.load, func(ctx context.Context, s scenarios.LoadedServer) error {
		if o.kind.Moment() { // not the first one of the load
			sleep(ctx, scenarios.LoadedDuration/5)
		}
		title := fmt.Sprintf("phase %d %s under load (%d clients, %d metrics a body, connections %s)",
			*s.Subject.Phase, s.Subject.Name, s.Load.Clients, s.Load.Metrics, map[bool]string{true: "kept", false: "new"}[s.Load.Connection == "keep"])
		return o.take(ctx, stdout, stderr, s.Admin, profiled{s.Subject.Name, title, s.PID}, true)
	})
	if err != nil {
		return err
	}
	return tellFailures(stderr, counted)
}

// tellFailures says when the load was not served as it should be.
func tellFailures(stderr io.Writer, r *record.Record) error {
	classes := failures(r.Counts)
	if len(classes) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(stderr, "mslab: %d of %d requests of the load failed, most as %s (%s)\n",
		r.Counts.Failed, r.Counts.Sent, classes[0], explanationOf(classes[0]).words)
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// take takes the profile of a server, writes it and prints its top.
func (o *profileOptions) take(ctx context.Context, stdout, stderr io.Writer, address string, who profiled, steady bool) error {
	admin, err := profile.OpenAdmin(ctx, address)
	if err != nil {
		return err
	}
	defer admin.Close()
	kernel, err := o.byKernel(stderr, who.pid)
	if err != nil {
		return err
	}
	return o.write(who, admin.URL(), stdout, func() (*profile.Taken, error) {
		if !o.kind.Moment() {
			fmt.Fprintf(stderr, "profiling %s of %s for %s\n", o.kind.Name, who.title, o.duration)
		}
		if kernel {
			return o.takeKernel(ctx, admin, who.pid)
		}
		return profile.Take(ctx, admin, o.kind, profile.Options{Duration: o.duration, Steady: steady})
	}, func() error { return interrupted(ctx) })
}

// tables are the profile by stage, where it shows any, and by function.
func (o *profileOptions) tables(taken *profile.Taken, title string) ([]results.Table, error) {
	byFunction, err := taken.Table(title, o.rows, o.format == formatTable)
	if err != nil {
		return nil, err
	}
	byStage, ok := taken.StageTable(stageNames())
	if !ok {
		return []results.Table{byFunction}, nil
	}
	byStage.Title, byFunction.Title = title, ""
	return []results.Table{byStage, byFunction}, nil
}

// stageNames are the stages by the functions that implement them, which are
// named after stage and variant.
func stageNames() profile.Stages {
	names := map[string]string{}
	for _, info := range server.Stages() {
		for _, variant := range info.Variants {
			if variant.Name != "" {
				names[string(info.Stage)+strings.ToUpper(variant.Name[:1])+variant.Name[1:]] = string(info.Stage) + " " + variant.Name
			}
		}
	}
	return profile.Stages{Package: "mslab/server", Names: names}
}

func (o *profileOptions) title(who profiled, url string, t *profile.Taken, file string) string {
	what := fmt.Sprintf("%s profile of %s", o.kind.Name, who.title)
	if url != "" {
		what += " at " + url
	}
	switch {
	case o.kind.Moment():
	case url == "":
		what += ", " + t.Window.Length.Round(10*time.Millisecond).String()
	default:
		what += fmt.Sprintf(", %s with %d requests", t.Window.Length.Round(10*time.Millisecond), t.Window.Requests)
	}
	return what + "; written to " + file
}
