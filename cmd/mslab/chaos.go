package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mslab/chaos"
	"mslab/results"
	"mslab/server/registry"
)

// chaosDuration is how long a fault lasts.
const chaosDuration = 30 * time.Second

// reapCommand is how mslab starts itself as a reaper.
const reapCommand = "reap"

func newChaosCommand() *cobra.Command {
	cmd := newGroup("chaos", "Break a server on purpose, and heal it")
	cmd.Use = "chaos FAULT|list|status|heal"
	cmd.Long = `chaos injects a fault into the one server that mslab serve has running, shows
that it bites, and heals it: when its time is over, on Ctrl-C, and also when
mslab is killed. Nothing outside of this machine's loopback device is broken.`
	cmd.Example = `  mslab chaos partition
  mslab chaos partition --duration 5s --via iptables
  mslab chaos partition --dry-run
  mslab chaos status`
	for _, f := range chaos.Faults() {
		cmd.AddCommand(newFaultCommand(f))
	}
	cmd.AddCommand(newChaosListCommand(), newChaosStatusCommand(), newChaosHealCommand(), newReapCommand())
	return cmd
}

// chaosOptions are how mslab injects.
func chaosOptions(stderr io.Writer) chaos.Options {
	return chaos.Options{
		Reaper: []string{"chaos", reapCommand},
		Warn:   func(line string) { fmt.Fprintf(stderr, "mslab: %s\n", line) },
	}
}

// newReapCommand is for mslab itself.
func newReapCommand() *cobra.Command {
	return &cobra.Command{
		Use:    reapCommand + " ENTRY",
		Short:  "Heal a fault whose process was killed",
		Hidden: true,
		Args:   wantArgs(1, 1, "an entry of the journal"),
		RunE:   func(_ *cobra.Command, args []string) error { return chaos.Reap(args[0]) },
	}
}

type faultOptions struct {
	fault    chaos.Fault
	port     int
	pid      int
	duration time.Duration
	own      map[string]*string
	dryRun   bool
	format   string
	json     bool
}

func newFaultCommand(f chaos.Fault) *cobra.Command {
	o := faultOptions{fault: f, own: map[string]*string{}}
	cmd := &cobra.Command{
		Use:   f.Name + " [URL]",
		Short: strings.ToUpper(f.About[:1]) + f.About[1:],
		Long: results.Wrap(f.Name+": "+f.About+".") + `

` + results.Wrap("It takes "+f.Needs+".") + `
It is aimed at the one server that mslab serve has running unless a URL, --port
or --pid says otherwise.`,
		Args: wantArgs(0, 1, "the URL of a server"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd, args); err != nil {
				return err
			}
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.DurationVar(&o.duration, "duration", chaosDuration, "how long it lasts; 0 is until Ctrl-C")
	flags.IntVar(&o.port, "port", 0, "TCP port of the server, on loopback")
	flags.IntVar(&o.pid, "pid", 0, "process of a server that mslab serve has running")
	for _, option := range f.Options {
		about := option.About
		if len(option.Values) > 0 {
			about += " (" + strings.Join(option.Values, ", ") + ")"
			defer func() {
				_ = cmd.RegisterFlagCompletionFunc(option.Name, cobra.FixedCompletions(option.Values, cobra.ShellCompDirectiveNoFileComp))
			}()
		}
		o.own[option.Name] = flags.String(option.Name, option.Default, about)
	}
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be done and undone, and change nothing")
	addFormatFlags(cmd, &o.format, &o.json, results.Formats...)
	return cmd
}

func (o *faultOptions) check(cmd *cobra.Command, args []string) error {
	if err := firstError(
		exclusive(cmd, "port", "pid"),
		exclusive(cmd, "json", "format"),
		checkFormat(&o.format, o.json, results.Formats...),
		notNegative("duration", o.duration),
	); err != nil {
		return err
	}
	given := cmd.Flags().Changed
	switch {
	case given("port") && (o.port < 1 || o.port > 65535):
		return usagef("--port %d: want 1 to 65535", o.port)
	case given("pid") && o.pid < 1:
		return usagef("--pid %d: want the id of a process", o.pid)
	case len(args) > 0 && (o.port != 0 || o.pid != 0):
		return usagef("a URL, --port and --pid exclude each other; give one")
	case o.aim() != chaos.AimPort && (o.port != 0 || len(args) > 0):
		return usagef("%s is aimed at a process; give --pid", o.fault.Name)
	}
	return nil
}

func (o *faultOptions) options() map[string]string {
	options := map[string]string{}
	for name, value := range o.own {
		options[name] = *value
	}
	return options
}

func (o *faultOptions) aim() chaos.Aim {
	if o.fault.Aims == nil {
		return chaos.AimPort
	}
	return o.fault.Aims(o.options())
}

// aimed is a target, and the admin address of the server where it has one.
type aimed struct {
	target chaos.Target
	admin  string
}

// findTarget finds what is meant.
func (o *faultOptions) findTarget(args []string) (aimed, error) {
	switch {
	case o.aim() == chaos.AimNone:
		return aimed{}, nil
	case len(args) > 0:
		target, err := targetOf(args[0])
		return aimed{target: target}, usage(err)
	case o.port != 0:
		return aimed{target: chaos.Target{Port: o.port}}, nil
	}
	entry, err := o.findServer()
	if err != nil {
		return aimed{}, err
	}
	if o.aim() == chaos.AimProcess {
		return aimed{chaos.Target{PID: entry.PID, StartTicks: entry.StartTicks}, entry.Admin}, nil
	}
	target, err := targetOf(entry.URL)
	return aimed{target, entry.Admin}, err
}

func (o *faultOptions) findServer() (registry.Entry, error) {
	if o.pid != 0 {
		return serverByPID(registry.Dir(), o.pid)
	}
	otherwise, by := "give the --port of one, such as another user's", "--port or --pid"
	if o.aim() == chaos.AimProcess {
		otherwise, by = "give the --pid of one", "--pid"
	}
	return liveServer(registry.Dir(), choice{otherwise: otherwise, by: by})
}

// targetOf is the port of a URL, and its address where that is one.
func targetOf(text string) (chaos.Target, error) {
	var t chaos.Target
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return t, fmt.Errorf("target %q: want http://HOST:PORT, as mslab serve prints it", text)
	}
	if t.Port, err = strconv.Atoi(u.Port()); err != nil {
		return t, fmt.Errorf("target %q: want a port from 1 to 65535", text)
	}
	if u.Hostname() == "localhost" {
		return t, nil
	}
	address, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return t, fmt.Errorf("target %q: want an address of this machine's loopback device", text)
	}
	if !address.IsUnspecified() { // a server on all addresses is cut off on all of loopback
		t.Address = address
	}
	return t, nil
}

func (o *faultOptions) run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	found, err := o.findTarget(args)
	if err != nil {
		return err
	}
	spec := chaos.Spec{Fault: o.fault.Name, Target: found.target, Duration: o.duration, Options: o.options()}
	options := chaosOptions(stderr)
	if o.dryRun {
		return o.dry(ctx, stdout, spec, options)
	}
	injection, err := chaos.Inject(ctx, spec, options)
	if err != nil {
		return explainChaos(ctx, err)
	}
	watched := watchServer(ctx, found.admin)
	status := injection.Status()
	until := "until Ctrl-C"
	if o.duration > 0 {
		until = fmt.Sprintf("until %s (Ctrl-C heals)", status.InjectedAt.Add(o.duration).Local().Format(time.TimeOnly))
	}
	if o.aim() != chaos.AimNone { // a target of its own has met its end by now
		fmt.Fprintln(stderr, results.Wrap(fmt.Sprintf("%s of %s is in force %s", o.fault.Name, found.target, until)))
	}
	<-injection.Done()
	healed := injection.Heal(context.WithoutCancel(ctx))
	status = injection.Status()
	watched.end(context.WithoutCancel(ctx))
	err = renderChaos(stdout, o.format, status, healed == nil, watched)
	switch {
	case healed != nil:
		return errors.Join(healed, err)
	case err != nil:
		return err
	case interrupted(ctx) != nil:
		return interrupted(ctx)
	case !status.Verified:
		return fmt.Errorf("%s of %s: %w", o.fault.Name, found.target, chaos.ErrNoBite)
	}
	return nil
}

// explainChaos sorts the errors of an injection. An interrupted one has been
// undone.
func explainChaos(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, chaos.ErrUsage):
		return usage(err)
	case interrupted(ctx) != nil && !errors.Is(err, chaos.ErrNotHealed):
		return interrupted(ctx)
	}
	return err
}

// dry prints the plan, in lines that can be pasted into a shell.
func (o *faultOptions) dry(ctx context.Context, stdout io.Writer, s chaos.Spec, options chaos.Options) error {
	plan, err := chaos.DryRun(ctx, s, options)
	if err != nil {
		return explainChaos(ctx, err)
	}
	if o.format != formatTable {
		return results.Render(stdout, o.format, []results.Table{planTable(s, plan)})
	}
	fmt.Fprintf(stdout, "Nothing is changed. %s of %s would do:\n\n", s.Fault, s.Target)
	printCommands(stdout, plan.Inject)
	fmt.Fprint(stdout, "\nand undo it by:\n\n")
	printCommands(stdout, plan.Undo)
	for _, note := range plan.Notes {
		fmt.Fprintf(stdout, "\n%s\n", results.Wrap(note))
	}
	return nil
}

// printCommands breaks long lines as a shell does: a backslash goes on with a
// command, a comment ends with its line.
func printCommands(w io.Writer, commands []string) {
	const margin = 80 - len(` \`)
	for _, c := range commands {
		line, next, end := "", "    ", ` \`
		for word := range strings.FieldsSeq(c) {
			if strings.HasPrefix(word, "#") {
				next, end = "    # ", ""
			}
			switch {
			case line == "":
				line = "  " + word
			case len(line)+1+len(word) > margin && word == "#":
				fmt.Fprintln(w, line)
				line = "    #"
			case len(line)+1+len(word) > margin:
				fmt.Fprintln(w, line+end)
				line = next + word
			default:
				line += " " + word
			}
		}
		fmt.Fprintln(w, line)
	}
}

func planTable(s chaos.Spec, p chaos.Plan) results.Table {
	t := results.Table{
		Title:   fmt.Sprintf("%s of %s, not done", s.Fault, s.Target),
		Columns: []results.Column{{Key: "step", Title: "step", Left: true}, {Key: "command", Title: "command", Left: true}},
		Notes:   p.Notes,
	}
	for _, c := range p.Inject {
		t.Rows = append(t.Rows, []results.Cell{results.TextCell("inject"), results.TextCell(c)})
	}
	for _, c := range p.Undo {
		t.Rows = append(t.Rows, []results.Cell{results.TextCell("undo"), results.TextCell(c)})
	}
	return t
}
