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
	force     bool
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
none. Below, the latency percentiles of all requests together, with intervals of
their own; what is a difference the rule says there too.

RUN is the folder that mslab run wrote, or its name in mslab results list. A
metric is a path in the record, such as server.cpu_ns_per_request. Without RUN
it is the newest one that compares anything: your own, else the reference.

BASE and CANDIDATE are two runs, or two files of mslab load -o; each subject is
compared with itself, and a regression in one of the metrics is exit 4. They were
not interleaved, so that the machine's changes between them look like changes of
the code. Two runs whose kernel, CPU, settings, load or calibration differ are
not compared (exit 1) unless --force is given. Two loads have no blocks: their
ratios are shown, and no verdict.`,
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
	cmd.Flags().StringSliceVar(&o.metrics, "metric", []string{results.MetricCPU, results.MetricRPS, results.MetricP99},
		"metrics to compare; \""+results.PercentilePath+"\" is the table of percentiles")
	cmd.Flags().BoolVar(&o.force, "force", false, "compare two runs although their circumstances differ, and say so")
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
	metrics, percentiles, err := chosenMetrics(cmd, o.metrics)
	if err != nil {
		return err
	}
	c, err := openCompared(cmd.ErrOrStderr(), names, o.force)
	if err != nil {
		return err
	}
	if minEffect == runsOwn {
		minEffect = c.run.Plan.MinEffect
		if c.run.Plan.MinEffectFrom == "" { // two loads, which nobody planned as a run
			minEffect, _ = defaultMinEffect(results.WorkingHome().Runs)
		}
	}
	if o.format == formatBenchstat && !c.joined { // what it says needs no verdict
		return results.RenderBenchstat(cmd.OutOrStdout(), c.run)
	}
	if err := c.compare(metrics, percentiles, minEffect); err != nil {
		return err
	}
	if o.format == formatBenchstat {
		c.sayOn(cmd.ErrOrStderr())
		err = results.RenderBenchstat(cmd.OutOrStdout(), c.run)
	} else {
		err = c.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), o.format)
	}
	if err != nil || !c.joined {
		return err
	}
	return c.regression(percentiles == percentilesYes)
}

// manyPairs is from how many pairs on the percentiles, a table a pair, are left
// to those who ask for them.
const manyPairs = 5

type percentilesWanted int

const (
	percentilesNo percentilesWanted = iota
	percentilesOfFew
	percentilesYes
)

// chosenMetrics tells the word for the percentiles from the metrics.
func chosenMetrics(cmd *cobra.Command, words []string) (metrics []string, percentiles percentilesWanted, err error) {
	if !cmd.Flags().Changed("metric") {
		percentiles = percentilesOfFew
	}
	for _, word := range words {
		if word == results.PercentilePath {
			percentiles = percentilesYes
		} else {
			metrics = append(metrics, word)
		}
	}
	if len(metrics) == 0 && percentiles == percentilesNo {
		return nil, percentilesNo, usagef("--metric: names no metric; the default is %s, %s and %s", results.MetricCPU, results.MetricRPS, results.MetricP99)
	}
	return metrics, percentiles, nil
}

// compared is what compare was asked about, and what came of it.
type compared struct {
	run    *results.Run
	joined bool // of two
	doc    results.Comparisons
	tables []results.Table
}

// openCompared reads the run, or joins base and candidate. Which run it takes
// where none is named it says on stderr.
func openCompared(stderr io.Writer, names []string, force bool) (*compared, error) {
	switch len(names) {
	case 0:
		run, err := newestCompared()
		if err == nil {
			_, err = fmt.Fprintf(stderr, "%s\n\n", results.Wrap(fmt.Sprintf("Run %s, of %s, is the newest that compares anything.",
				run.Dir, run.Started.UTC().Format("2006-01-02 15:04 UTC"))))
		}
		return &compared{run: run}, err
	case 1:
		if info, err := os.Stat(names[0]); err == nil && !info.IsDir() {
			return nil, usagef("compare %s: it is a file; give a run folder, or a base and a candidate", names[0])
		}
		run, err := openRun(names[0])
		return &compared{run: run}, err
	}
	base, err := openResult(names[0])
	if err != nil {
		return nil, err
	}
	candidate, err := openResult(names[1])
	if err != nil {
		return nil, err
	}
	return join(names, base, candidate, force)
}

// join makes one run of two, unless they are unlike. Two loads may be: nothing
// is decided of them.
func join(names []string, base, candidate *results.Run, force bool) (*compared, error) {
	if base.OfLoad() != candidate.OfLoad() {
		load, run := names[0], names[1]
		if candidate.OfLoad() {
			load, run = run, load
		}
		return nil, usagef("compare: %s is the record of one load and %s a run of blocks; compare two runs, or two files of mslab load -o", load, run)
	}
	differences := results.Unlike(base, candidate)
	refuse := len(differences) > 0 && !base.OfLoad()
	if refuse && !force {
		return nil, fmt.Errorf("compare %s with %s: their circumstances differ, so that a difference would say nothing of the server: %s; play them alike, or compare them all the same with --force",
			names[1], names[0], results.Listed(differences))
	}
	run, err := results.Join(base, candidate)
	if err != nil {
		return nil, err
	}
	if refuse {
		run.Notes = append([]string{"Forced: compared by --force, although circumstances differ."}, run.Notes...)
	}
	return &compared{run: run, joined: true, doc: results.Comparisons{Differences: differences, Forced: refuse, Notes: run.Notes}}, nil
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

func (c *compared) compare(metrics []string, percentiles percentilesWanted, minEffect float64) error {
	pairs := c.run.Pairs()
	if len(pairs) == 0 {
		return fmt.Errorf("compare %s: the run has no pairs that are ranked; mslab results show %s prints what it has", c.run.Dir, c.run.Dir)
	}
	for _, metric := range metrics {
		comparisons, err := results.Compare(c.run, metric, pairs, minEffect)
		if err != nil {
			return usage(err) // of the metric's name only
		}
		c.doc.Pairs = append(c.doc.Pairs, comparisons...)
	}
	c.tables = results.CompareTables(c.doc.Pairs)
	few := len(pairs) < manyPairs
	if percentiles == percentilesYes || percentiles == percentilesOfFew && few {
		var err error
		if c.doc.Percentiles, err = results.ComparePercentiles(c.run, pairs, minEffect); err != nil {
			return err
		}
		c.tables = append(c.tables, results.PercentileTables(c.doc.Percentiles)...)
	}
	if percentiles == percentilesOfFew && !few {
		last := &c.tables[len(c.tables)-1]
		last.Notes = append(last.Notes, "The percentiles of each pair, a table a pair: --metric "+results.PercentilePath+".")
	}
	return nil
}

// print prints the comparisons, and of two joined runs what they cannot claim:
// below the tables, in the document, and on stderr where the output is for
// programs.
func (c *compared) print(stdout, stderr io.Writer, format string) error {
	if format == formatJSON || format == formatCSV {
		c.sayOn(stderr)
	} else if c.joined && len(c.tables) > 0 {
		last := &c.tables[len(c.tables)-1]
		last.Notes = append(last.Notes, c.run.Notes...)
	}
	if format == formatJSON {
		return c.doc.Render(stdout)
	}
	return results.Render(stdout, format, c.tables)
}

func (c *compared) sayOn(stderr io.Writer) {
	if c.joined {
		for _, note := range c.run.Notes {
			fmt.Fprintln(stderr, note)
		}
	}
}

// regression is the error where the candidate is worse in any metric compared,
// and in any percentile where those were asked for by name.
func (c *compared) regression(percentiles bool) error {
	var worse []string
	for _, pair := range c.doc.Pairs {
		if pair.Regressed() {
			worse = append(worse, fmt.Sprintf("%s of %s %s", pair.Metric, pair.B, pair.Change()))
		}
	}
	for _, p := range c.doc.Percentiles {
		if percentiles && p.Significant && p.Verdict == results.Slower {
			worse = append(worse, fmt.Sprintf("%s of %s", p.Metric, p.B))
		}
	}
	if len(worse) == 0 {
		return nil
	}
	return withExit(exitRegression, fmt.Errorf("a regression: %s", strings.Join(worse, ", ")))
}

// parseEffect reads a relative effect: 1% or 0.01.
func parseEffect(text string) (float64, error) {
	v, err := results.ParseFraction(text)
	if err != nil || !(v >= 0 && v < 1) {
		return 0, usagef("--min-effect %s: want a percentage such as 1%%, or a fraction from 0 to 1", text)
	}
	return v, nil
}
