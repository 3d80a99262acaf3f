package results

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"mslab/results/record"
)

// TestTrialsTableStrikesWhatIsNotUsed draws a run with an invalid trial, one
// that is not comparable and an interrupted one, in each format.
func TestTrialsTableStrikesWhatIsNotUsed(t *testing.T) {
	run := sampleRun()
	arm := run.Plan.Arms[0]
	index := indexTrials(run)
	of := func(block int) int {
		r := index.trial(arm, block, run.Plan.Subjects[0].Name, 0)
		for i := range run.Trials {
			if run.Trials[i] == r {
				return i
			}
		}
		t.Fatalf("no trial in block %d", block)
		return 0
	}
	changed := map[string]int{"invalid": of(1), "not comparable": of(2), "interrupted": of(3)}
	for word, i := range changed {
		r := *run.Trials[i]
		r.Verdict.Reasons = []string{"because of " + word}
		r.Verdict.Valid, r.Verdict.Comparable = word != "invalid", word == "interrupted"
		r.Incomplete = word == "interrupted"
		run.Trials[i] = &r
	}
	table := TrialsTable(run)
	var text, markdown, csv, object bytes.Buffer
	for format, w := range map[string]*bytes.Buffer{"table": &text, "markdown": &markdown, "csv": &csv, "json": &object} {
		if err := Render(w, format, []Table{table}); err != nil {
			t.Fatal(err)
		}
	}
	for word, struck := range map[string]int{"invalid": 3, "not comparable": 2, "interrupted": 3} {
		row := lineWith(t, markdown.String(), "because of "+word)
		if got := strings.Count(row, "~~") / 2; got != struck || !strings.Contains(row, word) {
			t.Errorf("%s: %d figures struck out of %q, want %d", word, got, row, struck)
		}
		if !strings.Contains(text.String(), "because of "+word) {
			t.Errorf("the text does not say why a trial is %s:\n%s", word, text.String())
		}
		fields := strings.Split(lineWith(t, csv.String(), "because of "+word), ",")
		if empty := strings.Count(strings.Join(fields, ","), ",,"); empty == 0 {
			t.Errorf("%s: CSV keeps the figures: %v", word, fields)
		}
	}
	var doc struct {
		Tables []struct{ Rows []map[string]any }
	}
	if err := json.Unmarshal(object.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	nulls := 0
	for _, row := range doc.Tables[0].Rows {
		switch row["verdict"] {
		case "invalid", "interrupted":
			if row["rps_ok"] == nil && row["server_cpu_ns_per_request"] == nil && row["latency_p99"] == nil {
				nulls++
			}
		case "not comparable":
			if row["reasons"] == "because of not comparable" && row["rps_ok"] == nil && row["server_cpu_ns_per_request"] != nil {
				nulls++
			}
		}
	}
	if nulls != 3 {
		t.Errorf("%d of 3 unusable trials are null in JSON", nulls)
	}
	if len(doc.Tables[0].Rows) != len(run.Trials) {
		t.Errorf("%d rows for %d trials", len(doc.Tables[0].Rows), len(run.Trials))
	}
}

func lineWith(t *testing.T, text, part string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	t.Fatalf("no line has %q:\n%s", part, text)
	return ""
}

// TestNoUnusableTrialIsAveraged makes the unusable trials absurd: no table's
// figure moves for it.
func TestNoUnusableTrialIsAveraged(t *testing.T) {
	sane, absurd := sampleRun(), sampleRun()
	for _, run := range []*Run{sane, absurd} {
		for i, r := range run.Trials {
			if r.Block != 2 {
				continue
			}
			c := *r
			c.Verdict.Valid, c.Verdict.Comparable, c.Verdict.Reasons = false, false, []string{"of a test"}
			if run == absurd {
				server := *r.Server
				server.CPUPerRequest, server.CPUNS, server.ListenOverflows = 1e12, 1e15, 1e6
				c.Server, c.RPS.OK, c.Counts.OK = &server, 1e9, 1
				c.Slices = nil
			}
			run.Trials[i] = &c
		}
	}
	draw := func(run *Run) string {
		var b bytes.Buffer
		if err := RenderMarkdown(&b, must(Tables(run, -1))); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if a, b := draw(sane), draw(absurd); a != b {
		t.Errorf("figures of trials that are not valid are in the tables:\n%s\n%s", a, b)
	}
}

// TestTrialsTableLeavesOutWhatIsNotKnown draws a subject whose CPU time nobody
// could read: a 0 would be the cheapest server of all.
func TestTrialsTableLeavesOutWhatIsNotKnown(t *testing.T) {
	run := sampleRun()
	run.Trials = run.Trials[:1]
	run.Trials[0].Server = &record.Server{Unknown: []string{record.UnknownCPU}}
	table := TrialsTable(run)
	for i, c := range table.Columns {
		if cell := table.Rows[0][i]; c.Key == "server_cpu_ns_per_request" && (cell.Text != dash || cell.machine() != nil) {
			t.Errorf("an unknown cost is drawn as %q and %v, want %q and nothing", cell.Text, cell.machine(), dash)
		}
	}
}
