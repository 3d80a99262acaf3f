package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mslab/loadgen"
	"mslab/results/record"
)

// rateOptions are the flags of an open loop.
type rateOptions struct {
	rate           string
	arrival        string
	replayFile     string
	maxConnections int
}

func (o *rateOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.rate, "rate", "R", "", "open loop: requests a second, whatever the server does; FROM:TO for a ramp, A,B,C for steps")
	f.StringVar(&o.arrival, "arrival", "", "when they come due (constant, poisson, ramp, steps, replay); by default as --rate reads")
	f.StringVar(&o.replayFile, "replay", "", "send requests at the times in this file: one a line, since the start, seconds with a decimal point or whole ns")
	f.IntVar(&o.maxConnections, "max-connections", 0, "connections that an open loop may open (default the larger of --clients and 1000)")
	var names []string
	for _, a := range loadgen.Arrivals() {
		names = append(names, string(a))
	}
	_ = cmd.RegisterFlagCompletionFunc("arrival", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

// resolve turns the flags into the plan's open loop; without --rate and
// --replay the plan stays a closed one.
func (o *rateOptions) resolve(cmd *cobra.Command, p *loadgen.Plan) error {
	given := cmd.Flags().Changed
	if !given("rate") && !given("replay") {
		switch {
		case given("arrival"):
			return usagef("--arrival says when the requests of an open loop come due; give --rate, or --replay FILE, too")
		case given("max-connections"):
			return usagef("--max-connections limits an open loop; give --rate, or --replay FILE, too")
		}
		return nil
	}
	if err := firstError(exclusive(cmd, "rate", "replay"), exclusive(cmd, "rate", "think"), exclusive(cmd, "replay", "think"),
		exclusive(cmd, "rate", "requests-per-client"), exclusive(cmd, "replay", "requests-per-client")); err != nil {
		return err
	}
	if given("max-connections") {
		if err := atLeast("max-connections", int64(o.maxConnections), 1); err != nil {
			return err
		}
	}
	p.MaxConnections = o.maxConnections
	if given("replay") {
		return o.resolveReplay(cmd, p)
	}
	return o.resolveRate(p)
}

// resolveRate reads --rate; how it is written tells the arrival, where
// --arrival does not.
func (o *rateOptions) resolveRate(p *loadgen.Plan) error {
	separator, arrival := "", loadgen.Constant
	switch {
	case strings.Contains(o.rate, ":"):
		separator, arrival = ":", loadgen.Ramp
	case strings.Contains(o.rate, ","):
		separator, arrival = ",", loadgen.Steps
	}
	words := []string{o.rate}
	if separator != "" {
		words = strings.Split(o.rate, separator)
	}
	rates := make([]float64, len(words))
	for i, word := range words {
		var err error
		if rates[i], err = strconv.ParseFloat(strings.TrimSpace(word), 64); err != nil {
			return usagef("--rate %s: want requests a second, such as 1000, 100:5000 (ramp) or 100,500,1000 (steps)", o.rate)
		}
	}
	if o.arrival != "" {
		asked := loadgen.Arrival(o.arrival)
		fits := asked == arrival || asked == loadgen.Poisson && separator == "" || asked == loadgen.Steps && separator == ""
		if !fits {
			return usagef("--arrival %s does not go with --rate %s: want %s", o.arrival, o.rate, rateForm(asked))
		}
		arrival = asked
	}
	p.Arrival = arrival
	if p.Rates = rates; arrival == loadgen.Constant || arrival == loadgen.Poisson {
		p.Rate, p.Rates = rates[0], nil
		if p.Rate == 0 {
			return usagef("--rate 0: want more than 0 requests a second")
		}
	}
	return nil
}

func rateForm(a loadgen.Arrival) string {
	switch a {
	case loadgen.Constant, loadgen.Poisson:
		return "one rate, such as --rate 1000"
	case loadgen.Ramp:
		return "the first and the last rate, such as --rate 100:5000"
	case loadgen.Steps:
		return "the rate of each step, such as --rate 100,500,1000"
	case loadgen.Replay:
		return "--replay FILE and no rate"
	}
	return "--arrival constant, poisson, ramp, steps or replay"
}

func (o *rateOptions) resolveReplay(cmd *cobra.Command, p *loadgen.Plan) error {
	if o.arrival != "" && o.arrival != string(loadgen.Replay) {
		return usagef("--arrival %s does not go with --replay", o.arrival)
	}
	p.Arrival = loadgen.Replay
	if !cmd.Flags().Changed("duration") {
		p.Duration = 0 // its own end
	}
	times, err := readReplay(cmd.InOrStdin(), o.replayFile)
	if err != nil {
		return usage(fmt.Errorf("read replay %s: %w", o.replayFile, err))
	}
	p.Replay = times
	return nil
}

// readReplay reads a file of times, or standard input where its name is -.
func readReplay(stdin io.Reader, name string) (times []time.Duration, err error) {
	if name == "-" {
		return loadgen.ParseReplay(stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return loadgen.ParseReplay(f)
}

// loadShape is the load in words: its clients, or its schedule.
func loadShape(l record.Load) string {
	if l.Arrival == "closed" {
		return fmt.Sprintf("%d clients", l.Clients)
	}
	limit := fmt.Sprintf("up to %d connections", l.MaxConnections)
	switch loadgen.Arrival(l.Arrival) {
	case loadgen.Ramp:
		if len(l.Rates) == 2 {
			return fmt.Sprintf("open loop, %g to %g requests/s, %s", l.Rates[0], l.Rates[1], limit)
		}
	case loadgen.Steps:
		words := make([]string, len(l.Rates))
		for i, r := range l.Rates {
			words[i] = fmt.Sprintf("%g", r)
		}
		return fmt.Sprintf("open loop, steps of %s requests/s, %s", strings.Join(words, ", "), limit)
	case loadgen.Replay:
		return fmt.Sprintf("open loop, a replay of %.4g requests/s on average, %s", l.Rate, limit)
	case loadgen.Poisson:
		return fmt.Sprintf("open loop, %g requests/s at random (Poisson), %s", l.Rate, limit)
	}
	return fmt.Sprintf("open loop, %g requests/s, %s", l.Rate, limit)
}

// openLoopText says in words how an open loop went: lines of label and text.
func openLoopText(r *record.Record) [][2]string {
	if r.Load.Arrival == "closed" || r.Load.Arrival == "" {
		return nil
	}
	lines := [][2]string{}
	if s := r.Service; s != nil && s.Count > 0 {
		lines = append(lines, [2]string{"service time, from the send or the connect to the answer", fmt.Sprintf(
			"p50 %s, p90 %s, p99 %s, p99.9 %s, max %s: without the time that requests waited to be sent",
			duration(s.P50), duration(s.P90), duration(s.P99), duration(s.P999), duration(s.Max))})
	}
	offered := fmt.Sprintf("%.1f requests/s asked, %.1f taken up in time", r.Load.Rate, r.Load.AchievedRate)
	if lag := r.Client.SendLag; lag != nil {
		offered += fmt.Sprintf("; send lag p50 %s, p99 %s, max %s", duration(lag.P50), duration(lag.P99), duration(lag.Max))
	}
	lines = append(lines, [2]string{"schedule", offered})
	if n := r.Counts.Waited; n > 0 {
		lines = append(lines, [2]string{"waited", fmt.Sprintf("%d requests found all %d connections busy when they came due; --max-connections allows more", n, r.Load.MaxConnections)})
	}
	return lines
}
