package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/HdrHistogram/hdrhistogram-go"

	"mslab/results"
	"mslab/results/record"
)

const (
	// chartColumns is what a terminal shows without wrapping.
	chartColumns = 80
	// Where the tables leave room, a histogram takes as many rows as still show
	// more; it keeps so many that two peaks stand apart.
	mostBars  = 12
	leastBars = 5
)

// screenRows is how high the screen is that w shows, that of a VT100 where w is
// none.
func screenRows(w io.Writer) int {
	rows := 24
	if f, ok := plainWriter(w).(*os.File); ok && isTerminal(f) {
		_, rows = terminalSize(f)
	}
	return rows
}

// loadChart draws how latencies spread, and how a load went second by second, in
// about so many lines; "" where there is nothing to draw.
func loadChart(r *record.Record, lines int) string {
	course := courseOf(r)
	if course != "" {
		course += "\n"
		lines--
	}
	words := struckWords(r.Verdict)
	if words != "" {
		lines--
	}
	spread := latencyBars(r.Latency, min(max(lines-1, leastBars), mostBars))
	if spread+course == "" {
		return ""
	}
	return "\n" + words + spread + course
}

// struckWords says of drawings, which cannot be struck out, that the tables'
// figures are.
func struckWords(v record.Verdict) string {
	switch {
	case !v.Valid:
		return "(not valid, as the figures above:)\n"
	case !v.Comparable:
		return "(not comparable, as the figures above:)\n"
	}
	return ""
}

// latencyBar is a row of a histogram: how many requests took at most so long, and
// longer than the row before says.
type latencyBar struct {
	upTo  int64 // ns
	count int64
}

// latencyBars draws a histogram of the ok requests: bounds that rise by one
// factor from the shortest to the longest, a bar, the count, and the share of all
// that took no longer.
func latencyBars(l record.Latency, rows int) string {
	bars := spreadLatency(l, rows)
	bounds, counts := make([]string, len(bars)), make([]string, len(bars))
	boundColumns, countColumns := 0, 0
	var most int64
	for i, b := range bars {
		bounds[i], counts[i] = duration(b.upTo), results.FormatCount(float64(b.count))
		boundColumns, countColumns = max(boundColumns, lipgloss.Width(bounds[i])), max(countColumns, len(counts[i]))
		most = max(most, b.count)
	}
	const shareColumns = len(">99.99 %")
	columns := chartColumns - len("≤ ") - boundColumns - countColumns - shareColumns - 3*len("  ")
	var text strings.Builder
	var sum int64
	for i, b := range bars {
		sum += b.count
		eighths := int(math.Round(float64(b.count) / float64(most) * float64(8*columns)))
		if b.count > 0 {
			eighths = max(eighths, 1) // few are not none
		}
		fmt.Fprintf(&text, "≤ %s  %s  %*s  %*s\n", padLeft(bounds[i], boundColumns), pad(blocks(eighths), columns),
			countColumns, counts[i], shareColumns, results.FormatShare(float64(sum)/float64(l.Count))+" %")
	}
	return text.String()
}

// spreadLatency counts requests between bounds that rise by one factor. There are
// fewer rows where bounds would read the same.
func spreadLatency(l record.Latency, rows int) []latencyBar {
	h, err := l.Histogram()
	if err != nil || h.TotalCount() == 0 {
		return nil
	}
	buckets := slices.DeleteFunc(h.Distribution(), func(b hdrhistogram.Bar) bool { return b.Count == 0 })
	least, most := buckets[0].To, h.Max()
	var bars []latencyBar
	last := ""
	for i := 1; i < rows; i++ {
		bound := threeDigits(float64(least) * math.Pow(float64(most)/float64(least), float64(i)/float64(rows)))
		if text := duration(bound); bound >= least && text != last && text != duration(most) {
			bars, last = append(bars, latencyBar{upTo: bound}), text
		}
	}
	bars = append(bars, latencyBar{upTo: most})
	at := 0
	for _, bucket := range buckets {
		for bucket.To > bars[at].upTo {
			at++
		}
		bars[at].count += bucket.Count
	}
	return bars
}

// threeDigits cuts ns to what is printed of it, so that a bound says the truth.
func threeDigits(ns float64) int64 {
	unit := int64(1)
	for ns/float64(unit) >= 1000 {
		unit *= 10
	}
	return int64(ns) / unit * unit
}

func padLeft(text string, columns int) string {
	return strings.Repeat(" ", max(columns-lipgloss.Width(text), 0)) + text
}

// courseOf draws the whole seconds of a load on one line; "" where there are fewer
// than two, where nothing went well, or where the load was cut in slices, which
// fill no seconds.
func courseOf(r *record.Record) string {
	seconds := wholeSeconds(r)
	ok := slices.ContainsFunc(seconds, func(s record.Second) bool { return s.OK > 0 })
	if len(seconds) < 2 || len(r.Slices) > 0 || !ok {
		return ""
	}
	// Of more seconds than there are columns neighbours are drawn as one.
	for each := (2*len(seconds) + chartColumns - 1) / chartColumns; ; each++ {
		if line := drawCourse(seconds, each); lipgloss.Width(line) <= chartColumns {
			return line
		}
	}
}

// drawCourse draws ok requests a second and their p99, each from 0 to its
// highest.
func drawCourse(seconds []record.Second, each int) string {
	glances := joinSeconds(seconds, each)
	rate, p99 := 0.0, time.Duration(0)
	for _, g := range glances {
		rate, p99 = max(rate, g.rate), max(p99, g.p99)
	}
	plain := ink{} // it may go to a file
	line := fmt.Sprintf("ok/s %s max %s   p99 %s max %s",
		glances.sparkline(len(glances), plain, func(v sample) float64 { return v.rate }), results.FormatCount(rate),
		glances.sparkline(len(glances), plain, func(v sample) float64 { return float64(v.p99) }), duration(int64(p99)))
	if each > 1 {
		line += "   (" + shortDuration(time.Duration(each)*time.Second) + " each)"
	}
	return line
}

// wholeSeconds are the seconds of the measured time, those in which nothing ended
// too. What ended after it, or in a second that was cut, fills none.
func wholeSeconds(r *record.Record) []record.Second {
	const longest = 7 * 24 * 3600 // a record of years is wrong, and not to be drawn
	if r.Load.DurationS > longest {
		return nil
	}
	seconds := make([]record.Second, int(r.Load.DurationS+1e-9))
	for _, s := range r.Series {
		if s.T < len(seconds) {
			seconds[s.T] = s
		}
	}
	return seconds
}

// joinSeconds makes one glance of so many seconds: their mean rate and, since
// percentiles have no mean, the highest p99.
func joinSeconds(seconds []record.Second, each int) samples {
	var out samples
	for from := 0; from < len(seconds); from += each {
		group := seconds[from:min(from+each, len(seconds))]
		var g sample
		for _, s := range group {
			g.rate += float64(s.OK) / float64(len(group))
			g.p99 = max(g.p99, time.Duration(s.P99))
		}
		out = append(out, g)
	}
	return out
}
