package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/results/record"
	"mslab/scenarios"
	"mslab/server"
)

type runOptions struct {
	list, dryRun bool
	schema       bool
	phases       string
	clients      []int
	blocks       int
	minEffect    string
	sandbox      string
	subjects     subjectFlags
	dir          string
	format       string
	json         bool
	progress     string
	precisionOptions
}

// newRunCommand makes the command; again is the whole command line, by which it
// is run once more in a sandbox.
func newRunCommand(again []string) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [SCENARIO|FILE.yaml]",
		Short: "Play a scenario: phases side by side",
		Long: `run plays a scenario: each block starts all subjects afresh and loads them in
short slices, one at a time, in turn, so that the machine's own changes of
speed cancel between them. It prints the tables and keeps everything in a run
folder.

It plays in a sandbox, a network and mount namespace of its own: ports, accept
queues, TIME_WAIT, network settings and firewall rules are then those of the run
alone, and end with it. As root it makes that sandbox directly, else inside a
user namespace. Where neither can be made (mslab doctor says why) auto plays on
the host's network and says so; on fails; off always plays there.

With --phases and no scenario it plays the default plan: the phases named, under
one load, each compared with the one before it.

So it does with --subject, once for each server: NAME=7 is a phase, NAME=./a or
NAME="./a -p {port}" a command, NAME=http://HOST:PORT a server that runs
already, which no sandbox leads to. A command runs in this folder and
environment; {port} in its words, and PORT in its environment, say where to
listen, and {data} is a folder of its own. Its words are split as a shell
splits them, by no shell. CPU time, memory, threads and context switches are
those of all its processes, and in the end none of them is left. Commands and
URLs get GET / unless --path, --method, --body or -H say otherwise, and every
2xx is a success.

With --precision it adds blocks until the interval of every comparison of CPU
per request is within that of its ratio, or the budget of time is spent, and
says which; the least number of blocks is 10, that which a verdict needs, or
--blocks.

A run that was cut short, even by kill -9, keeps every block that was over;
--resume plays the rest of it, in the order that it would have had.`,
		Example: `  mslab run --list
  mslab run first-look
  mslab run --phases 1-3,7 --clients 50
  mslab run --phases 3,4 --precision 1% --budget 10m
  mslab run --subject old=./a --subject new=./b --path /health`,
		Args: wantArgs(0, 1, "one scenario"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runScenario(cmd, o, args, again)
		},
		ValidArgsFunction: completeScenarios,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.list, "list", false, "list the scenarios that come with mslab")
	addSchemaFlag(cmd, &o.schema)
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be played and how long it would take")
	f.StringVar(&o.phases, "phases", "", "play these phases, such as 1-7 or 3,pool")
	f.IntSliceVar(&o.clients, "clients", nil, "numbers of concurrent clients, each a load of its own")
	f.IntVar(&o.blocks, "blocks", 0, "how often all subjects are started and played")
	o.subjects.register(f)
	addPrecisionFlags(cmd, &o.precisionOptions)
	f.StringVar(&o.minEffect, "min-effect", "", "smallest effect to call a difference, such as 1% (default: from this machine's aa run)")
	f.StringVar(&o.sandbox, "sandbox", sandboxAuto, "play in a network namespace of the run's own: auto, on or off")
	_ = cmd.RegisterFlagCompletionFunc("sandbox", cobra.FixedCompletions(sandboxModes, cobra.ShellCompDirectiveNoFileComp))
	f.StringVarP(&o.dir, "out", "o", "", "run folder (default SCENARIO-TIME under "+results.WorkingHome().Runs+")")
	addProgressFlag(cmd, f, &o.progress)
	addFormatFlags(cmd, &o.format, &o.json, results.Formats...)
	return cmd
}

func completeScenarios(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, err := scenarios.List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name+"\t"+s.About)
	}
	return names, cobra.ShellCompDirectiveDefault
}

func runScenario(cmd *cobra.Command, o runOptions, args, again []string) error {
	if o.schema {
		return writeSchema(cmd, cmd.OutOrStdout(), args)
	}
	if err := firstError(
		exclusive(cmd, "json", "format"),
		exclusive(cmd, "list", "dry-run"),
		exclusive(cmd, "list", "resume"),
		checkSandbox(o.sandbox),
		checkResume(cmd, args),
		checkFormat(&o.format, o.json, results.Formats...),
		checkProgress(o.progress),
	); err != nil {
		return err
	}
	if o.list {
		return listScenarios(cmd.OutOrStdout(), o.format)
	}
	plan, err := o.plan(cmd, args)
	if err == nil && plan != nil {
		err = checkWanted(o.sandbox, plan)
	}
	if err != nil || plan == nil {
		return err
	}
	if o.dryRun {
		return plan.Describe(cmd.OutOrStdout())
	}
	sandbox, err := chooseSandbox(cmd.Context(), o.sandbox, plan)
	if err != nil {
		return err
	}
	if sandbox != scenarios.NoSandbox {
		return playInside(cmd, sandbox, again)
	}
	return play(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), plan, o)
}

// plan settles scenario and flags. Whatever is wrong with them is wrong usage.
// It is nil where a run to resume is complete.
func (o *runOptions) plan(cmd *cobra.Command, args []string) (*scenarios.Plan, error) {
	if o.resume != "" {
		return o.planRest(cmd)
	}
	if cmd.Flags().Changed("blocks") {
		if err := atLeast("blocks", int64(o.blocks), 1); err != nil {
			return nil, err
		}
	}
	for _, n := range o.clients {
		if err := atLeast("clients", int64(n), 1); err != nil {
			return nil, err
		}
	}
	options := scenarios.Options{Clients: o.clients, Blocks: o.blocks}
	err := o.subjects.apply(cmd, &options)
	if err != nil {
		return nil, err
	}
	if options.Phases, err = parsePhases(o.phases); err != nil {
		return nil, err
	}
	if err := o.goal(cmd, &options); err != nil {
		return nil, err
	}
	if o.minEffect == "" {
		options.MinEffect, options.MinEffectFrom = defaultMinEffect(results.WorkingHome().Runs)
	} else {
		options.MinEffect, err = parseEffect(o.minEffect)
		options.MinEffectFrom = "--min-effect"
	}
	if err != nil {
		return nil, err
	}
	scenario, err := findScenario(args, o.phases != "", len(options.Subjects) > 0)
	if err != nil {
		return nil, err
	}
	plan, err := scenarios.NewPlan(scenario, options)
	return plan, usage(err)
}

func findScenario(args []string, phasesGiven, subjectsGiven bool) (*scenarios.Scenario, error) {
	if len(args) == 0 {
		if subjectsGiven {
			return scenarios.DefaultSubjects(), nil
		}
		if !phasesGiven {
			return nil, usagef("needs a scenario, --subject or --phases; mslab run --list shows the scenarios")
		}
		return scenarios.Default(), nil
	}
	s, err := scenarios.Find(args[0])
	var path *fs.PathError
	if errors.As(err, &path) {
		return nil, err // a file that cannot be read is no matter of usage
	}
	return s, usage(err)
}

var phaseRange = regexp.MustCompile(`^(\d+)-(\d+)$`)

// parsePhases reads numbers, names and ranges, such as 1-3,pool.
func parsePhases(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var phases []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		words := []string{part}
		if m := phaseRange.FindStringSubmatch(part); m != nil {
			first, errFirst := strconv.Atoi(m[1])
			last, errLast := strconv.Atoi(m[2])
			if errFirst != nil || errLast != nil || first > last || last-first > 100 {
				return nil, usagef("--phases %s: want a range from a lower to a higher phase, such as 1-7", part)
			}
			words = nil
			for n := first; n <= last; n++ {
				words = append(words, strconv.Itoa(n))
			}
		}
		for _, word := range words {
			if _, err := server.FindPhase(word); err != nil {
				return nil, usagef("--phases %s: %w", text, err)
			}
			phases = append(phases, word)
		}
	}
	return phases, nil
}

// play runs the plan, prints its tables and says where everything is kept. What
// an interruption cut short is printed too.
func play(ctx context.Context, stdout, stderr io.Writer, plan *scenarios.Plan, o runOptions) error {
	how := scenarios.Play{Dir: o.dir, Tool: toolVersion(), Reaper: chaosOptions(stderr).Reaper}
	unwatch := watchRun(stderr, o.progress, &how)
	dir, run, err := scenarios.Run(ctx, plan, how)
	unwatch()
	if run == nil {
		return err
	}
	if len(run.Trials) > 0 {
		err = errors.Join(err, printRun(stdout, o.format, run, o.format != formatTable))
	}
	fmt.Fprintf(stderr, "run folder: %s\nall its tables: mslab results show %s\n", dir, dir)
	if page := storeReport(stderr, dir, run); page != "" {
		fmt.Fprintf(stderr, "its report: %s\n", page)
	}
	fmt.Fprint(stderr, resumeHint(dir, run))
	if err != nil {
		return err
	}
	return checkOutcome(dir, run)
}

// checkOutcome is the error of a finished run. That it is invalid stands before
// that an assertion does not hold.
func checkOutcome(dir string, run *results.Run) error {
	return firstError(checkValid(dir, run), checkAsserted(run))
}

// checkValid is the error of a run that has no valid trial of something.
func checkValid(dir string, run *results.Run) error {
	if empty := cellsWithoutTrial(run); len(empty) > 0 {
		return withExit(exitInvalid, fmt.Errorf("the run is invalid: no valid trial of %s; mslab results show %s says why", strings.Join(empty, ", "), dir))
	}
	return nil
}

// cellsWithoutTrial names what was planned and of which no trial is valid.
func cellsWithoutTrial(run *results.Run) []string {
	var empty []string
	for _, arm := range run.Plan.Arms {
		if arm.Blocks == 0 {
			continue // cannot be shown here
		}
		for load, l := range arm.Loads {
			for _, s := range run.Plan.SubjectsOf(arm) {
				valid := slices.ContainsFunc(run.Trials, func(t *record.Record) bool {
					return t.Arm == arm.Name && t.Subject.Name == s.Name && arm.Under(t, load) && t.Verdict.Valid && !t.Incomplete
				})
				if !valid {
					empty = append(empty, fmt.Sprintf("%s in arm %s at %s", s.Title(), arm.Name, results.LoadTitle(l)))
				}
			}
		}
	}
	return empty
}

func listScenarios(w io.Writer, format string) error {
	all, err := scenarios.List()
	if err != nil {
		return err
	}
	t := results.Table{
		Columns: []results.Column{
			{Key: "scenario", Title: "scenario", Left: true},
			{Key: "duration", Title: "takes about", Unit: "s"},
			{Key: "about", Title: "what it shows", Left: true},
		},
		Notes: []string{"A file whose name ends in .yaml is played too."},
	}
	for _, s := range all {
		takes := results.TextCell("-")
		if plan, err := scenarios.NewPlan(s, scenarios.Options{}); err == nil {
			takes = results.FigureCell(plan.Duration().Seconds(), func(v float64) string {
				return (time.Duration(v) * time.Second).String()
			})
		}
		t.Rows = append(t.Rows, []results.Cell{results.TextCell(s.Name), takes, results.TextCell(s.About)})
	}
	return results.Render(w, format, []results.Table{t})
}
