// Command parse-growth measures how the time of the server's JSON parsers grows
// with the number of metrics in a body, and prints the exponent of each: near 2
// for the quadratic one, near 1 for the linear one.
//
// It runs BenchmarkParseGrowth of package server several times over, keeps the
// fastest time of each size (what disturbs a parser only ever slows it down) and
// fits a straight line through the logarithms by least squares; its slope is
// the exponent.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each size is measured")
	benchtime := flag.Duration("benchtime", 100*time.Millisecond, "least time of one measurement")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 || *benchtime <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *rounds, *benchtime); err != nil {
		fmt.Fprintln(os.Stderr, "parse-growth:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, rounds int, benchtime time.Duration) error {
	fastest := growth{}
	for range rounds { // a process each: the sizes take turns
		output, err := measure(ctx, benchtime)
		if err != nil {
			return err
		}
		if err := fastest.add(output); err != nil {
			return err
		}
	}
	return fastest.print(w)
}

func measure(ctx context.Context, benchtime time.Duration) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkParseGrowth$",
		"-benchtime", benchtime.String(), "mslab/server")
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run the benchmark with %q (from the module's folder?): %w\n%s", cmd.Args, err, output)
	}
	return output, nil
}

// growth is the fastest time in ns by parser and number of metrics.
type growth map[string]map[int]float64

var benchmarkLine = regexp.MustCompile(`^BenchmarkParseGrowth/(\w+)/n=(\d+)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op`)

// add takes in the output of one run of the benchmark.
func (g growth) add(output []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(output))
	found := false
	for lines.Scan() {
		fields := benchmarkLine.FindStringSubmatch(lines.Text())
		if fields == nil {
			continue
		}
		n, err := strconv.Atoi(fields[2])
		if err != nil {
			return fmt.Errorf("read the size in %q: %w", lines.Text(), err)
		}
		ns, err := strconv.ParseFloat(fields[3], 64)
		if err != nil {
			return fmt.Errorf("read the time in %q: %w", lines.Text(), err)
		}
		if g[fields[1]] == nil {
			g[fields[1]] = map[int]float64{}
		}
		if before, ok := g[fields[1]][n]; !ok || ns < before {
			g[fields[1]][n] = ns
		}
		found = true
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the benchmark's output: %w", err)
	}
	if !found {
		return fmt.Errorf("find times in the benchmark's output %q", output)
	}
	return nil
}

func (g growth) print(w io.Writer) error {
	for _, parser := range sortedKeys(g) {
		times := g[parser]
		exponent, err := fitExponent(times)
		if err != nil {
			return fmt.Errorf("fit the growth of %s: %w", parser, err)
		}
		if _, err := fmt.Fprintf(w, "%s: time grows as n^%.3f\n", parser, exponent); err != nil {
			return err
		}
		for _, n := range sortedKeys(times) {
			if _, err := fmt.Fprintf(w, "  n=%d: %.2f µs\n", n, times[n]/1e3); err != nil {
				return err
			}
		}
	}
	return nil
}

// fitExponent is the slope of log(time) over log(n), by least squares.
func fitExponent(times map[int]float64) (float64, error) {
	if len(times) < 2 {
		return 0, errors.New("at least two sizes are needed")
	}
	var meanX, meanY float64
	for n, t := range times {
		meanX += math.Log(float64(n)) / float64(len(times))
		meanY += math.Log(t) / float64(len(times))
	}
	var xy, xx float64
	for n, t := range times {
		x := math.Log(float64(n)) - meanX
		xy += x * (math.Log(t) - meanY)
		xx += x * x
	}
	return xy / xx, nil
}

func sortedKeys[K int | string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
