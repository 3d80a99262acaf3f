package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
	"mslab/server/registry"
)

// seedMetrics is how many metrics the original's load sent in a body.
const seedMetrics = 3

// What --retry means where nothing else is said.
const (
	defaultRetryBackoff = 100 * time.Millisecond
	defaultRetryOn      = "503,timeout"
)

// loadFormats are the values of --format of a load.
func loadFormats() []string { return append(slices.Clone(results.Formats), formatBenchstat) }

type loadOptions struct {
	plan       loadgen.Plan
	rate       rateOptions
	start      startOptions
	connection string
	thinkDist  string
	retryOn    string
	headers    []string
	bodyFile   string
	ledgerFile string
	outFile    string
	hlog       intervalLog
	thresholds []string
	format     string
	json       bool
	progress   string

	subject record.Subject
	limits  []results.Threshold
}

func newLoadCommand() *cobra.Command {
	var o loadOptions
	cmd := &cobra.Command{
		Use:   "load [URL]",
		Short: "Drive a server and account for every request",
		Long: `load offers load to a server in a closed loop: each client sends its next
request once it has the answer to the last one. Without a URL it drives the one
server that mslab serve has running, with bodies as the original's load made
them. A URL is driven as it is: GET, or POST with --body or --metrics.

With --rate the loop is open: requests come due on a schedule, whatever the
server does. Latency is then the response time, from when a request was due; the
service time, from when it was sent, stands beside it. --rate 100:5000 ramps from
one rate to the other over the duration, --rate 100,500,1000 spends an equal part
of it at each. One that finds all connections busy waits for one, and is shed
once --timeout has passed.

A threshold is METRIC OP VALUE, where METRIC is a path in the record of --json,
such as 'latency.p99 < 50ms' or 'success.http >= 99.9%'. A breach is exit 3.`,
		Example: `  mslab load
  mslab load -c 100 -n 10000 --connection new
  mslab load --rate 5000 --arrival poisson -d 30s
  mslab load http://127.0.0.1:8000/ -d 30s --threshold 'latency.p99 < 50ms'`,
		Args: wantArgs(0, 1, "one URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.resolve(cmd, args); err != nil {
				return err
			}
			return load(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *loadOptions) addFlags(cmd *cobra.Command) {
	f, p := cmd.Flags(), &o.plan
	f.SortFlags = false
	f.IntVarP(&p.Clients, "clients", "c", loadgen.DefaultClients, "concurrent clients")
	f.Int64VarP(&p.Requests, "requests", "n", 0, "stop after this many requests in all")
	f.Int64Var(&p.RequestsPerClient, "requests-per-client", 0, "stop after this many requests of each client")
	f.DurationVarP(&p.Duration, "duration", "d", 10*time.Second, "stop after this long")
	o.rate.addFlags(cmd)
	o.start.addFlags(cmd)
	f.StringVar(&o.connection, "connection", string(loadgen.Keep), "keep one connection a client, or open a new one for each request (keep, new)")
	f.IntVar(&p.RequestsPerConnection, "requests-per-connection", 0, "end a kept connection after this many requests, by asking the server to close it")
	f.DurationVar(&p.Think, "think", 0, "pause between an answer and the next request")
	f.StringVar(&o.thinkDist, "think-dist", string(loadgen.ConstantThink), "how pauses vary around --think: not at all, or as those of independent users (constant, exponential)")
	f.DurationVar(&p.Deadline, "deadline", loadgen.DefaultDeadline, "count answers later than this apart; they are not cut off")
	f.DurationVar(&p.Timeout, "timeout", loadgen.DefaultTimeout, "end a request that takes longer")
	f.IntVar(&p.Retry.Max, "retry", 0, "send a request that failed again, up to so many times; each attempt counts as sent, all bear one X-Correlation-ID")
	f.DurationVar(&p.Retry.Backoff, "retry-backoff", defaultRetryBackoff, "longest pause before the first retry, doubled for each further one up to 10s; each is drawn from 0 to that")
	f.StringVar(&o.retryOn, "retry-on", defaultRetryOn, "which failures to retry: 429, 503, 4xx, 5xx, timeout, error (no answer), any, or classes of the record")
	f.DurationVar(&p.Warmup, "warmup", 0, "load before the measured time")
	f.IntVar(&p.Metrics, "metrics", seedMetrics, "metrics in a body of the original's shape; with a URL only where given")
	f.IntVar(&p.ClientIDs, "client-ids", 0, "name so many clients in turn in the Authorization field of bodies of metrics (default: each client its own)")
	f.IntVar(&p.Hosts, "hosts", 0, "hosts that bodies of metrics are drawn from (default 100)")
	f.StringVar(&p.Method, "method", "", "HTTP method (default POST with a body, GET without)")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "header field 'Name: value' (repeatable)")
	f.StringVar(&o.bodyFile, "body", "", "send this file as the body; - is standard input")
	f.Int64Var(&p.Seed, "seed", 1, "seed of the bodies, and of --arrival poisson")
	f.StringVar(&o.ledgerFile, "ledger", "", "write a line about each batch to this file, for mslab log verify")
	f.StringVarP(&o.outFile, "out", "o", "", "write the record to this file")
	o.hlog.addFlags(f)
	f.StringArrayVar(&o.thresholds, "threshold", nil, "fail with exit 3 unless METRIC OP VALUE holds (repeatable)")
	addProgressFlag(cmd, f, &o.progress)
	addFormatFlags(cmd, &o.format, &o.json, loadFormats()...)
	_ = cmd.RegisterFlagCompletionFunc("think-dist", cobra.FixedCompletions([]string{"constant", "exponential"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("connection", cobra.FixedCompletions([]string{"keep", "new"}, cobra.ShellCompDirectiveNoFileComp))
}

// resolve checks the flags and makes the plan.
func (o *loadOptions) resolve(cmd *cobra.Command, args []string) error {
	if err := o.checkFlags(cmd); err != nil {
		return err
	}
	var err error
	for _, text := range o.thresholds {
		t, err := results.ParseThreshold(text)
		if err != nil {
			return usagef("--threshold %q: %w", text, err)
		}
		o.limits = append(o.limits, t)
	}
	p := &o.plan
	if cmd.Flags().Changed("requests") || cmd.Flags().Changed("requests-per-client") {
		p.Duration = 0
	}
	if err := firstError(o.rate.resolve(cmd, p), o.start.resolve(cmd, time.Now())); err != nil {
		return err
	}
	p.Connection = loadgen.Connection(o.connection)
	p.ThinkDistribution = loadgen.Distribution(o.thinkDist)
	if p.Retry.On, err = loadgen.ParseRetryOn(o.retryOn); err != nil {
		return usagef("--retry-on: %w", err)
	}
	p.SpreadSources = true // has an effect on loopback targets only
	if p.Header, err = parseHeaders(o.headers); err != nil {
		return err
	}
	if err := o.resolveTarget(args, cmd.Flags().Changed("metrics")); err != nil {
		return err
	}
	if o.ledgerFile != "" {
		p.Ledger = io.Discard // Validate asks whether there is one
	}
	if err := p.Validate(); err != nil {
		return usage(err)
	}
	if o.bodyFile != "" {
		p.Body, err = readBody(cmd.InOrStdin(), o.bodyFile)
	}
	return err
}

func (o *loadOptions) checkFlags(cmd *cobra.Command) error {
	p := &o.plan
	bounds := []error{}
	for name, value := range map[string]int64{"requests": p.Requests, "requests-per-client": p.RequestsPerClient} {
		if cmd.Flags().Changed(name) {
			bounds = append(bounds, atLeast(name, value, 1))
		}
	}
	if o.ledgerFile != "" && filepath.Clean(o.ledgerFile) == filepath.Clean(o.outFile) {
		bounds = append(bounds, usagef("--ledger and --out name the same file"))
	}
	if o.connection != string(loadgen.Keep) && o.connection != string(loadgen.New) {
		bounds = append(bounds, usagef("--connection %s: want keep or new", o.connection))
	}
	if o.thinkDist != string(loadgen.ConstantThink) && o.thinkDist != string(loadgen.ExponentialThink) {
		bounds = append(bounds, usagef("--think-dist %s: want constant or exponential", o.thinkDist))
	}
	if cmd.Flags().Changed("requests-per-connection") {
		bounds = append(bounds, atLeast("requests-per-connection", int64(p.RequestsPerConnection), 1))
	}
	for name, n := range map[string]int{"client-ids": p.ClientIDs, "hosts": p.Hosts} {
		if cmd.Flags().Changed(name) {
			bounds = append(bounds, atLeast(name, int64(n), 1))
		}
	}
	for _, name := range []string{"retry-backoff", "retry-on"} {
		if cmd.Flags().Changed(name) && p.Retry.Max == 0 {
			bounds = append(bounds, usagef("--%s says how to retry; say how often, with --retry", name))
		}
	}
	return firstError(append(bounds,
		notNegative("retry-backoff", p.Retry.Backoff),
		exclusive(cmd, "requests", "requests-per-client", "duration"),
		o.hlog.check(o.outFile, o.ledgerFile),
		exclusive(cmd, "body", "metrics"),
		exclusive(cmd, "json", "format"),
		checkFormat(&o.format, o.json, loadFormats()...),
		checkProgress(o.progress),
		atLeast("clients", int64(p.Clients), 1),
		atLeast("metrics", int64(p.Metrics), 1),
		positive("duration", p.Duration),
		notNegative("think", p.Think),
		positive("deadline", p.Deadline),
		positive("timeout", p.Timeout),
		notNegative("warmup", p.Warmup),
	)...)
}

// resolveTarget takes the URL as it is, else the live server's.
func (o *loadOptions) resolveTarget(args []string, metricsGiven bool) error {
	p := &o.plan
	if len(args) == 1 {
		p.URL = args[0]
		o.subject = record.Subject{Name: args[0], URL: args[0]}
		if !metricsGiven {
			p.Metrics = 0
		}
		return nil
	}
	entry, err := liveServer(registry.Dir(), choice{otherwise: "give a URL", by: "the URL"})
	if err != nil {
		return err
	}
	o.subject = subjectOf(entry)
	p.URL = o.subject.URL
	if o.bodyFile != "" {
		p.Metrics = 0
	}
	return nil
}

func parseHeaders(lines []string) (http.Header, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	header := http.Header{}
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if !found || name == "" {
			return nil, usagef("--header %q: want 'Name: value'", line)
		}
		header.Add(name, strings.TrimSpace(value))
	}
	return header, nil
}

func readBody(stdin io.Reader, name string) ([]byte, error) {
	var body []byte
	var err error
	if name == "-" {
		body, err = io.ReadAll(stdin)
	} else {
		body, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read body %s: %w", name, cause(err))
	}
	if body == nil {
		body = []byte{} // an empty body is a body
	}
	return body, nil
}

// load runs the plan, prints and stores its record, and judges it.
func load(ctx context.Context, stdout, stderr io.Writer, o loadOptions) error {
	var ledger, out *outFile
	var err error
	if o.ledgerFile != "" {
		if ledger, err = createOut(o.ledgerFile); err != nil {
			return err
		}
		o.plan.Ledger = ledger
	}
	defer ledger.Abort()
	if o.outFile != "" {
		if out, err = createOut(o.outFile); err != nil {
			return err
		}
	}
	defer out.Abort()
	if err := o.hlog.create(&o.plan); err != nil {
		return err
	}
	defer o.hlog.abort()

	if err := o.start.wait(ctx, stderr); err != nil {
		return err
	}
	unwatch := watchLoad(stderr, o.progress, &o.plan, o.subject)
	r, err := loadgen.Run(ctx, o.plan)
	unwatch()
	if err != nil {
		return err
	}
	results.JudgeSteady(r)
	r.Tool, r.Subject = toolVersion(), o.subject
	r.Subject.Request = requestText(&o.plan)
	if r.Environment == nil {
		environment := results.CaptureEnvironment()
		environment.Pinning, environment.Sandbox = "none", "off"
		r.Environment = &environment
	}
	if err := errors.Join(printLoad(stdout, o.format, r), keepLoad(r, ledger, out), o.hlog.keep(r)); err != nil {
		return err
	}
	return judgeLoad(ctx, stderr, r, o.limits)
}

// keepLoad stores the ledger and the record where they were asked for.
func keepLoad(r *record.Record, ledger, out *outFile) error {
	var err error
	if ledger != nil {
		err = ledger.Commit()
	}
	if out != nil {
		if encodeErr := writeRecord(out, r); encodeErr != nil {
			return errors.Join(err, fmt.Errorf("write %s: %w", out.target(), cause(encodeErr)))
		}
		err = errors.Join(err, out.Commit())
	}
	return err
}

func writeRecord(w io.Writer, r *record.Record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// judgeLoad is what the exit code tells of a record: no success at all, then
// not valid, then thresholds, then an interruption.
func judgeLoad(ctx context.Context, stderr io.Writer, r *record.Record, limits []results.Threshold) error {
	stopped := interrupted(ctx)
	switch {
	case r.Counts.OK == 0 && (stopped == nil || r.Counts.Failed > 0):
		return noSuccess(r)
	case r.Counts.OK == 0:
		return stopped
	case !r.Verdict.Valid:
		return withExit(exitInvalid, fmt.Errorf("the run is invalid: %s", strings.Join(r.Verdict.Reasons, "; ")))
	}
	figures, breached := results.Figures(r), 0
	for _, t := range limits {
		if breach := t.Breach(figures); breach != "" {
			fmt.Fprintln(stderr, breach)
			breached++
		}
	}
	if breached > 0 {
		return withExit(exitThreshold, fmt.Errorf("%d of %d thresholds breached", breached, len(limits)))
	}
	return stopped
}
