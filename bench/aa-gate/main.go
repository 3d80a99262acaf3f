// Command aa-gate plays phase 3 against itself many times, in short runs, and
// counts how often the decision rule calls the same server two different ones.
// At most one run in twenty should: that is what p < 0.05 promises. It exits 1
// when so many do that chance is no explanation. With --precision the runs add
// blocks until they reach it.
//
// With --power it plays a real difference instead, a faster pace of the garbage
// collector that costs about 3 %: it measures it by the CPU time of processes
// that serve a million requests each, then counts how many runs of the default
// plan find it. It exits 1 when fewer than nine in ten do.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"mslab/results"
)

//go:embed short.yaml
var scenario []byte

// options are the flags.
type options struct {
	runs       int
	power      bool
	precision  string
	budget     string
	minEffect  string // of --power; "" is the run's own
	requests   int
	gogc       int
	connection string
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 0, "number of runs (default 20, with -power 10)")
	flag.BoolVar(&o.power, "power", false, "play a real difference and count how often it is found")
	flag.StringVar(&o.precision, "precision", "", "as of mslab run: add blocks until intervals are this narrow, such as 1%")
	flag.StringVar(&o.budget, "budget", "", "with -precision: time for a run, such as 5m")
	flag.StringVar(&o.minEffect, "min-effect", "", "with -power: smallest effect to call a difference (default: this machine's own)")
	flag.IntVar(&o.requests, "requests", 1_000_000, "with -power: requests of each process that is measured independently")
	flag.IntVar(&o.gogc, "gogc", 67, "with -power: the pace of the collector that makes the difference, against 100")
	flag.StringVar(&o.connection, "connection", "keep", "with -power: keep or new")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	measure, runs := gate, 20
	if o.power {
		measure, runs = measurePower, 10
	}
	if o.runs <= 0 {
		o.runs = runs
	}
	if err := measure(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "aa-gate:", err)
		os.Exit(1)
	}
}

// prepare makes a working folder and the program.
func prepare(ctx context.Context) (work, mslab string, err error) {
	if work, err = os.MkdirTemp("", "aa-gate-"); err != nil {
		return "", "", fmt.Errorf("make a working folder: %w", err)
	}
	if _, err := output(ctx, "make", "build"); err != nil {
		return "", "", errors.Join(fmt.Errorf("build mslab (run this from the module's folder): %w", err), os.RemoveAll(work))
	}
	return work, "./mslab", nil
}

func gate(ctx context.Context, o options) (err error) {
	work, mslab, err := prepare(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	file := filepath.Join(work, "short.yaml")
	if err := os.WriteFile(file, scenario, 0o600); err != nil {
		return fmt.Errorf("write the scenario: %w", err)
	}
	table := newTable("phase 3 against itself: server CPU per request")
	rejected, significant, runs := 0, 0, o.runs
	for i := range runs {
		c, err := play(ctx, mslab, file, filepath.Join(work, strconv.Itoa(i)), o, "0")
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
		if float64(c.P) < results.Alpha {
			rejected++
		}
		if c.Significant {
			significant++
		}
		addRow(&table, i, runs, c)
	}
	most := mostByChance(runs, results.Alpha)
	table.Notes = []string{fmt.Sprintf("%d of %d runs with p < %g, %d called significant; chance alone stays at %d or below in 99 of 100 such series.",
		rejected, runs, results.Alpha, significant, most)}
	if err := results.Render(os.Stdout, "table", []results.Table{table}); err != nil {
		return err
	}
	if rejected > most {
		return fmt.Errorf("%d of %d runs tell a server from itself, more than the %d that chance explains", rejected, runs, most)
	}
	return nil
}

func newTable(title string) results.Table {
	return results.Table{Title: title, Columns: []results.Column{
		{Key: "run", Title: "run"}, {Key: "blocks", Title: "n"}, {Key: "change", Title: "change %"}, {Key: "interval", Title: "95 %"},
		{Key: "p", Title: "p"}, {Key: "verdict", Title: "verdict", Left: true},
	}}
}

func addRow(table *results.Table, i, runs int, c results.Comparison) {
	percent := func(ratio results.Number) string { return fmt.Sprintf("%+.2f", 100*(float64(ratio)-1)) }
	fmt.Fprintf(os.Stderr, "run %d of %d: %s %%, p %.3f, %s\n", i+1, runs, percent(c.Ratio), float64(c.P), c.Verdict)
	whole := func(v float64) string { return strconv.Itoa(int(v)) }
	table.Rows = append(table.Rows, []results.Cell{
		results.FigureCell(float64(i+1), whole), results.FigureCell(float64(c.Blocks), whole), results.TextCell(percent(c.Ratio)),
		results.TextCell("[" + percent(c.CILow) + ", " + percent(c.CIHigh) + "]"),
		results.FigureCell(float64(c.P), func(v float64) string { return fmt.Sprintf("%.3f", v) }),
		results.TextCell(string(c.Verdict)),
	})
}

// play plays one run and compares it at a minimum effect; "" is the run's own.
func play(ctx context.Context, mslab, file, dir string, o options, minEffect string) (results.Comparison, error) {
	var none results.Comparison
	run := []string{"run", file, "-o", dir}
	if o.precision != "" {
		run = append(run, "--precision", o.precision)
	}
	if o.budget != "" {
		run = append(run, "--budget", o.budget)
	}
	if _, err := output(ctx, mslab, run...); err != nil {
		return none, err
	}
	compare := []string{"compare", dir, "--json"}
	if minEffect != "" {
		compare = append(compare, "--min-effect", minEffect)
	}
	text, err := output(ctx, mslab, compare...)
	if err != nil {
		return none, err
	}
	var document struct {
		Pairs []results.Comparison `json:"pairs"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return none, fmt.Errorf("read the comparison: %w", err)
	}
	for _, c := range document.Pairs {
		if c.Metric == results.MetricCPU {
			return c, nil
		}
	}
	return none, errors.New("the comparison has no pair of CPU per request")
}

// output runs a command and returns its standard output; the error holds the
// last line of what it said.
func output(ctx context.Context, name string, arguments ...string) ([]byte, error) {
	text, err := exec.CommandContext(ctx, name, arguments...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), arguments[0], err, lastLine(string(exit.Stderr)))
	}
	return text, err
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// mostByChance is the smallest k that a binomial of n tries and chance p stays
// at or below with a probability of 0.99.
func mostByChance(n int, p float64) int {
	cumulated := 0.0
	for k := range n {
		lnFactorials := func(m int) float64 { v, _ := math.Lgamma(float64(m + 1)); return v }
		cumulated += math.Exp(lnFactorials(n) - lnFactorials(k) - lnFactorials(n-k) +
			float64(k)*math.Log(p) + float64(n-k)*math.Log(1-p))
		if cumulated >= 0.99 {
			return k
		}
	}
	return n
}
