package main

import (
	"strings"
	"time"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
)

// loadView shows a load.
type loadView struct {
	words    []string // what is loaded, and how
	warmup   time.Duration
	duration time.Duration // 0: the number of requests bounds the load
	requests int64

	now     loadgen.Progress
	told    time.Time // when now was
	samples samples
}

func newLoadView(p *loadgen.Plan, of record.Subject) *loadView {
	offered := offeredLoad(p.Clients, p.Rate, p.Rates)
	v := &loadView{words: []string{of.Name, offered}, warmup: p.Warmup, duration: p.Duration, requests: p.Requests}
	if of.Phase != nil {
		v.words = []string{results.SubjectPlan{Subject: of}.Title(), offered, p.URL}
	}
	if p.RequestsPerClient > 0 {
		v.requests = p.RequestsPerClient * int64(p.Clients)
	}
	return v
}

// offeredLoad says what a load offers: clients, or in an open loop requests/s.
func offeredLoad(clients int, rate float64, rates []float64) string {
	switch {
	case rate > 0:
		return results.FormatCount(rate) + " requests/s"
	case len(rates) > 0:
		return results.FormatCount(rates[0]) + "-" + results.FormatCount(rates[len(rates)-1]) + " requests/s"
	}
	return plural(clients, "client")
}

func (v *loadView) update(now loadgen.Progress, at time.Time) {
	if now.Warmup != v.now.Warmup {
		v.samples.add(sample{gap: true})
	}
	failed := now.Failed > v.now.Failed && now.Warmup == v.now.Warmup
	v.samples.add(sample{rate: now.RPS, p50: now.P50, p99: now.P99, failed: failed})
	v.now, v.told = now, at
}

// progress is how much of the load is over, as a fraction, and how much time is
// left; that is not known before the first answers to a load that requests bound.
func (v *loadView) progress(at time.Time) (fraction float64, left time.Duration, known bool) {
	elapsed := time.Duration(0) // of this stretch
	if !v.told.IsZero() {
		elapsed = v.now.Elapsed + at.Sub(v.told)
	}
	if v.duration > 0 {
		if v.now.Warmup {
			elapsed = min(elapsed, v.warmup)
		} else if !v.told.IsZero() {
			elapsed += v.warmup
		}
		all := v.warmup + v.duration
		return share(float64(elapsed), float64(all)), all - min(elapsed, all), true
	}
	if !v.now.Warmup {
		fraction = share(float64(v.now.OK+v.now.Failed), float64(v.requests))
	}
	if fraction == 0 {
		return 0, 0, false
	}
	return fraction, max(time.Duration(float64(v.now.Elapsed)/fraction)-elapsed, 0), true
}

func (v *loadView) view(columns, rows int, at time.Time) string {
	fraction, left, known := v.progress(at)
	right := ""
	if known {
		right = shortDuration(left) + " left"
	}
	if v.now.Warmup {
		right = strings.TrimSpace("warm-up  " + right)
	}
	ns := func(d time.Duration) string {
		if d == 0 {
			return "-"
		}
		return results.FormatNS(float64(d))
	}
	rate, p50, p99 := v.now.RPS, v.now.P50, v.now.P99
	if second := v.now.Second; second.OK > 0 { // steadier
		rate, p50, p99 = float64(second.OK), time.Duration(second.P50), time.Duration(second.P99)
	}
	counts := []string{"sent " + results.FormatCount(float64(v.now.Sent)), "ok " + results.FormatCount(float64(v.now.OK)),
		"failed " + results.FormatCount(float64(v.now.Failed)), "in flight " + results.FormatCount(float64(v.now.InFlight))}
	return stack(rows,
		part{0, spread(v.words, right, columns)},
		part{1, bar(fraction, columns)},
		part{7, ""},
		part{0, v.samples.rateChart(results.FormatCount(rate), columns)},
		part{3, v.samples.p50Chart(ns(p50), columns)},
		part{0, v.samples.p99Chart(ns(p99), columns)},
		part{6, ""},
		part{2, joinFitting(counts, columns)},
		part{v.errorsRank(), errorLine(v.now.ByClass, columns)},
	)
}

// errorsRank lets errors stand where there is little room, and "no errors" go.
func (v *loadView) errorsRank() int {
	if v.now.Failed > 0 {
		return 0
	}
	return 5
}

// joinFitting puts words in a line, as many as there is room for.
func joinFitting(words []string, columns int) string {
	line := words[0]
	for _, word := range words[1:] {
		if next := line + "  " + word; len(next) <= columns {
			line = next
		}
	}
	return fit(line, columns)
}

// part is a line of a view. Where rows are few the highest ranks go first.
type part struct {
	rank int
	line string
}

// stack puts lines below each other, as many as there are rows for.
func stack(rows int, parts ...part) string {
	for len(parts) > max(rows, 1) {
		worst := len(parts) - 1
		for i := len(parts) - 1; i >= 0; i-- {
			if parts[i].rank > parts[worst].rank {
				worst = i
			}
		}
		parts = append(parts[:worst:worst], parts[worst+1:]...)
	}
	lines := make([]string, len(parts))
	for i, p := range parts {
		lines[i] = p.line
	}
	return strings.Join(lines, "\n")
}
