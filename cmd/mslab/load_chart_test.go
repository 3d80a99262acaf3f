package main

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"charm.land/lipgloss/v2"
	"github.com/creack/pty"

	"mslab/results/record"
)

// chartRecord is a closed loop of these latencies and seconds.
func chartRecord(l record.Latency, seconds ...record.Second) *record.Record {
	r := &record.Record{
		Subject: record.Subject{Name: "server", URL: "http://127.0.0.1:8080/metrics"},
		Load:    record.Load{Clients: 10, Arrival: "closed", Connection: "keep", DurationS: float64(len(seconds)), DeadlineNS: 250e6},
		Counts:  record.Counts{Sent: l.Count, Answered: l.Count, OK: l.Count, ByClass: map[record.Class]int64{record.OK: l.Count}, WithinDeadline: l.Count, Connects: 10},
		RPS:     record.RPS{OK: float64(l.Count) / max(float64(len(seconds)), 1)},
		Latency: l, Series: seconds,
		Client:  record.Client{CPUPerRequest: 13_500, SchedLagP99: 14_000_000},
		Verdict: record.Verdict{Valid: true, Comparable: true, Reasons: []string{}},
	}
	first := latencyFor("service", 49_200_000, 52_500_000)
	r.FirstWait = &first
	r.Finalize()
	return r
}

// twoPeaks are 10,000 requests around 200 µs and 1,000 around 40 ms.
func twoPeaks() record.Latency {
	random := rand.New(rand.NewPCG(1, 2))
	h := record.NewHistogram()
	for range 10_000 {
		_ = h.RecordValue(int64(200e3 * math.Exp(0.25*random.NormFloat64())))
	}
	for range 1000 {
		_ = h.RecordValue(int64(40e6 * math.Exp(0.1*random.NormFloat64())))
	}
	return record.NewLatency(h, "service")
}

// course are seconds that rise, with one of a stall and a tail in it.
func course(n int) []record.Second {
	seconds := make([]record.Second, n)
	for i := range seconds {
		seconds[i] = record.Second{T: i, OK: int64(1000 + 100*min(i, 20)), P50: 200_000, P99: int64(1_000_000 + 50_000*(i%7))}
	}
	if n > 4 {
		seconds[3] = record.Second{T: 3, Failed: 10}
		seconds[4].P99 = 1_000_000_000
	}
	return seconds
}

func TestLoadChart(t *testing.T) {
	unlike := chartRecord(twoPeaks(), course(3)...)
	unlike.Verdict.Comparable = false
	invalid := chartRecord(twoPeaks(), course(3)...)
	invalid.Verdict.Valid, invalid.Verdict.Comparable = false, false
	sliced := chartRecord(twoPeaks(), course(3)...)
	sliced.Slices = []record.Slice{{}, {}}
	cut := chartRecord(twoPeaks(), course(3)...)
	cut.Load.DurationS, cut.Incomplete = 2.4, true
	for name, c := range map[string]struct {
		r     *record.Record
		lines int
	}{
		"chart-two-peaks":      {chartRecord(twoPeaks(), course(10)...), 14},
		"chart-few-lines":      {chartRecord(twoPeaks(), course(10)...), 0},
		"chart-one-value":      {chartRecord(latencyFor("service", 1_000_000, 1_000_000, 1_000_000)), 14},
		"chart-two-values":     {chartRecord(latencyFor("service", 1, 600_000_000_000), course(2)...), 14},
		"chart-narrow":         {chartRecord(latencyFor("service", 1_000_000, 1_001_500, 1_003_000)), 14},
		"chart-1s":             {chartRecord(twoPeaks(), course(1)...), 9},
		"chart-10-minutes":     {chartRecord(twoPeaks(), course(600)...), 9},
		"chart-not-comparable": {unlike, 9},
		"chart-not-valid":      {invalid, 9},
		"chart-sliced":         {sliced, 9},
		"chart-cut":            {cut, 9},
	} {
		chart := loadChart(c.r, c.lines)
		if !strings.HasPrefix(chart, "\n") || !strings.HasSuffix(chart, "\n") {
			t.Errorf("%s: not set apart by one empty line:\n%q", name, chart)
			continue
		}
		if n := strings.Count(chart, "\n"); c.lines > 0 && n > c.lines {
			t.Errorf("%s: %d lines where there is room for %d", name, n, c.lines)
		}
		checkView(t, name, strings.Trim(chart, "\n"), chartColumns, 24)
	}
}

// TestNothingToDraw wants nothing drawn, and no panic, of what has no latency.
func TestNothingToDraw(t *testing.T) {
	failed := chartRecord(latencyFor("service"), record.Second{Failed: 5}, record.Second{T: 1, Failed: 3})
	torn := chartRecord(record.Latency{Count: 5, HDR: "no histogram"})
	ages := chartRecord(record.Latency{}, course(3)...)
	ages.Load.DurationS = 1e300
	for name, r := range map[string]*record.Record{"none": {}, "failed": failed, "torn": torn, "ages": ages} {
		if chart := loadChart(r, 14); chart != "" {
			t.Errorf("%s: drawn:\n%s", name, chart)
		}
	}
}

// TestSpreadLatency holds the rows against the times themselves, which a
// histogram knows to a thousandth.
func TestSpreadLatency(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct{ middle, sigma float64 }{{200e3, 1}, {50, 0.5}, {3e9, 0.01}, {1e6, 4}, {1, 0.1}} {
		times := make([]int64, 5000)
		for i := range times {
			times[i] = record.Clamp(int64(c.middle * math.Exp(c.sigma*random.NormFloat64())))
		}
		l := latencyFor("service", times...)
		for _, rows := range []int{1, leastBars, mostBars} {
			bars := spreadLatency(l, rows)
			if len(bars) == 0 || len(bars) > rows || bars[len(bars)-1].upTo != l.Max {
				t.Fatalf("%v: %d rows, want at most %d up to %d: %v", c, len(bars), rows, l.Max, bars)
			}
			var sum int64
			for i, b := range bars {
				if sum += b.count; i > 0 && b.upTo <= bars[i-1].upTo {
					t.Errorf("%v: the bounds do not rise: %v", c, bars)
				}
				atMost := func(bound float64) (n int64) {
					for _, ns := range times {
						if float64(ns) <= bound {
							n++
						}
					}
					return n
				}
				if low, high := atMost(float64(b.upTo)*0.999-1), atMost(float64(b.upTo)); sum < low || sum > high {
					t.Errorf("%v: %d took up to %d ns, want %d to %d", c, sum, b.upTo, low, high)
				}
			}
			if sum != l.Count {
				t.Errorf("%v: the rows hold %d requests of %d", c, sum, l.Count)
			}
		}
	}
}

// TestLoadFitsItsScreen wants a plain load on about one screen, more rows where
// the screen has them, and no line that wraps, however the load ended.
func TestLoadFitsItsScreen(t *testing.T) {
	closed := chartRecord(twoPeaks(), course(10)...)
	open := chartRecord(twoPeaks(), course(600)...)
	open.Load.Arrival, open.Load.Rate, open.Load.AchievedRate, open.Load.MaxConnections = "constant", 30_000, 29_999.9, 1000
	open.Counts.Sent, open.Counts.Failed = open.Counts.OK+3, 3
	service := twoPeaks()
	open.Latency.Kind, open.Service = "response", &service
	open.Client.SendLag = &record.SendLag{P50: 826, P99: 3_170_000, Max: 7_030_000}
	open.Counts.Waited = 12_345
	open.Latency.ByClass, service.ByClass = map[record.Class]*record.Latency{}, map[record.Class]*record.Latency{}
	late := latencyFor("response", 5_000_000_000)
	for _, class := range []record.Class{record.Shed, record.ReadTimeout, record.Status503} {
		open.Counts.ByClass[class], open.Latency.ByClass[class] = 1, &late
		if class != record.Shed { // never sent
			service.ByClass[class] = &late
		}
	}
	open.Counts.Answered++
	open.Verdict = record.Verdict{Reasons: []string{"the generator fell behind its schedule by more than can be told in a single line of a screen"}}
	for name, c := range map[string]struct {
		r           *record.Record
		rows, lines int // of the screen; at most as many are used, 0: some more
		bars        int
	}{
		"closed":             {closed, 24, 24, leastBars},
		"closed, high":       {closed, 28, 27, 8},
		"closed, very high":  {closed, 80, 80, mostBars},
		"open":               {open, 24, 0, leastBars},
		"open, on much room": {open, 60, 59, mostBars},
	} {
		text := printedOn(t, c.r, c.rows)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		for _, line := range lines {
			if n := lipgloss.Width(line); n > 80 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
		if n := strings.Count(text, "≤ "); n != c.bars {
			t.Errorf("%s: %d rows in the histogram, want %d", name, n, c.bars)
		}
		if c.lines > 0 && len(lines) > c.lines {
			t.Errorf("%s: %d lines, want at most %d", name, len(lines), c.lines)
		}
		if t.Failed() {
			t.Log(text)
		}
	}
	var file bytes.Buffer
	if err := printLoad(&file, formatTable, closed); err != nil || file.String() != printedOn(t, closed, 24) {
		t.Errorf("what a file gets is not what a screen of 24 lines does, %v:\n%s", err, &file)
	}
	for _, format := range []string{formatJSON, formatCSV, formatMarkdown} {
		file.Reset()
		if err := printLoad(&file, format, closed); err != nil || strings.ContainsAny(file.String(), "▁█") {
			t.Errorf("%s has a drawing, %v:\n%s", format, err, &file)
		}
	}
}

// printedOn is what a terminal of so many rows is given.
func printedOn(t *testing.T, r *record.Record, rows int) string {
	t.Helper()
	t.Setenv("TERM", "xterm")
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	defer terminal.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Cols: 80, Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		all, _ := io.ReadAll(terminal) // it ends with an error once the other end is closed
		read <- string(all)
	}()
	path := filepath.Join(t.TempDir(), "record.json")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	code := run(t.Context(), strings.NewReader(""), tty, &stderr, []string{"results", "show", path})
	if err := tty.Close(); err != nil || code != exitFine {
		t.Errorf("exit %d, %v: %s", code, err, &stderr)
	}
	return strings.ReplaceAll(<-read, "\r\n", "\n")
}
