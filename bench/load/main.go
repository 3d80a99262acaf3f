// Command load holds mslab's generator against others: each drives the same fixed
// fast server with the same request over 100 kept connections, the client on one
// core and the server on another, in rounds in which each tool plays once. It
// prints the rate as the server counted it, the CPU that a request cost the
// client and the server, the ratios of mslab's to each tool's with their
// intervals, and which goals are met.
//
//	go run ./bench/load
//
// Tools that are not on PATH are left out and named. Debian has wrk, h2load
// (nghttp2-client), ab (apache2-utils), hey and nginx; the Go ones come by
//
//	go install github.com/rakyll/hey@v0.1.4
//	go install github.com/tsenart/vegeta/v12@v12.13.0
//	go install fortio.org/fortio@v1.66.5
//	go install go.k6.io/k6@v1.8.1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"mslab/bench/harness"
)

// leastRuns is how many rounds a goal is judged on.
const leastRuns = 10

type options struct {
	runs        int
	connections int
	duration    time.Duration
	tools       []string
	servers     []string
	format      string
	gate        bool
}

// errMissed is what -gate ends with.
var errMissed = errors.New("a goal is missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) int {
	o, err := parse(stderr, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "load:", err)
		return 2
	}
	if err := compare(ctx, stdout, stderr, o); err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return 1
	}
	return 0
}

func parse(stderr io.Writer, args []string) (options, error) {
	var o options
	var tools, servers string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.runs, "runs", leastRuns, "rounds, in each of which every tool plays once; goals want at least 10")
	flags.IntVar(&o.connections, "connections", 100, "connections that each tool keeps")
	flags.DurationVar(&o.duration, "d", 3*time.Second, "how long a tool plays; wrk and ab play whole seconds")
	flags.StringVar(&tools, "tools", strings.Join(toolNames(), ","), "tools to play beside mslab")
	flags.StringVar(&servers, "server", "c,nginx", "servers to play against: c, nginx")
	flags.StringVar(&o.format, "format", "table", "table, markdown, csv or json")
	flags.BoolVar(&o.gate, "gate", false, "exit 1 when a goal is missed")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.tools, err = chosen("-tools", tools, toolNames()); err != nil {
		return o, err
	}
	if !slices.Contains(o.tools, ours) {
		o.tools = append([]string{ours}, o.tools...)
	}
	if o.servers, err = chosen("-server", servers, []string{serverC, serverNginx}); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("takes no argument, got %q", flags.Arg(0))
	case o.runs < 1 || o.connections < 1 || o.duration < 100*time.Millisecond:
		return o, errors.New("wants at least one run and connection, and -d of at least 100ms")
	case o.gate && o.runs < leastRuns:
		return o, fmt.Errorf("-gate wants -runs of at least %d: goals are judged on no fewer", leastRuns)
	case !slices.Contains([]string{"table", "markdown", "csv", "json"}, o.format):
		return o, fmt.Errorf("unknown -format %q; use table, markdown, csv or json", o.format)
	}
	return o, nil
}

// chosen splits a list of known names.
func chosen(name, list string, known []string) ([]string, error) {
	var out []string
	for word := range strings.SplitSeq(list, ",") {
		word = strings.TrimSpace(word)
		if !slices.Contains(known, word) {
			return nil, fmt.Errorf("%s: unknown %q; use some of %s", name, word, strings.Join(known, ","))
		}
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out, nil
}

func compare(ctx context.Context, stdout, stderr io.Writer, o options) error {
	folder, err := os.MkdirTemp("", "mslab-bench-load-")
	if err != nil {
		return fmt.Errorf("make a folder for what is built: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	mslab, err := harness.BuildMslab(ctx, stderr, folder)
	if err != nil {
		return err
	}
	b := &bench{options: o, folder: folder, stderr: stderr}
	b.tools, b.absent = installed(ctx, o.tools, mslab)
	if err := b.prepareServers(ctx); err != nil {
		return err
	}
	for _, line := range b.absent {
		fmt.Fprintln(stderr, line)
	}
	if b.request, err = capture(ctx, mslab); err != nil {
		return err
	}
	if err := b.request.write(folder); err != nil {
		return err
	}
	m := newMeasurement(b)
	m.begun = conditions()
	for round := range o.runs {
		if err := b.playRound(ctx, m, round); err != nil {
			if ctx.Err() == nil || round == 0 {
				return err
			}
			fmt.Fprintf(stderr, "interrupted in round %d of %d\n", round+1, o.runs)
			break
		}
	}
	m.ended = conditions()
	if err := m.render(stdout, o.format); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if o.gate && m.missed() {
		return errMissed
	}
	return nil
}
