package main

import (
	"fmt"
	"io"

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
		Use:   "compare RUN",
		Short: "Say which subjects of a run differ, and how sure that is",
		Long: `compare applies one decision rule to each pair of subjects that a run compared: a
sign-flip permutation test over its blocks, corrected for the number of pairs. A
difference that is not significant prints ~, which is not the same as none.

RUN is the folder that mslab run wrote, or its name in mslab results list. A
metric is a path in the record, such as server.cpu_ns_per_request.`,
		Args: wantArgs(1, 1, "the folder of one run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return compare(cmd, o, args[0])
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

func compare(cmd *cobra.Command, o compareOptions, name string) error {
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
	run, err := openRun(name)
	if err != nil {
		return err
	}
	if minEffect == runsOwn {
		minEffect = run.Plan.MinEffect
	}
	if o.format == formatBenchstat {
		return results.RenderBenchstat(cmd.OutOrStdout(), run)
	}
	return printComparisons(cmd.OutOrStdout(), run, o, minEffect)
}

func printComparisons(w io.Writer, run *results.Run, o compareOptions, minEffect float64) error {
	pairs := run.Pairs()
	if len(pairs) == 0 {
		return fmt.Errorf("compare %s: the run has no pairs that are ranked; mslab results show %s prints what it has", run.Dir, run.Dir)
	}
	var all []results.Comparison
	for _, metric := range o.metrics {
		comparisons, err := results.Compare(run, metric, pairs, minEffect)
		if err != nil {
			return usage(err) // of the metric's name only
		}
		all = append(all, comparisons...)
	}
	if o.format == formatJSON {
		return results.RenderComparisons(w, all)
	}
	return results.Render(w, o.format, results.CompareTables(all))
}

// parseEffect reads a relative effect: 1% or 0.01.
func parseEffect(text string) (float64, error) {
	v, err := parseFraction(text)
	if err != nil || !(v >= 0 && v < 1) {
		return 0, usagef("--min-effect %s: want a percentage such as 1%%, or a fraction from 0 to 1", text)
	}
	return v, nil
}
