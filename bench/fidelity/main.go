// Command fidelity tells how much of what phases 1 and 5 cost is Go's. It runs
// them beside C programs that do the same work (twin/), all under the same load
// in slices that take turns, and prints the server's CPU time per request, the
// ratios, and what the garbage collector and the creation of threads add.
//
//	go run ./bench/fidelity
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"mslab/bench/harness"
)

type options struct {
	clients int
	rounds  int
	slice   time.Duration
	budget  time.Duration
	format  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) int {
	var o options
	flags := flag.NewFlagSet("fidelity", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.clients, "clients", 20, "concurrent clients, a new connection for each request")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds: fresh processes, two slices of each in mirrored order")
	flags.DurationVar(&o.slice, "slice", 700*time.Millisecond, "length of a slice")
	flags.DurationVar(&o.budget, "budget", 170*time.Second, "start no round that would end after this")
	flags.StringVar(&o.format, "format", "table", "table, markdown, csv or json")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || o.clients < 1 || o.rounds < 1 || o.slice < 100*time.Millisecond {
		fmt.Fprintln(stderr, "fidelity: want no argument, at least one client and round, and slices of at least 100ms")
		return 2
	}
	if err := compare(ctx, stdout, stderr, o); err != nil {
		fmt.Fprintln(stderr, "fidelity:", err)
		return 1
	}
	return 0
}

func compare(ctx context.Context, stdout, stderr io.Writer, o options) (err error) {
	folder, err := os.MkdirTemp("", "mslab-fidelity-")
	if err != nil {
		return fmt.Errorf("make a folder for the servers' data: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	p, err := build(ctx, stderr, folder)
	if err != nil {
		return err
	}
	// The budget is for the measurement: what a build takes depends on the
	// cache.
	started := time.Now()
	m := newMeasurement(subjects())
	for round := range o.rounds {
		took := time.Duration(0)
		if round > 0 {
			took = time.Since(started) / time.Duration(round)
		}
		if time.Since(started)+took > o.budget {
			fmt.Fprintf(stderr, "the budget of %v ends the run after %d rounds\n", o.budget, round)
			break
		}
		fmt.Fprintf(stderr, "round %d of %d\n", round+1, o.rounds)
		if err := p.playRound(ctx, o, m, round); err != nil {
			return err
		}
	}
	return m.render(stdout, o)
}

// programs are the built binaries and where servers may write.
type programs struct {
	twin, mslab string
	folder      string
}

func build(ctx context.Context, stderr io.Writer, folder string) (*programs, error) {
	p := &programs{twin: filepath.Join(folder, "twin"), folder: folder}
	root, err := harness.ModuleRoot()
	if err != nil {
		return nil, err
	}
	sources, err := filepath.Glob(filepath.Join(root, "bench", "fidelity", "twin", "*.c"))
	if err != nil || len(sources) == 0 {
		return nil, fmt.Errorf("find the twins' sources under %s: run this in the module's folder", root)
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	fmt.Fprintln(stderr, "building the C twins")
	compile := exec.CommandContext(ctx, cc, append([]string{"-O2", "-pthread", "-o", p.twin}, sources...)...)
	if out, err := compile.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the twins with %s: %w; it needs a C compiler\n%s", cc, err, out)
	}
	p.mslab, err = harness.BuildMslab(ctx, stderr, folder)
	return p, err
}
