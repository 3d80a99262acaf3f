package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"mslab/bench/harness"
	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
)

type options struct {
	rounds   int
	duration time.Duration
	stop     time.Duration
	serve    string
	only     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, stdout, stderr io.Writer, args []string) int {
	var o options
	flags := flag.NewFlagSet("open-loop", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 5, "times each load is played; medians are shown")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "length of a load at a rate or against delays")
	flags.DurationVar(&o.stop, "stop", 2*time.Second, "how long the server is stopped, of ten times as long")
	flags.StringVar(&o.only, "only", "rate,delays,stop", "which of the three to play")
	flags.StringVar(&o.serve, "serve", "", "be the server, with these delays (for the program's own use)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 || o.rounds < 1 || o.duration <= 0 || o.stop <= 0 {
		fmt.Fprintln(stderr, "open-loop: takes no arguments, and positive rounds and durations")
		return 2
	}
	err := error(nil)
	if o.serve != "" {
		err = serve(stdout, o.serve)
	} else {
		err = o.play(ctx, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "open-loop:", err)
		return 1
	}
	return 0
}

func (o options) play(ctx context.Context, stdout, stderr io.Writer) error {
	var tables []results.Table
	for _, part := range []struct {
		name string
		play func(context.Context, io.Writer) (results.Table, error)
	}{{"rate", o.rates}, {"delays", o.delays}, {"stop", o.stopped}} {
		if !strings.Contains(o.only, part.name) {
			continue
		}
		t, err := part.play(ctx, stderr)
		if err != nil {
			return fmt.Errorf("play %s: %w", part.name, err)
		}
		tables = append(tables, t)
	}
	return results.Render(stdout, "table", tables)
}

// offer runs a load on a server of its own.
func offer(ctx context.Context, delays string, p loadgen.Plan, with func(*child)) (*record.Record, *child, error) {
	c, err := startChild(ctx, delays)
	if err != nil {
		return nil, nil, err
	}
	p.URL, p.Timeout = c.url, time.Minute
	if with != nil {
		p.Begun = func(time.Time) { go with(c) }
	}
	unpin, err := harness.PinSelf(harness.ClientCore)
	if err != nil {
		return nil, nil, errors.Join(err, c.end())
	}
	r, err := loadgen.Run(ctx, p)
	err = errors.Join(err, unpin(), c.end())
	if err == nil && r.Counts.OK != r.Counts.Sent {
		err = fmt.Errorf("%d of %d requests failed: %v", r.Counts.Failed, r.Counts.Sent, r.Counts.ByClass)
	}
	return r, c, err
}

func ms(ns float64) results.Cell { return results.FigureCell(ns, results.FormatNS) }

func share(v float64) string { return fmt.Sprintf("%+.3f %%", 100*v) }

// rates offers half of what the pair of generator and server can do, and two
// rates that any machine keeps.
func (o options) rates(ctx context.Context, stderr io.Writer) (results.Table, error) {
	t := results.Table{Title: "the rate that is kept", Columns: []results.Column{
		{Key: "rate", Title: "asked", Left: true}, {Key: "achieved", Title: "achieved"}, {Key: "off", Title: "off by"},
		{Key: "lag_p50", Title: "send lag p50", Unit: "ns"}, {Key: "lag_p99", Title: "p99", Unit: "ns"}, {Key: "lag_max", Title: "max", Unit: "ns"},
		{Key: "response_p99", Title: "response p99", Unit: "ns"}, {Key: "cpu", Title: "CPU/request", Unit: "ns"}, {Key: "spin", Title: "of it spinning", Unit: "ns"},
	}}
	closed, _, err := offer(ctx, "0s", loadgen.Plan{Clients: 16, Duration: time.Second, Warmup: 200 * time.Millisecond}, nil)
	if err != nil {
		return t, err
	}
	half := float64(int(closed.RPS.OK/200) * 100)
	for _, rate := range []float64{1000, 10000, half} {
		var records []*record.Record
		for range o.rounds {
			r, _, err := offer(ctx, "0s", loadgen.Plan{Clients: 16, Rate: rate, Duration: o.duration, Warmup: 200 * time.Millisecond}, nil)
			if err != nil {
				return t, err
			}
			fmt.Fprintf(stderr, "%.0f/s: achieved %.1f, send lag %+v\n", rate, r.Load.AchievedRate, *r.Client.SendLag)
			records = append(records, r)
		}
		of := func(figure func(*record.Record) float64) float64 { return medianOf(records, figure) }
		achieved := of(func(r *record.Record) float64 { return r.Load.AchievedRate })
		t.Rows = append(t.Rows, []results.Cell{
			results.TextCell(fmt.Sprintf("%.0f/s", rate)), results.TextCell(fmt.Sprintf("%.1f/s", achieved)), results.TextCell(share(achieved/rate - 1)),
			ms(of(func(r *record.Record) float64 { return float64(r.Client.SendLag.P50) })),
			ms(of(func(r *record.Record) float64 { return float64(r.Client.SendLag.P99) })),
			ms(of(func(r *record.Record) float64 { return float64(r.Client.SendLag.Max) })),
			ms(of(func(r *record.Record) float64 { return float64(r.Latency.P99) })),
			ms(of(func(r *record.Record) float64 { return r.Client.CPUPerRequest })),
			ms(of(func(r *record.Record) float64 { return r.Client.SpinPerRequest })),
		})
	}
	t.Notes = append(t.Notes, fmt.Sprintf("In a closed loop of 16 clients the pair does %.0f requests/s; the last row is half of it. Goals: within 0.1 %%, p99 of the send lag at most 100 µs.", closed.RPS.OK))
	return t, nil
}

var percentiles = []float64{50, 90, 99, 99.9}

// delays holds the response times against those that the server has timed.
func (o options) delays(ctx context.Context, stderr io.Writer) (results.Table, error) {
	t := results.Table{Title: "response times against the delays that the server made and timed itself", Columns: []results.Column{
		{Key: "delays", Title: "delays", Left: true}, {Key: "percentile", Title: "percentile"},
		{Key: "server", Title: "server", Unit: "ns"}, {Key: "response", Title: "response", Unit: "ns"}, {Key: "service", Title: "service", Unit: "ns"},
		{Key: "off", Title: "response off by"}, {Key: "allowed", Title: "allowed", Unit: "ns"},
	}}
	for _, kind := range []struct{ name, delays string }{
		{"5ms", "5ms"},
		// One in twenty, so that no percentile lies at the step between the two.
		{"2ms or 20ms", strings.Repeat("2ms,", 19) + "20ms"},
	} {
		off := make([][3][]float64, len(percentiles))
		for range o.rounds {
			r, c, err := offer(ctx, kind.delays, loadgen.Plan{Clients: 32, Rate: 500, Duration: o.duration}, nil)
			if err != nil {
				return t, err
			}
			response, err := r.Latency.Histogram()
			if err != nil {
				return t, err
			}
			service, err := r.Service.Histogram()
			if err != nil {
				return t, err
			}
			for i, p := range percentiles {
				for j, v := range []int64{c.percentile(p), response.ValueAtPercentile(p), service.ValueAtPercentile(p)} {
					off[i][j] = append(off[i][j], float64(v))
				}
			}
			fmt.Fprintf(stderr, "%s: response p50 %v, p99 %v; the server's %v, %v\n", kind.name, time.Duration(r.Latency.P50), time.Duration(r.Latency.P99),
				time.Duration(c.percentile(50)), time.Duration(c.percentile(99)))
		}
		for i, p := range percentiles {
			server, response, service := median(off[i][0]), median(off[i][1]), median(off[i][2])
			t.Rows = append(t.Rows, []results.Cell{
				results.TextCell(kind.name), results.TextCell(fmt.Sprintf("p%g", p)), ms(server), ms(response), ms(service),
				results.TextCell(fmt.Sprintf("%+.0f µs", (response-server)/1e3)), ms(0.02*server + 50e3),
			})
		}
	}
	t.Notes = append(t.Notes, "Goal: within 2 % + 50 µs. One in twenty of the second kind takes 20 ms.")
	return t, nil
}

// stopped holds the response times against the analytic answer for a server
// that does nothing for a tenth of the time.
func (o options) stopped(ctx context.Context, stderr io.Writer) (results.Table, error) {
	t := results.Table{Title: fmt.Sprintf("a server stopped for %v of %v, 200 requests/s", o.stop, 10*o.stop), Columns: []results.Column{
		{Key: "connections", Title: "connections", Left: true}, {Key: "percentile", Title: "percentile"}, {Key: "analytic", Title: "analytic", Unit: "ns"},
		{Key: "response", Title: "response", Unit: "ns"}, {Key: "off", Title: "off by"}, {Key: "service", Title: "service", Unit: "ns"},
		{Key: "without", Title: "without the stop", Unit: "ns"},
	}}
	duration := 10 * o.stop
	for _, connections := range []int{8, 1000} {
		plan := loadgen.Plan{Clients: 8, MaxConnections: connections, Rate: 200, Duration: duration}
		calm, _, err := offer(ctx, "0s", plan, nil)
		if err != nil {
			return t, err
		}
		length := make(chan time.Duration, 1)
		r, _, err := offer(ctx, "0s", plan, func(c *child) {
			time.Sleep(3 * o.stop)
			length <- c.stopFor(o.stop)
		})
		if err != nil {
			return t, err
		}
		stop := <-length
		fmt.Fprintf(stderr, "%d connections, stopped for %v: response p99 %v, service p99 %v\n", connections, stop, time.Duration(r.Latency.P99), time.Duration(r.Service.P99))
		response, err := r.Latency.Histogram()
		if err != nil {
			return t, err
		}
		service, err := r.Service.Histogram()
		if err != nil {
			return t, err
		}
		without, err := calm.Latency.Histogram()
		if err != nil {
			return t, err
		}
		for _, p := range []float64{50, 95, 99, 99.9} {
			got := float64(response.ValueAtPercentile(p))
			// The share p of the requests is answered within this.
			want := float64(stop) - (1-p/100)*float64(duration)
			analytic, off := ms(want), share(got/want-1)
			if want <= 0 {
				want = float64(without.ValueAtPercentile(p))
				analytic, off = results.TextCell("as without"), fmt.Sprintf("%+.0f µs", (got-want)/1e3)
			}
			t.Rows = append(t.Rows, []results.Cell{
				results.TextCell(fmt.Sprint(connections)), results.TextCell(fmt.Sprintf("p%g", p)), analytic, ms(got), results.TextCell(off),
				ms(float64(service.ValueAtPercentile(p))), ms(float64(without.ValueAtPercentile(p))),
			})
		}
	}
	t.Notes = append(t.Notes, "Goal: p95, p99 and p99.9 within 2 %, p50 within 1 ms of the run without the stop. With 8 connections the service time hides the stop: few requests were sent into it.")
	return t, nil
}
