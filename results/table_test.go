package results

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"mslab/results/record"
)

func TestRunTablesGolden(t *testing.T) {
	tables := must(Tables(sampleRun(), -1))
	for _, format := range Formats {
		var b bytes.Buffer
		if err := Render(&b, format, tables); err != nil {
			t.Fatal(err)
		}
		golden(t, "run."+format, b.Bytes())
		if format != "table" {
			continue
		}
		for line := range strings.SplitSeq(b.String(), "\n") {
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Errorf("%d columns, more than a terminal of 80 shows: %q", n, line)
			}
		}
	}
}

func TestCompareTableGolden(t *testing.T) {
	run := sampleRun()
	comparisons := must(Compare(run, MetricRPS, run.Pairs(), 0.01))
	var b bytes.Buffer
	if err := RenderText(&b, CompareTables(comparisons)); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n")
	if err := RenderComparisons(&b, comparisons); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare", b.Bytes())
}

func TestBenchstatGolden(t *testing.T) {
	var b bytes.Buffer
	if err := RenderBenchstat(&b, sampleRun()); err != nil {
		t.Fatal(err)
	}
	golden(t, "benchstat", b.Bytes())
	for line := range strings.Lines(b.String()) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "Benchmark") && len(fields)%2 != 0 {
			t.Errorf("a name, a count and pairs are an even number of fields: %q", line)
		}
	}
	if n := strings.Count(b.String(), "phase=2/arm=isolated "); n != 10 {
		t.Errorf("%d samples of phase 2, want one a block, 10", n)
	}
}

// The same phase twice must not become one benchmark.
func TestBenchstatTellsTwinsApart(t *testing.T) {
	run := pairRun(1, 1)
	three := 3
	for i := range run.Plan.Subjects {
		run.Plan.Subjects[i].Phase = &three
	}
	var b bytes.Buffer
	if err := RenderBenchstat(&b, run); err != nil {
		t.Fatal(err)
	}
	if strings.Count(b.String(), "subject=a/") != 2 || strings.Count(b.String(), "subject=b/") != 2 {
		t.Errorf("subjects a and b are not told apart:\n%s", b.String())
	}
}

func TestTablesOfAnEmptyRun(t *testing.T) {
	run := sampleRun()
	run.Trials, run.Incomplete = nil, true
	var b bytes.Buffer
	if err := RenderText(&b, must(Tables(run, -1))); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no trial", "too few to tell", "interrupted"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the tables of a run without trials do not say %q:\n%s", want, b.String())
		}
	}
}

func TestTablesStrikeOutInvalidTrials(t *testing.T) {
	run := sampleRun()
	for _, r := range run.Trials {
		if r.Subject.Name == "async" && r.Arm == "isolated" {
			r.Verdict.Valid, r.Verdict.Reasons = false, []string{"Little's law is off by 4 %"}
		}
	}
	var b bytes.Buffer
	if err := RenderMarkdown(&b, must(Tables(run, -1))); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "| 2 async") {
			if !strings.Contains(line, "~~99.50~~") || !strings.Contains(line, " - |") {
				t.Errorf("figures of an invalid subject are not struck out, or its CPU is shown: %s", line)
			}
			break
		}
	}
	if !strings.Contains(b.String(), "Little's law is off by 4 %") {
		t.Error("the reason is not given")
	}
}

func TestRenderKeepsFiguresForPrograms(t *testing.T) {
	table := Table{Columns: []Column{{Key: "a", Unit: "ns"}, {Key: "b"}, {Key: "c"}}, Rows: [][]Cell{{
		FigureCell(51_234.5, FormatNS), {Text: "7", Value: 7, Struck: true}, FigureCell(math.NaN(), formatCount)}}}
	var b bytes.Buffer
	if err := RenderJSON(&b, []Table{table}); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Schema string
		Tables []struct{ Rows []map[string]any }
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	row := doc.Tables[0].Rows[0]
	if doc.Schema != TableSchema || row["a"] != 51234.5 || row["b"] != nil || row["c"] != nil {
		t.Errorf("row %v of schema %q; want the unrounded figure, null for the struck and the missing one", row, doc.Schema)
	}
	if err := Render(&b, "yaml", nil); err == nil || !strings.Contains(err.Error(), "markdown") {
		t.Errorf("error %v does not list the formats", err)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{FormatNS(812), "812ns"}, {FormatNS(51_234), "51.2µs"}, {FormatNS(3_040_000), "3.04ms"}, {FormatNS(1.02e9), "1.02s"},
		{FormatNS(999_600), "1.00ms"}, {FormatNS(999_400), "999µs"}, {FormatNS(0), "0ns"}, {FormatNS(math.NaN()), "-"},
		{significant(1234.6), "1235"}, {significant(99.96), "100"}, {significant(9.996), "10.0"}, {significant(0.02), "0.020"},
		{formatCount(1234567), "1,234,567"}, {formatCount(999), "999"}, {formatCount(-1234), "-1,234"},
		{formatShare(1), "100"}, {formatShare(0.999999), ">99.99"}, {formatShare(0.99989), "99.98"}, {formatShare(0.0029), "0.29"}, {formatShare(0.5699), "56.99"}, {formatShare(0), "0.00"},
		{formatChange(1.031), "+3.1 %"}, {formatChange(0.878), "-12.2 %"}, {formatChange(1), "0.0 %"}, {formatChange(0.99999), "0.0 %"}, {formatChange(3.5), "+250 %"},
	} {
		if c.got != c.want {
			t.Errorf("printed %q, want %q", c.got, c.want)
		}
	}
}

func TestLoadAndRunsTablesGolden(t *testing.T) {
	r := sampleRun().Trials[0]
	r.Verdict = record.Verdict{Valid: true, Reasons: []string{"the generator is saturated"}}
	r.Counts.Starved = 2
	tables := append(LoadTables(r), RunsTable([]Summary{
		{Dir: "results/runs/phases-20260102T030405Z", Scenario: "phases", Started: r.Started, Subjects: 4, Blocks: 10, Trials: 56, Incomplete: true},
		{Dir: "results/runs/alien", Error: "read run: results/runs/alien has no run.json"},
	}))
	var b bytes.Buffer
	if err := RenderText(&b, tables); err != nil {
		t.Fatal(err)
	}
	golden(t, "load", b.Bytes())
}

// TestUnder puts text below rows of one line and of more, in terminals only.
func TestUnder(t *testing.T) {
	long := strings.Repeat("word ", 20)
	table := Table{
		Columns: []Column{{Key: "a", Title: "a", Left: true}, {Key: "b", Title: "b"}},
		Rows:    [][]Cell{{TextCell(long), TextCell("1")}, {TextCell("x"), TextCell("2")}, {TextCell("y"), TextCell("3")}},
		Under:   map[int]string{0: "first", 2: long},
		Notes:   []string{"A note."},
	}
	var b strings.Builder
	if err := RenderText(&b, []Table{table}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, want := range []string{"a ", "──", "word ", "word ", "  first", "x ", "y ", "  word ", "  word ", "", "A note.", ""} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) || utf8.RuneCountInString(lines[i]) > lineWidth {
			t.Fatalf("line %d does not begin with %q in\n%s", i, want, b.String())
		}
	}
	b.Reset()
	if err := RenderMarkdown(&b, []Table{table}); err != nil || strings.Contains(b.String(), "first") {
		t.Errorf("%v: %s", err, b.String())
	}
}

// Loads that differ in more than their clients must not become one benchmark.
func TestBenchstatTellsLoadsApart(t *testing.T) {
	loads := []record.Load{{Clients: 5, Connection: "new"}, {Clients: 5, Connection: "keep"}, {Clients: 20}}
	arm, subject := ArmPlan{Name: "a", Loads: loads}, SubjectPlan{Subject: record.Subject{Name: "s"}}
	names := map[string]bool{}
	for _, load := range loads {
		names[benchName(arm, subject, load, false)] = true
	}
	if len(names) != len(loads) || !names["BenchmarkPhase/subject=s/arm=a/clients=20"] {
		t.Errorf("three loads have the names %v", names)
	}
}
