package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"mslab/results"
)

type compareOptions struct {
	format    string
	json      bool
	minEffect string
	metrics   []string
}

var compareFormats = []string{formatTable, formatMarkdown, formatCSV, formatJSON, formatBenchstat}

func newCompareCommand() *cobra.Command {
	var o compareOptions
	cmd := &cobra.Command{
		Use:   "compare [RUN | BASE CANDIDATE]",
		Short: "Say what differs, in a run or between two, and how sure that is",
		Long: `compare applies one decision rule to each pair of subjects that a run compared:
a sign-flip permutation test over its blocks, corrected for the number of
pairs. A difference that is not significant prints ~, which is not the same as
none.

RUN is the folder that mslab run wrote, or its name in mslab results list. A
metric is a path in the record, such as server.cpu_ns_per_request. Without RUN
it is the newest one that compares anything: your own, else the reference.

BASE and CANDIDATE are two runs, or two files of mslab load -o; each subject is
compared with itself, and a regression is exit 4. They were not interleaved, so
that the machine's changes between them look like changes of the code.`,
		Args: wantArgs(0, 2, "one run, or a base and a candidate"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return compare(cmd, o, args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return completeRuns(), cobra.ShellCompDirectiveDefault
		},
	}
	addFormatFlags(cmd, &o.format, &o.json, compareFormats...)
	cmd.Flags().StringVar(&o.minEffect, "min-effect", "", "smallest effect to call a difference, such as 1% (default: the run's own)")
	cmd.Flags().StringSliceVar(&o.metrics, "metric", []string{results.MetricCPU, results.MetricRPS, results.MetricP99}, "metrics to compare")
	return cmd
}

// runsOwn as the minimum effect is the one that the run was planned with.
const runsOwn = -1.0

func compare(cmd *cobra.Command, o compareOptions, names []string) error {
	if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&o.format, o.json, compareFormats...)); err != nil {
		return err
	}
	minEffect := runsOwn
	if o.minEffect != "" {
		var err error
		if minEffect, err = parseEffect(o.minEffect); err != nil {
			return err
		}
	}
	run, err := openCompared(cmd.ErrOrStderr(), names)
	if err != nil {
		return err
	}
	if minEffect == runsOwn {
		minEffect = run.Plan.MinEffect
		if run.Plan.MinEffectFrom == "" { // two loads, which nobody planned as a run
			minEffect, _ = defaultMinEffect(results.WorkingHome().Runs)
		}
	}
	if o.format == formatBenchstat {
		return results.RenderBenchstat(cmd.OutOrStdout(), run)
	}
	comparisons, err := compareAll(run, o.metrics, minEffect)
	if err != nil {
		return err
	}
	if err := printComparisons(cmd.OutOrStdout(), cmd.ErrOrStderr(), o.format, run, comparisons, len(names) == 2); err != nil {
		return err
	}
	if len(names) == 2 {
		return regression(comparisons)
	}
	return nil
}

// openCompared reads the run, or joins base and candidate. Which run it takes
// where none is named it says on stderr.
func openCompared(stderr io.Writer, names []string) (*results.Run, error) {
	if len(names) == 0 {
		run, err := newestCompared()
		if err == nil {
			_, err = fmt.Fprintf(stderr, "%s\n\n", results.Wrap(fmt.Sprintf("Run %s, of %s, is the newest that compares anything.",
				run.Dir, run.Started.UTC().Format("2006-01-02 15:04 UTC"))))
		}
		return run, err
	}
	if len(names) == 1 {
		if info, err := os.Stat(names[0]); err == nil && !info.IsDir() {
			return nil, usagef("compare %s: it is a file; give a run folder, or a base and a candidate", names[0])
		}
		return openRun(names[0])
	}
	base, err := openResult(names[0])
	if err != nil {
		return nil, err
	}
	candidate, err := openResult(names[1])
	if err != nil {
		return nil, err
	}
	return results.Join(base, candidate)
}

// newestCompared is the newest run whose plan compares subjects and of which
// something was measured.
func newestCompared() (*results.Run, error) {
	for run := range recordedRuns() {
		if len(run.Pairs()) > 0 && len(run.Trials) > 0 {
			return run, nil
		}
	}
	return nil, usagef("compare: no run compares anything yet; mslab run first-look makes one, mslab run --phases 5,7 a smaller one")
}

func compareAll(run *results.Run, metrics []string, minEffect float64) ([]results.Comparison, error) {
	pairs := run.Pairs()
	if len(pairs) == 0 {
		return nil, fmt.Errorf("compare %s: the run has no pairs that are ranked; mslab results show %s prints what it has", run.Dir, run.Dir)
	}
	var all []results.Comparison
	for _, metric := range metrics {
		comparisons, err := results.Compare(run, metric, pairs, minEffect)
		if err != nil {
			return nil, usage(err) // of the metric's name only
		}
		all = append(all, comparisons...)
	}
	return all, nil
}

// printComparisons prints the comparisons, and of two joined runs what they
// cannot claim: below the tables, or on stderr where the output is for programs.
func printComparisons(stdout, stderr io.Writer, format string, run *results.Run, comparisons []results.Comparison, joined bool) error {
	tables := results.CompareTables(comparisons)
	if joined && (format == formatJSON || format == formatCSV) {
		for _, note := range run.Notes {
			fmt.Fprintln(stderr, note)
		}
	} else if joined {
		last := &tables[len(tables)-1]
		last.Notes = append(last.Notes, run.Notes...)
	}
	if format == formatJSON {
		return results.RenderComparisons(stdout, comparisons)
	}
	return results.Render(stdout, format, tables)
}

// regression is the error where the candidate is worse in any metric compared.
func regression(comparisons []results.Comparison) error {
	var worse []string
	for _, c := range comparisons {
		if c.Regressed() {
			worse = append(worse, fmt.Sprintf("%s of %s %s", c.Metric, c.B, c.Change()))
		}
	}
	if len(worse) == 0 {
		return nil
	}
	return withExit(exitRegression, fmt.Errorf("a regression: %s", strings.Join(worse, ", ")))
}

// parseEffect reads a relative effect: 1% or 0.01.
func parseEffect(text string) (float64, error) {
	v, err := parseFraction(text)
	if err != nil || !(v >= 0 && v < 1) {
		return 0, usagef("--min-effect %s: want a percentage such as 1%%, or a fraction from 0 to 1", text)
	}
	return v, nil
}
