package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"mslab/bench/harness"
	"mslab/results"
)

// phase is the one that is measured with and without the override.
const phase = "7"

// powerScenario is the default plan for two variants of one phase: its blocks,
// slices and load are what a scenario that says nothing gets.
const powerScenario = `name: power
about: One phase with the garbage collector at two paces.
matrix: {subject: [%s], gogc: [100, %d], connection: [%s]}
`

// measurePower measures what the override costs by another way than the one
// that is put to the test, then counts how often the default plan finds it.
func measurePower(ctx context.Context, o options) (err error) {
	work, mslab, err := prepare(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	cost, err := independent(ctx, mslab, work, o)
	if err != nil {
		return fmt.Errorf("measure the difference independently: %w", err)
	}
	file := filepath.Join(work, "power.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, powerScenario, phase, o.gogc, o.connection), 0o600); err != nil {
		return fmt.Errorf("write the scenario: %w", err)
	}
	table := newTable(fmt.Sprintf("phase %s with --gogc %d against --gogc 100, %s connections: server CPU per request", phase, o.gogc, o.connection))
	found := 0
	var minEffect float64
	for i := range o.runs {
		c, err := play(ctx, mslab, file, filepath.Join(work, strconv.Itoa(i)), o, o.minEffect)
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
		if c.Significant && c.Ratio > 1 {
			found++
		}
		minEffect = c.MinEffect
		addRow(&table, i, o.runs, c)
	}
	table.Notes = []string{
		fmt.Sprintf("user and system CPU of %d requests in one process each, in the order ABBA: %+.2f %%.", o.requests, 100*math.Expm1(cost)),
		fmt.Sprintf("%d of %d runs find it, at a minimum effect of %.2f %%.", found, o.runs, 100*minEffect),
	}
	if err := results.Render(os.Stdout, "table", []results.Table{table}); err != nil {
		return err
	}
	if least := (9*o.runs + 9) / 10; found < least {
		return fmt.Errorf("%d of %d runs find the difference, want %d", found, o.runs, least)
	}
	return nil
}

// independent returns the log ratio of the CPU time of the override to that
// without it, of whole processes as the kernel charged it at their end: start and
// stop are in it, and are little beside many requests.
func independent(ctx context.Context, mslab, work string, o options) (float64, error) {
	var sum float64
	for _, turn := range []struct {
		gogc int
		sign float64
	}{{100, -1}, {o.gogc, 1}, {o.gogc, 1}, {100, -1}} {
		cpu, err := serveMany(ctx, mslab, work, turn.gogc, o)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(os.Stderr, "%d requests with --gogc %d: %.2f µs of CPU each\n", o.requests, turn.gogc, cpu*1e6)
		sum += turn.sign * math.Log(cpu) / 2
	}
	return sum, nil
}

// serveMany has one process serve the requests and returns the CPU seconds that
// each took of it.
func serveMany(ctx context.Context, mslab, work string, gogc int, o options) (cpu float64, err error) {
	data, err := os.MkdirTemp(work, "data-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	server := exec.CommandContext(ctx, mslab, "serve", "--phase", phase, "--gogc", strconv.Itoa(gogc), "--listen", "backlog1024",
		"--addr", "127.0.0.1:0", "--admin", "", "--data", data)
	server.Stderr = os.Stderr
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	out, err := server.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := harness.StartPinned(server, harness.ServerCore); err != nil {
		return 0, fmt.Errorf("start the server: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		err = loadMany(ctx, mslab, line, o)
	}
	_ = server.Process.Signal(syscall.SIGTERM)
	if err = errors.Join(err, server.Wait()); err != nil {
		return 0, err
	}
	used := server.ProcessState.UserTime() + server.ProcessState.SystemTime()
	return used.Seconds() / float64(o.requests), nil
}

// loadMany offers the requests to the server that said line when it listened.
func loadMany(ctx context.Context, mslab, line string, o options) error {
	for word := range strings.FieldsSeq(line) {
		if strings.HasPrefix(word, "http://") {
			load := exec.CommandContext(ctx, mslab, "load", word+"/metrics", "--metrics", "3", "--clients", "20",
				"--connection", o.connection, "--requests", strconv.Itoa(o.requests))
			var said strings.Builder
			load.Stderr = &said
			if err := harness.StartPinned(load, harness.ClientCore); err != nil {
				return fmt.Errorf("load: %w", err)
			}
			if err := load.Wait(); err != nil {
				return fmt.Errorf("load: %w: %s", err, lastLine(said.String()))
			}
			return nil
		}
	}
	return fmt.Errorf("the server said %q, which names no address", line)
}
