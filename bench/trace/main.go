// Command trace tells what watching system calls costs the watched: phases 5 and
// 7 under load, and a loop of writes, each alone, under mslab trace syscalls and
// under the tools that people use for it (strace, perf trace, bpftrace), in
// stretches that take turns. It prints the server's CPU per request and its rate,
// and the ratios to the untraced stretches beside them.
//
//	go run ./bench/trace
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mslab/bench/harness"
)

type options struct {
	blocks int
	slice  time.Duration
	loop   time.Duration
	budget time.Duration
	format string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == loopArgument {
		os.Exit(writeLoop(os.Stdin, os.Stdout, os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) int {
	var o options
	flags := flag.NewFlagSet("trace", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.blocks, "blocks", 8, "blocks: a fresh server for each phase, a pair of stretches with each tool")
	flags.DurationVar(&o.slice, "slice", 600*time.Millisecond, "length of a stretch under load")
	flags.DurationVar(&o.loop, "loop", 150*time.Millisecond, "length of a stretch of the loop of writes")
	flags.DurationVar(&o.budget, "budget", 170*time.Second, "start no block that would end after this")
	flags.StringVar(&o.format, "format", "table", "table, markdown, csv or json")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || o.blocks < 1 || o.slice < 100*time.Millisecond || o.loop < 10*time.Millisecond {
		fmt.Fprintln(stderr, "trace: want no argument, at least one block, slices of at least 100ms and loops of at least 10ms")
		return 2
	}
	if err := compare(ctx, stdout, stderr, o); err != nil {
		fmt.Fprintln(stderr, "trace:", err)
		return 1
	}
	return 0
}

func compare(ctx context.Context, stdout, stderr io.Writer, o options) error {
	folder, err := os.MkdirTemp("", "mslab-bench-trace-")
	if err != nil {
		return fmt.Errorf("make a folder for the built program: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	mslab, err := harness.BuildMslab(ctx, stderr, folder)
	if err != nil {
		return err
	}
	tools, absent := installed(mslab)
	for _, line := range absent {
		fmt.Fprintln(stderr, line)
	}
	m := newMeasurement(tools, absent)
	started := time.Now()
	for block := range o.blocks {
		if took := time.Since(started) / time.Duration(max(block, 1)); block > 0 && time.Since(started)+took > o.budget {
			fmt.Fprintf(stderr, "the budget of %v ends the run after %d blocks\n", o.budget, block)
			break
		}
		fmt.Fprintf(stderr, "block %d of %d\n", block+1, o.blocks)
		if err := playBlock(ctx, o, mslab, tools, m, block); err != nil {
			return err
		}
	}
	return m.render(stdout, o)
}
