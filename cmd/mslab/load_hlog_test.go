package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"mslab/results/record"
)

// logLine is an interval as the text of a log says it.
type logLine struct {
	tag                  string
	start, length, maxMS float64
}

var (
	intervalLine = regexp.MustCompile(`^Tag=([^, ]+),(\d+\.\d+),(\d+\.\d+),(\d+\.\d+),(HISTFAAA[A-Za-z0-9+/=]+)$`)
	startLine    = regexp.MustCompile(`^#\[StartTime: (\d+\.\d{3}) \(seconds since epoch\), (\S+)\]$`)
)

// parseLog reads a log's text by the format's grammar, without the library: the
// start, and the intervals in their order.
func parseLog(t *testing.T, text string) (start float64, lines []logLine) {
	t.Helper()
	if !strings.Contains(text, "\n#[Histogram log format version 1.3]\n") || !strings.HasSuffix(text, "\n") {
		t.Errorf("no whole log of format 1.3:\n%s", text)
	}
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	legend := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		m := intervalLine.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "#"):
			if s := startLine.FindStringSubmatch(line); s != nil {
				start = number(s[1])
				if at, err := time.Parse(time.RFC3339Nano, s[2]); err != nil || at.UnixMilli() != int64(math.Round(start*1e3)) {
					t.Errorf("the start is %v and %v, %v", s[1], s[2], err)
				}
			}
		case line == `"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"`:
			legend = true
		case m == nil || !legend:
			t.Errorf("neither comment nor legend nor an interval after it: %q", line)
		default:
			lines = append(lines, logLine{m[1], number(m[2]), number(m[3]), number(m[4])})
		}
	}
	if start == 0 || !legend {
		t.Errorf("start %v, legend %v:\n%s", start, legend, text)
	}
	return start, lines
}

// readLog reads a log with the library.
func readLog(t *testing.T, text string) []*hdrhistogram.Histogram {
	t.Helper()
	var found []*hdrhistogram.Histogram
	for reader := hdrhistogram.NewHistogramLogReader(strings.NewReader(text)); ; {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			return found
		}
		found = append(found, h)
	}
}

// checkLog holds a log against the record of the same load, read both ways.
func checkLog(t *testing.T, text string, r *record.Record) (start float64) {
	t.Helper()
	type part struct {
		tag string
		l   *record.Latency
	}
	var want []part
	for _, l := range []*record.Latency{&r.Latency, r.Service} {
		if l == nil {
			continue
		}
		want = append(want, part{l.Kind, l})
		for _, class := range record.Classes {
			if of := l.ByClass[class]; of != nil {
				want = append(want, part{l.Kind + "." + string(class), of})
			}
		}
	}
	start, lines := parseLog(t, text)
	histograms := readLog(t, text)
	if len(lines) != len(want) || len(histograms) != len(want) {
		t.Fatalf("%d lines and %d histograms, want %d:\n%s", len(lines), len(histograms), len(want), text)
	}
	for i, w := range want {
		line, h := lines[i], histograms[i]
		// Milliseconds are what the format's times have.
		if length := float64(r.Little.WindowNS) / 1e9; line.tag != w.tag || line.start != start || math.Abs(line.length-length) > 1.1e-3 {
			t.Errorf("%s begins at %v and lasts %v s; want %s at %v for %v", line.tag, line.start, line.length, w.tag, start, length)
		}
		if max := float64(w.l.Max) / 1e6; math.Abs(line.maxMS-max) > 1e-6 {
			t.Errorf("%s: the longest is %v ms, want %v", w.tag, line.maxMS, max)
		}
		if h.Tag() != w.tag || h.TotalCount() != w.l.Count {
			t.Errorf("the library reads %d of %s, want %d of %s", h.TotalCount(), h.Tag(), w.l.Count, w.tag)
		}
		// It cuts what binary fractions lack of a millisecond.
		if off := h.StartTimeMs() - int64(math.Round(start*1e3)); off < -1 || off > 0 {
			t.Errorf("%s: the library reads a start that is %d ms off", w.tag, off)
		}
		got := []int64{h.ValueAtPercentile(50), h.ValueAtPercentile(90), h.ValueAtPercentile(99), h.ValueAtPercentile(99.9), h.Max()}
		if figures := []int64{w.l.P50, w.l.P90, w.l.P99, w.l.P999, w.l.Max}; !slices.Equal(got, figures) {
			t.Errorf("%s: the library reads %v ns, the record says %v", w.tag, got, figures)
		}
	}
	return start
}

// latencyFor is the description of these times, in ns.
func latencyFor(kind string, times ...int64) record.Latency {
	h := record.NewHistogram()
	for _, ns := range times {
		_ = h.RecordValue(ns)
	}
	return record.NewLatency(h, kind)
}

// TestIntervalLog holds the log of a fixed record of each kind against it.
func TestIntervalLog(t *testing.T) {
	begun := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	refused, late := latencyFor("service", 90_000, 80_000), latencyFor("response", 5_000_000_000)
	closed := latencyFor("service", 1, 1000, 217_000, 526_000, 10_600_000, 600_000_000_000)
	closed.ByClass = map[record.Class]*record.Latency{record.ConnectRefused: &refused}
	open, service := latencyFor("response", 2_000_000, 3_000_000), latencyFor("service", 1_000_000, 1_100_000)
	open.ByClass = map[record.Class]*record.Latency{record.Shed: &late}
	for name, r := range map[string]*record.Record{
		"closed":        {Latency: closed},
		"open":          {Latency: open, Service: &service},
		"nothing is ok": {Latency: latencyFor("service"), Incomplete: true},
	} {
		t.Run(name, func(t *testing.T) {
			r.Little = &record.Little{WindowNS: 3_210_987_654}
			var b bytes.Buffer
			if err := writeIntervalLog(&b, r, begun); err != nil {
				t.Fatal(err)
			}
			if start := checkLog(t, b.String(), r); start != 1767323045.678 {
				t.Errorf("the start is %v, want 1767323045.678", start)
			}
			if r.Incomplete != strings.Contains(b.String(), "#[INCOMPLETE") {
				t.Errorf("incomplete %v, but the log says:\n%s", r.Incomplete, &b)
			}
		})
	}
	t.Run("never begun", func(t *testing.T) {
		var b bytes.Buffer
		r := &record.Record{Started: begun, Incomplete: true, Latency: latencyFor("service"), Little: &record.Little{}}
		if err := writeIntervalLog(&b, r, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if start, lines := parseLog(t, b.String()); start != 1767323045.678 || len(lines) > 0 {
			t.Errorf("start %v with the intervals %v, want none", start, lines)
		}
	})
	t.Run("full", func(t *testing.T) {
		r := &record.Record{Latency: closed, Little: &record.Little{WindowNS: 1}}
		if err := writeIntervalLog(fullWriter{}, r, begun); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v, want that there is no space", err)
		}
	})
}

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestIntervalLogOfLoads holds what a load writes against its own record, and its
// start against the clock.
func TestIntervalLogOfLoads(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skipf("not supported on %s: the phases are built on Linux system calls", runtime.GOOS)
	}
	dir := t.TempDir()
	url := serveForTest(t, dir, syscall.SIGTERM)
	for name, args := range map[string][]string{
		"closed":    {"-n", "2000", "-c", "4"},
		"warmed up": {"-d", "300ms", "--warmup", "300ms", "-c", "4"},
		"open":      {"--rate", "1000", "-d", "500ms"},
		"failed":    {"-n", "20", url + "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			before := time.Now()
			cmd, _, stderr := start(t, dir, append([]string{"load", "--hlog", "load.hlog", "-o", "record.json"}, args...)...)
			_ = cmd.Wait() // all that failed is exit 1
			after := time.Now()
			r, err := record.Open(filepath.Join(dir, "record.json"))
			if err != nil {
				t.Fatalf("%v; stderr: %s", err, stderr)
			}
			text, err := os.ReadFile(filepath.Join(dir, "load.hlog"))
			if err != nil {
				t.Fatalf("%v; stderr: %s", err, stderr)
			}
			begun := checkLog(t, string(text), r)
			earliest := float64(before.UnixMilli())/1e3 + r.Load.WarmupS
			if latest := float64(after.UnixMilli())/1e3 - r.Load.DurationS; begun < earliest || begun > latest {
				t.Errorf("the window begins at %.3f, want %.3f to %.3f", begun, earliest, latest)
			}
		})
	}
}
