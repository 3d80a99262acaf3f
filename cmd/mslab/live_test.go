package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
	"mslab/scenarios"
)

var updateViews = flag.Bool("update-views", false, "write the golden views anew")

var styling = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// startOfRun is when the views' run begins.
var startOfRun = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// viewSizes are a terminal as it opens, a tiny one and a wide one.
var viewSizes = [][2]int{{80, 24}, {40, 10}, {120, 40}}

// checkView holds a view against its golden file, and against its window.
func checkView(t *testing.T, name, view string, columns, rows int) {
	t.Helper()
	plain := styling.ReplaceAllString(view, "")
	lines := strings.Split(plain, "\n")
	if len(lines) > rows {
		t.Errorf("%s: %d lines in %d rows:\n%s", name, len(lines), rows, plain)
	}
	for i, line := range lines {
		if n := lipgloss.Width(line); n > columns {
			t.Errorf("%s: line %d is %d columns wide, not %d: %s", name, i+1, n, columns, line)
		}
		lines[i] = strings.TrimRight(line, " ")
	}
	plain = strings.Join(lines, "\n") + "\n"
	if strings.ContainsAny(plain, "\x1b\t\r") {
		t.Errorf("%s: control characters besides styles: %q", name, plain)
	}
	path := filepath.Join("testdata", "live", fmt.Sprintf("%s-%dx%d.txt", name, columns, rows))
	if *updateViews {
		if err := os.WriteFile(path, []byte(plain), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if plain != string(want) {
		t.Errorf("%s at %d x %d:\n%s\nwant:\n%s", name, columns, rows, plain, want)
	}
}

// player tells a view of a run what one would.
type viewPlayer struct {
	view *runView
	at   time.Time
	left time.Duration
}

func (p *viewPlayer) tell(e scenarios.Event) { p.view.update(e, p.at) }

func (p *viewPlayer) wait(d time.Duration) { p.at, p.left = p.at.Add(d), max(p.left-d, 0) }

// slice plays a slice of a second of a subject that takes cpu ns a request;
// failed is how many of its requests are shed.
func (p *viewPlayer) slice(place scenarios.Place, subject string, n, of int, cpu float64, failed int64) record.Slice {
	p.tell(scenarios.SliceBegun{Place: place, Subject: subject, Slice: n, Slices: of, Expected: time.Second, Left: p.left})
	rate := 1e9 / cpu
	for i := int64(1); i <= 9; i++ {
		p.wait(100 * time.Millisecond)
		s := scenarios.Sample{Progress: loadgen.Progress{Elapsed: time.Duration(i) * 100 * time.Millisecond, RPS: rate * (1 - 0.02*float64(i%4)),
			P99: time.Duration(cpu*20) + time.Duration(i%5)*40*time.Microsecond, OK: int64(rate * float64(i) / 10)}}
		if failed > 0 && i > 6 {
			s.Failed, s.ByClass = failed*(i-6)/3, map[record.Class]int64{record.Shed: failed * (i - 6) / 3}
		}
		s.Sent = s.OK + s.Failed
		p.tell(s)
	}
	p.wait(100 * time.Millisecond)
	return record.Slice{Sent: int64(rate) + failed, OK: int64(rate), RPSOK: rate, CPUPerRequest: cpu, P99: int64(cpu * 20)}
}

func (p *viewPlayer) end(place scenarios.Place, subject string, s record.Slice) {
	p.tell(scenarios.SliceEnded{Place: place, Subject: subject, Slice: s,
		Counts: record.Counts{Sent: s.Sent, OK: s.OK, Failed: s.Sent - s.OK, ByClass: map[record.Class]int64{record.OK: s.OK, record.Shed: s.Sent - s.OK}}})
}

// playedView is a run of seven phases in the middle of its third block.
func playedView() *viewPlayer {
	p := &viewPlayer{view: newRunView(), at: startOfRun, left: 5 * time.Minute}
	plan := &results.Plan{Scenario: "phases", Arms: []results.ArmPlan{
		{Name: "kept", Ranked: true, Blocks: 8, Slices: 2, Loads: []record.Load{{Clients: 20}, {Clients: 1000}}},
		{Name: "cut", Blocks: 1, Slices: 1, Loads: []record.Load{{Clients: 10}}, Faults: []record.FaultPlan{{Name: "partition"}}},
	}}
	costs := map[string]float64{}
	for n, name := range []string{"threads", "async", "linear-json", "mutex-pool", "pool", "ring", "keepalive"} {
		plan.Subjects = append(plan.Subjects, results.SubjectPlan{Subject: record.Subject{Name: name, Phase: new(n + 1)}})
		costs[name] = 150e3 / math.Sqrt(float64(n+1))
	}
	p.tell(scenarios.RunBegun{Plan: plan, Expected: p.left})
	for block := 1; block <= 3; block++ {
		place := scenarios.Place{Arm: "kept", Block: block, Blocks: 8}
		p.tell(scenarios.BlockBegun{Place: place, Left: p.left})
		p.wait(time.Second)
		p.tell(scenarios.Warming{Subject: "threads"})
		slices := map[string][]record.Slice{}
		for n := 1; n <= 2; n++ {
			for i, s := range plan.Subjects {
				failed := int64(0)
				if s.Name == "async" {
					failed = int64(20 * block)
				}
				cpu := costs[s.Name] * (1 + 0.01*float64((i+n+block)%3))
				slice := p.slice(place, s.Name, n, 2, cpu, failed)
				if block == 3 && n == 2 && s.Name == "async" {
					return p
				}
				p.end(place, s.Name, slice)
				slices[s.Name] = append(slices[s.Name], slice)
			}
		}
		for _, s := range plan.Subjects {
			trial := &record.Record{Subject: s.Subject, Slices: slices[s.Name], Verdict: record.Verdict{Valid: true, Comparable: true}}
			switch {
			case block == 1 && s.Name == "ring":
				trial.Verdict = record.Verdict{}
			case block == 2 && s.Name == "pool":
				trial.Verdict.Comparable = false
			}
			p.tell(scenarios.TrialKept{Place: place, Trial: trial})
		}
		p.tell(scenarios.BlockEnded{Place: place, Left: p.left})
	}
	return p
}

func TestRunView(t *testing.T) {
	p := playedView()
	for _, size := range viewSizes {
		checkView(t, "run", p.view.view(size[0], size[1], p.at), size[0], size[1])
	}
}

// TestRunViewFrom shows what there is before and after the slices.
func TestRunViewFrom(t *testing.T) {
	p := playedView()
	place := scenarios.Place{Arm: "cut", Block: 1, Blocks: 1}
	empty := newRunView()
	if got := empty.view(80, 24, startOfRun); got != "" {
		t.Errorf("before the run: %q", got)
	}
	empty.update(scenarios.RunBegun{Plan: p.view.plan, Expected: 90 * time.Second}, startOfRun)
	checkView(t, "ready", empty.view(80, 24, startOfRun.Add(time.Second)), 80, 24)
	p.tell(scenarios.SliceEnded{Place: p.view.place, Subject: "async", Lost: "async ended by itself (exit code 2)"})
	p.tell(scenarios.BlockBegun{Place: place, Left: 20 * time.Second})
	checkView(t, "starting", p.view.view(80, 24, p.at), 80, 24)
	p.tell(scenarios.SliceBegun{Place: place, Subject: "pool", Slice: 1, Slices: 1, Expected: 15 * time.Second, Left: 19 * time.Second})
	p.tell(scenarios.FaultBegun{Name: "partition", For: 3 * time.Second})
	p.wait(1200 * time.Millisecond)
	p.tell(scenarios.Sample{Progress: loadgen.Progress{Elapsed: 1200 * time.Millisecond, OK: 10, Failed: 1234,
		ByClass: map[record.Class]int64{record.ReadTimeout: 1230, record.Reset: 3, record.EOFBefore: 1}}})
	for _, size := range viewSizes {
		checkView(t, "fault", p.view.view(size[0], size[1], p.at), size[0], size[1])
	}
	p.tell(scenarios.FaultEnded{Name: "partition", Error: "the fault was not undone"})
	if got := p.view.view(80, 24, p.at); !strings.Contains(got, "no fault now") || !strings.Contains(got, "was not undone") {
		t.Errorf("after the fault:\n%s", got)
	}
	p.tell(scenarios.Tracing{Arm: "cut", Subject: "ring", Left: 5 * time.Second})
	if got := p.view.view(80, 24, p.at); !strings.Contains(got, "system calls of 6 ring") || !strings.Contains(got, "5s left") {
		t.Errorf("while it traces:\n%s", got)
	}
}

func loadedView() (*loadView, time.Time) {
	phase := 7
	v := newLoadView(&loadgen.Plan{Clients: 100, Duration: 30 * time.Second, Warmup: 2 * time.Second, URL: "http://127.0.0.1:8080/metrics"},
		record.Subject{Name: "keepalive", Phase: &phase})
	at := startOfRun
	now := loadgen.Progress{}
	for i := 1; i <= 140; i++ {
		at = at.Add(100 * time.Millisecond)
		if i == 21 {
			now = loadgen.Progress{}
		}
		now.Warmup = i <= 20
		now.Elapsed += 100 * time.Millisecond
		now.RPS = 40e3 + 5e3*math.Sin(float64(i)/6)
		now.OK += int64(now.RPS / 10)
		now.P50, now.P99 = 400*time.Microsecond, time.Duration(2+i%7)*time.Millisecond
		if i > 20 && i%30 == 0 {
			now.Failed += 12
			now.ByClass = map[record.Class]int64{record.Status503: now.Failed - 1, record.Reset: 1}
		}
		if second := int(now.Elapsed / time.Second); second > 0 {
			now.Second = record.Second{T: second - 1, OK: int64(now.RPS), P50: int64(now.P50), P99: int64(now.P99)}
		}
		now.InFlight = 100
		now.Sent = now.OK + now.Failed + now.InFlight
		v.update(now, at)
	}
	return v, at
}

func TestLoadView(t *testing.T) {
	v, at := loadedView()
	for _, size := range viewSizes {
		checkView(t, "load", v.view(size[0], size[1], at.Add(50*time.Millisecond)), size[0], size[1])
	}
}

// TestLoadViewOfRequests is bounded by a number of requests.
func TestLoadViewOfRequests(t *testing.T) {
	v := newLoadView(&loadgen.Plan{Clients: 4, RequestsPerClient: 250, Warmup: time.Second}, record.Subject{Name: "http://a/", URL: "http://a/"})
	if got := v.view(80, 24, startOfRun); strings.Contains(got, "left") || !strings.Contains(got, "  0 %") {
		t.Errorf("before it begins:\n%s", got)
	}
	v.update(loadgen.Progress{Warmup: true, Elapsed: 500 * time.Millisecond, OK: 700}, startOfRun)
	if got := v.view(80, 24, startOfRun); strings.Contains(got, "left") || !strings.Contains(got, "warm-up") || !strings.Contains(got, "  0 %") {
		t.Errorf("in the warm-up:\n%s", got)
	}
	v.update(loadgen.Progress{Elapsed: 10 * time.Second, OK: 240, Failed: 10}, startOfRun)
	if got := v.view(80, 24, startOfRun.Add(2*time.Second)); !strings.Contains(got, "28s left") || !strings.Contains(got, " 25 %") {
		t.Errorf("a quarter took 10 s, 2 s ago:\n%s", got)
	}
}

// TestViewsFitEveryWindow draws both views in windows of all sizes.
func TestViewsFitEveryWindow(t *testing.T) {
	p := playedView()
	load, at := loadedView()
	p.tell(scenarios.Noted{Text: strings.Repeat("a long note ", 30)})
	for _, columns := range []int{1, 2, 7, 20, 39, 40, 41, 59, 60, 61, 79, 80, 100, 140} {
		for rows := 1; rows <= 30; rows++ {
			for name, view := range map[string]string{"run": p.view.view(columns, rows, p.at), "load": load.view(columns, rows, at)} {
				if n := strings.Count(view, "\n") + 1; n > rows {
					t.Fatalf("%s: %d lines in %d rows", name, n, rows)
				}
				for line := range strings.SplitSeq(view, "\n") {
					if n := lipgloss.Width(line); n > columns && columns >= leastColumns {
						t.Fatalf("%s: %d columns in %d: %q", name, n, columns, line)
					}
				}
				if rows >= leastRows && columns >= leastColumns && !strings.Contains(view, "█") {
					t.Fatalf("%s at %d x %d shows no sparkline:\n%s", name, columns, rows, view)
				}
			}
		}
	}
}

func TestSparkline(t *testing.T) {
	var s samples
	s.add(sample{gap: true}) // nothing to part
	for i := range 9 {
		s.add(sample{rate: float64(i)})
	}
	s.add(sample{gap: true})
	s.add(sample{gap: true})
	s.add(sample{rate: 4, failed: true})
	rate := func(v sample) float64 { return v.rate }
	line := s.sparkline(14, rateInk, rate)
	if want := rateInk.pale(" ▂▃▄▅▆▇██") + rateInk.render(" ") + failInk.render("▅") + "   "; line != want {
		t.Errorf("sparkline %q, want %q", line, want)
	}
	if plain := styling.ReplaceAllString(s.sparkline(3, rateInk, rate), ""); plain != "█ ▅" {
		t.Errorf("the last three: %q", plain)
	}
	for range 500 {
		s.add(sample{rate: 1})
	}
	if len(s) != keepSamples {
		t.Errorf("%d samples are kept", len(s))
	}
}

func TestBar(t *testing.T) {
	for fraction, want := range map[float64]string{0: "░░░░   0 %", 0.5: "██░░  50 %", 1: "████ 100 %", 0.34: "█▍░░  34 %"} {
		if got := styling.ReplaceAllString(bar(fraction, 10), ""); got != want {
			t.Errorf("%v: %q, want %q", fraction, got, want)
		}
	}
}

func TestOfferedLoad(t *testing.T) {
	for want, got := range map[string]string{"1 client": offeredLoad(1, 0, nil), "1,000 clients": offeredLoad(1000, 0, nil),
		"5,000 requests/s": offeredLoad(10, 5000, nil), "100-2,000 requests/s": offeredLoad(10, 0, []float64{100, 500, 2000})} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{-1: "0s", 12400 * time.Millisecond: "12s", 59600 * time.Millisecond: "1m00s", 62 * time.Minute: "1h02m"} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

// BenchmarkView is what the generator's process pays for a frame, besides its
// writing.
func BenchmarkView(b *testing.B) {
	p := playedView()
	load, at := loadedView()
	b.Run("run", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = p.view.view(80, 23, p.at)
		}
	})
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = load.view(80, 23, at)
		}
	})
}
