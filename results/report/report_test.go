package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/results"
	"mslab/results/record"
)

// TestPageHasTheFiguresOfTheTables holds the page against the run's table.md:
// every cell of its ranked table, and the verdict in words.
func TestPageHasTheFiguresOfTheTables(t *testing.T) {
	page := drawn(t, reference(t, "phases"))
	for _, want := range []string{
		"5\u00a0pool needs 42.6\u00a0% less CPU per request than 4\u00a0mutex-pool [−46.8,\u00a0−38.1\u00a0%].",
		"2\u00a0async needs 7.9\u00a0% more CPU per request than 1\u00a0threads [&#43;1.9,\u00a0&#43;14.3\u00a0%].",
		"No difference could be told between 4\u00a0mutex-pool and 3\u00a0linear-json; or between 7\u00a0keepalive and 6\u00a0ring.",
		`<td>71.6µs</td><td>−42.6 % faster</td><td>[−46.8, −38.1]</td><td>11,690</td><td>100</td><td>100</td>`,
		`<td><s>14,431</s></td>`,
		"16 worker threads and a bounded queue.",
		"exec <del>threads</del> <ins>pool</ins>",
		"Claimed by the original's authors, not measured here: 100 % success, 0.65 ms.",
		"tcp_abort_on_overflow",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	tables, err := results.Tables(reference(t, "phases"), -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range tables[0].Rows {
		for _, cell := range row {
			if cell.Text != "" && !strings.Contains(page, ">"+strings.NewReplacer("-", "−", "+", "&#43;").Replace(cell.Text)+"<") && !strings.Contains(page, ">"+cell.Text+"<") {
				t.Errorf("the page has no cell %q", cell.Text)
			}
		}
	}
}

// TestSize holds the page of a run of seven phases to what can be sent by mail.
func TestSize(t *testing.T) {
	if n := len(drawn(t, reference(t, "phases"))); n > 1_500_000 {
		t.Errorf("the page of the reference run has %d bytes", n)
	}
	if n := len(drawn(t, manyTrials(t, 700/raceFactor))); n > 1_500_000 {
		t.Errorf("the page of 700 trials has %d bytes", n)
	}
}

// TestSameInputSamePage draws twice: no map's order and no clock gets in.
func TestSameInputSamePage(t *testing.T) {
	first, second := drawn(t, ranked(t), reference(t, "headline")), drawn(t, ranked(t), reference(t, "headline"))
	if first != second {
		t.Error("two pages of the same runs differ")
	}
}

// TestHostileText draws a run whose every text is an attack, and looks for any
// that got through.
func TestHostileText(t *testing.T) {
	run := foreignRun(t, 9)
	page := drawn(t, run)
	if n := strings.Count(page, "<script"); n != 2 {
		t.Errorf("%d scripts, want the data and ours", n)
	}
	for _, bad := range []string{"<img", "onerror=\"", "alert(2)</script>"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	dir := t.TempDir()
	names, err := WriteSVG(dir, []*results.Run{run}, words())
	if err != nil || len(names) == 0 {
		t.Fatalf("%d plots: %v", len(names), err)
	}
	for _, name := range names {
		elements := svgElements(t, filepath.Join(dir, name))
		if elements["script"]+elements["img"]+elements["foreignObject"]+elements["image"] > 0 {
			t.Errorf("%s has %v", name, elements)
		}
	}
	for _, want := range []string{"Incomplete.", "its process could not be read"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// svgElements reads a drawing strictly and counts its elements.
func svgElements(t *testing.T, file string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("NaN")) || bytes.Contains(data, []byte("Inf")) {
		t.Errorf("%s draws what is no number", file)
	}
	elements := map[string]int{}
	decoder := xml.NewDecoder(bytes.NewReader(data))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return elements
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if start, ok := token.(xml.StartElement); ok {
			elements[start.Name.Local]++
		}
	}
}

// TestPlotsAsFiles writes the plots of every committed run.
func TestPlotsAsFiles(t *testing.T) {
	for name, least := range map[string]int{"phases": 14, "shows": 9, "headline": 3, "overflow": 9, "aa": 4} {
		dir := filepath.Join(t.TempDir(), "plots")
		names, err := WriteSVG(dir, []*results.Run{reference(t, name)}, words())
		if err != nil || len(names) < least {
			t.Errorf("%s: %d plots, want %d or more: %v", name, len(names), least, err)
		}
		for _, file := range names {
			elements := svgElements(t, filepath.Join(dir, file))
			if elements["title"] != 1 || elements["desc"] != 1 || elements["path"] < 10 {
				t.Errorf("%s of %s has %v", file, name, elements)
			}
		}
	}
}

// TestForeignSubjects leaves out what is not known and says so.
func TestForeignSubjects(t *testing.T) {
	run := foreignRun(t, 9)
	run.Plan.Subjects[0].Name, run.Plan.Scenario = "old", "servers"
	for _, r := range run.Trials {
		if r.Server != nil {
			r.Subject.Name = "old"
		}
	}
	run.Plan.Arms[0].Pairs[0].A = "old"
	page := drawn(t, run)
	for _, want := range []string{"./a", "http://example.invalid/", "new: its process could not be read.", `<td>-</td>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	// Nothing is known of either server.
	for _, r := range run.Trials {
		r.Server = nil
		for i := range r.Slices {
			r.Slices[i].CPUPerRequest = 0
		}
	}
	page = drawn(t, run)
	for _, want := range []string{"CPU per request is not known", "What the kernel saw is left out", "Rates and success"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of servers that could not be read has no %q", want)
		}
	}
}

// TestStruckOutTrials shows an invalid trial with its reason, and keeps it out of
// the figures.
func TestStruckOutTrials(t *testing.T) {
	run := ranked(t)
	before := sectionOf(t, run).scenes[0].Standings[0].CPU
	wrong := *run.Trials[0]
	for _, r := range run.Trials {
		if r.Arm == "isolated" && r.Subject.Name == "threads" && r.Block == 3 {
			wrong = *r
			r.Verdict.Valid, r.Verdict.Reasons = false, []string{"the accounting is off by 3"}
			r.Slices = append(r.Slices[:0:0], r.Slices...)
			for i := range r.Slices {
				r.Slices[i].CPUPerRequest *= 1000
			}
		}
	}
	if wrong.Subject.Name != "threads" {
		t.Fatal("the reference run has no such trial")
	}
	s := sectionOf(t, run)
	if after := s.scenes[0].Standings[0].CPU; after > before*1.2 {
		t.Errorf("an invalid trial was averaged: %v, before %v", after, before)
	}
	page := drawn(t, run)
	for _, want := range []string{"struck out: invalid: the accounting is off by 3", "<td class=\"l\">invalid: the accounting is off by 3"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func sectionOf(t *testing.T, run *results.Run) *section {
	t.Helper()
	s, err := newSection(run, 0, words())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFaultsAreDrawn finds the fault's band where the record has it.
func TestFaultsAreDrawn(t *testing.T) {
	run := open(t, "testdata/partition")
	bands := 0
	for _, f := range sectionOf(t, run).figures() {
		for _, l := range f.lines {
			for _, b := range l.bands {
				bands++
				if b.name != "partition" || b.from < 5 || b.from > 5.5 || b.to < 10 || b.to > 10.5 {
					t.Errorf("%s has the band %+v, want 5 to 10 s", f.id, b)
				}
			}
		}
	}
	if bands < 6 {
		t.Errorf("%d bands, want one in each course of the three arms", bands)
	}
	if page := drawn(t, run); !strings.Contains(page, "What the faults did") || !strings.Contains(page, "partition was noticed after") {
		t.Error("the page does not say what the fault did")
	}
}

// TestPercentileCurve holds points of the curve against the histogram's own
// percentiles.
func TestPercentileCurve(t *testing.T) {
	standing := sectionOf(t, ranked(t)).scenes[0].Standings[0]
	h, err := standing.Timed.Latency.Histogram()
	if err != nil {
		t.Fatal(err)
	}
	curve := percentileCurve(h)
	found := 0
	for i, x := range curve.x {
		for at, want := range map[float64]int64{10: standing.Timed.Latency.P90, 100: standing.Timed.Latency.P99, 1000: standing.Timed.Latency.P999} {
			if math.Abs(x/at-1) < 1e-4 {
				found++
				if curve.y[i] != float64(want) {
					t.Errorf("at %s %% the curve has %v, the record %d", formatPercentile(x), curve.y[i], want)
				}
			}
		}
	}
	if found != 3 {
		t.Errorf("the curve has %d of the points 90, 99 and 99.9 %%", found)
	}
}

func TestFormatPercentile(t *testing.T) {
	for v, want := range map[float64]string{1: "0", 2: "50", 10: "90", 100: "99", 1000: "99.9", 1e4: "99.99", 1e5: "99.999", 4: "75"} {
		if got := formatPercentile(v); got != want {
			t.Errorf("1/(1-share) of %v prints as %s, want %s", v, got, want)
		}
	}
}

// cpuTime is what this process has spent, which other processes do not add to.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestThousandTrials draws a long run in the time that a reader waits. Times are
// of the CPU.
func TestThousandTrials(t *testing.T) {
	const n = 1000 / raceFactor
	dir := folder(t, manyTrials(t, n))
	began := cpuTime(t)
	run := open(t, dir)
	page := drawn(t, run)
	took := cpuTime(t) - began
	t.Logf("read and drawn in %v of the CPU, %d bytes", took.Round(time.Millisecond), len(page))
	if len(run.Trials) != n {
		t.Errorf("%d trials", len(run.Trials))
	}
	if limit := 5 * time.Second; took > limit {
		t.Errorf("a report of %d trials took %v, want under %v", n, took, limit)
	}
}

type failing struct{ after int }

var errFull = errors.New("no space left on device")

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.after {
		return f.after, errFull
	}
	return len(p), nil
}

func TestWriteTellsOfAFullDisk(t *testing.T) {
	err := Write(&failing{1000}, []*results.Run{reference(t, "headline")}, words())
	if !errors.Is(err, errFull) {
		t.Errorf("a full disk is %v", err)
	}
}

// TestBrokenHistogram leaves no page: what cannot be read is an error.
func TestBrokenHistogram(t *testing.T) {
	run := reference(t, "headline")
	run.Trials[0].Latency.HDR = "HISTFAAAbroken"
	var b bytes.Buffer
	if err := Write(&b, []*results.Run{run}, words()); err == nil || b.Len() > 0 {
		t.Errorf("a broken histogram gives %d bytes and %v", b.Len(), err)
	}
	dir := filepath.Join(t.TempDir(), "plots")
	if names, err := WriteSVG(dir, []*results.Run{run}, words()); err == nil || len(names) > 0 {
		t.Errorf("a broken histogram gives the plots %v and %v", names, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a folder was made for plots that there are not")
	}
}

// TestContrast holds every colour of both themes against its paper by WCAG 2.2:
// 4.5 for text, 3 for what is drawn.
func TestContrast(t *testing.T) {
	themes := strings.Split(pageCSS, ":root{")
	if len(themes) != 3 {
		t.Fatalf("%d themes in page.css, want light and dark", len(themes)-1)
	}
	for i, theme := range themes[1:] {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z0-9]+):(#[0-9a-f]{3,6})[;}]`).FindAllStringSubmatch(theme[:strings.Index(theme, "}")+1], -1) {
			colours[m[1]] = m[2]
		}
		for name, least := range map[string]float64{"ink": 4.5, "soft": 4.5, "link": 4.5, "warn": 4.5, "cx": 3, "axis": 3,
			"c0": 3, "c1": 3, "c2": 3, "c3": 3, "c4": 3, "c5": 3, "c6": 3, "c7": 3} {
			for _, ground := range []string{"paper", "well"} {
				if ground == "well" && least < 4.5 {
					continue
				}
				if got := contrast(t, colours[name], colours[ground]); got < least {
					t.Errorf("theme %d: --%s %s on --%s has a contrast of %.2f, want %.1f", i, name, colours[name], ground, got, least)
				}
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

// luminance is WCAG's relative luminance of an sRGB colour.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	digits := strings.TrimPrefix(colour, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	var sum float64
	for i, weight := range []float64{.2126, .7152, .0722} {
		n, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatalf("colour %q: %v", colour, err)
		}
		v := float64(n) / 255
		if v <= .04045 {
			sum += weight * v / 12.92
		} else {
			sum += weight * math.Pow((v+.055)/1.055, 2.4)
		}
	}
	return sum
}

// TestVendored holds the vendored files against the sums that their README names.
func TestVendored(t *testing.T) {
	readme, err := os.ReadFile("vendor/uplot/README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|.*`([0-9a-f]{64})` \\|$").FindAllStringSubmatch(string(readme), -1)
	if len(rows) != 3 {
		t.Fatalf("the README names %d files, want 3", len(rows))
	}
	for _, row := range rows {
		data, err := os.ReadFile(filepath.Join("vendor/uplot", row[1]))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != row[2] {
			t.Errorf("%s is not the file that the README names", row[1])
		}
	}
}

// TestPolicy holds the page's own policy against the script and the style that
// it has: a browser runs what the hashes name and nothing else.
func TestPolicy(t *testing.T) {
	page := drawn(t, reference(t, "headline"))
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]+)"`).FindStringSubmatch(page)
	if policy == nil || !strings.HasPrefix(policy[1], "default-src 'none';") || strings.Contains(policy[1], "unsafe") || strings.Contains(policy[1], "http") {
		t.Fatalf("the policy is %q", policy)
	}
	for what, pattern := range map[string]string{"script": `(?s)<script>(.*?)</script>`, "style": `(?s)<style>(.*?)</style>`} {
		source := regexp.MustCompile(pattern).FindStringSubmatch(page)
		if source == nil || !strings.Contains(policy[1], fmt.Sprintf("%s-src '%s'", what, sourceHash(source[1]))) {
			t.Errorf("the policy does not name the page's %s", what)
		}
	}
	data := regexp.MustCompile(`(?s)id="data">(.*?)</script>`).FindStringSubmatch(page)
	var figures []liveFigure
	if data == nil || json.Unmarshal([]byte(data[1]), &figures) != nil || len(figures) == 0 {
		t.Error("the page's data cannot be read")
	}
}

// TestHeadings finds no level left out, which is how those who hear a page move
// about in it.
func TestHeadings(t *testing.T) {
	for _, runs := range [][]*results.Run{{ranked(t)}, {reference(t, "shows"), open(t, "testdata/partition"), foreignRun(t, 2)}} {
		before := 0
		page := drawn(t, runs...)
		for _, m := range regexp.MustCompile(`<h([1-6])`).FindAllStringSubmatch(page[:strings.Index(page, "<script")], -1) {
			level := int(m[1][0] - '0')
			if level > before+1 {
				t.Errorf("a heading of level %d follows one of %d", level, before)
			}
			before = level
		}
		if n := strings.Count(page, "<h1"); n != 1 {
			t.Errorf("%d titles", n)
		}
		if figures, tables := strings.Count(page, "<figure"), strings.Count(page, "<table"); tables < figures {
			t.Errorf("%d tables for %d plots", tables, figures)
		}
	}
}

// TestKernelFigureLeavesOutWhatIsNotKnown draws a subject of which nothing but
// its threads could be read: what is not known is "-", never 0.
func TestKernelFigureLeavesOutWhatIsNotKnown(t *testing.T) {
	run := foreignRun(t, 10)
	for _, r := range run.Trials {
		if r.Server != nil {
			r.Server = &record.Server{ThreadsMax: 5, Unknown: []string{record.UnknownCPU, record.UnknownListen, record.UnknownSwitch}}
		}
	}
	s := sectionOf(t, run)
	f := s.kernel(s.scenes[0].Scene)
	for i, c := range f.table.Columns {
		want := "-"
		switch c.Key {
		case "subject":
			continue
		case "threads_max":
			want = "5"
		}
		if got := f.table.Rows[0][i].Text; got != want {
			t.Errorf("%s is drawn as %q, want %q", c.Key, got, want)
		}
	}
}

func TestAssertionsAreTold(t *testing.T) {
	run, measured := foreignRun(t, 3), 0.25
	name := run.Plan.Subjects[1].Name
	run.Asserted = []results.Asserted{{Assert: "http_req_failed < 0.01",
		Cells: []results.AssertedCell{{Arm: run.Plan.Arms[0].Name, Subject: name, Measured: &measured}}}}
	page := drawn(t, run)
	for _, want := range []string{"<h3>Assertions</h3>", "http_req_failed &lt; 0.01", "breached", "1 of 1 assertions breached."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	run.Asserted = nil
	if strings.Contains(drawn(t, run), "<h3>Assertions</h3>") {
		t.Error("a run without assertions has a heading for them")
	}
}
