// Command aa-gate plays phase 3 against itself many times, in short runs, and
// counts how often the decision rule calls the same server two different ones.
// At most one run in twenty should: that is what p < 0.05 promises. It exits 1
// when so many do that chance is no explanation.
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

func main() {
	runs := flag.Int("runs", 20, "number of runs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := gate(ctx, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "aa-gate:", err)
		os.Exit(1)
	}
}

func gate(ctx context.Context, runs int) (err error) {
	work, err := os.MkdirTemp("", "aa-gate-")
	if err != nil {
		return fmt.Errorf("make a working folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	mslab, file := "./mslab", filepath.Join(work, "short.yaml")
	if err := os.WriteFile(file, scenario, 0o600); err != nil {
		return fmt.Errorf("write the scenario: %w", err)
	}
	if _, err := output(ctx, "make", "build"); err != nil {
		return fmt.Errorf("build mslab (run this from the module's folder): %w", err)
	}
	table := results.Table{Title: "phase 3 against itself: server CPU per request", Columns: []results.Column{
		{Key: "run", Title: "run"}, {Key: "change", Title: "change %"}, {Key: "p", Title: "p"}, {Key: "verdict", Title: "verdict", Left: true},
	}}
	rejected, significant := 0, 0
	for i := range runs {
		c, err := play(ctx, mslab, file, filepath.Join(work, strconv.Itoa(i)))
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
		if float64(c.P) < results.Alpha {
			rejected++
		}
		if c.Significant {
			significant++
		}
		fmt.Fprintf(os.Stderr, "run %d of %d: %+.2f %%, p %.3f\n", i+1, runs, 100*(float64(c.Ratio)-1), float64(c.P))
		table.Rows = append(table.Rows, []results.Cell{
			results.FigureCell(float64(i+1), func(v float64) string { return strconv.Itoa(int(v)) }),
			results.FigureCell(100*(float64(c.Ratio)-1), func(v float64) string { return fmt.Sprintf("%+.2f", v) }),
			results.FigureCell(float64(c.P), func(v float64) string { return fmt.Sprintf("%.3f", v) }),
			results.TextCell(string(c.Verdict)),
		})
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

// play plays one run and compares it without a minimum effect.
func play(ctx context.Context, mslab, file, dir string) (results.Comparison, error) {
	var none results.Comparison
	if _, err := output(ctx, mslab, "run", file, "-o", dir); err != nil {
		return none, err
	}
	text, err := output(ctx, mslab, "compare", dir, "--json", "--min-effect", "0")
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
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), arguments[0], err, lines[len(lines)-1])
	}
	return text, err
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
