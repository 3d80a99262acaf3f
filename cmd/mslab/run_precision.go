package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mslab/results"
	"mslab/scenarios"
)

// precisionOptions are the flags of `run` that decide how long it plays, and
// those that finish what another run began.
type precisionOptions struct {
	precision string
	budget    time.Duration
	resume    string
}

func addPrecisionFlags(cmd *cobra.Command, o *precisionOptions) {
	f := cmd.Flags()
	f.StringVar(&o.precision, "precision", "", "add blocks until every 95 % interval is this narrow to either side, such as 1%")
	f.DurationVar(&o.budget, "budget", 0, "with --precision: the time to spend at most (default 10m)")
	f.StringVar(&o.resume, "resume", "", "finish the interrupted run in this folder")
	_ = cmd.MarkFlagDirname("resume")
}

// goal reads the flags into the options of a plan.
func (o precisionOptions) goal(cmd *cobra.Command, to *scenarios.Options) error {
	given := cmd.Flags().Changed("precision")
	if cmd.Flags().Changed("budget") {
		if !given {
			return usagef("--budget bounds the search for --precision, which is not given")
		}
		if err := positive("budget", o.budget); err != nil {
			return err
		}
	}
	if !given {
		return nil
	}
	v, err := results.ParseFraction(o.precision)
	if err != nil || !(v >= 0.0001 && v < 1) {
		return usagef("--precision %s: want a percentage from 0.01%% to less than 100%%, such as 1%%, or a fraction", o.precision)
	}
	to.Precision, to.Budget = v, o.budget
	return nil
}

// besideResume are the flags of `run` that say nothing about what is played.
var besideResume = []string{"resume", "dry-run", "sandbox", "format", "json", "progress"}

// checkResume refuses what would change the plan of a run that has one.
func checkResume(cmd *cobra.Command, args []string) error {
	if !cmd.Flags().Changed("resume") {
		return nil
	}
	if len(args) > 0 {
		return usagef("--resume finishes a run as it was planned; leave out %q", args[0])
	}
	var others []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(besideResume, f.Name) {
			others = append(others, "--"+f.Name)
		}
	})
	if len(others) > 0 {
		return usagef("--resume finishes a run as it was planned; leave out %s", strings.Join(others, ", "))
	}
	return nil
}

// planRest opens the run to finish. The plan is nil where it is complete, which
// is said, with its tables.
func (o *runOptions) planRest(cmd *cobra.Command) (*scenarios.Plan, error) {
	run, err := openRun(o.resume)
	if err != nil {
		return nil, err
	}
	if !run.Incomplete {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s is complete: nothing is left to play\n", run.Dir)
		if err := printRun(cmd.OutOrStdout(), o.format, run, o.format != formatTable); err != nil {
			return nil, err
		}
		return nil, checkOutcome(run.Dir, run)
	}
	o.dir = run.Dir
	return scenarios.PlanRest(run)
}

// resumeHint says how to finish a run that was cut short, "" where it was not.
func resumeHint(dir string, run *results.Run) string {
	if !run.Incomplete {
		return ""
	}
	return fmt.Sprintf("finish it: mslab run --resume %s\n", dir)
}
