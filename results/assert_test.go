package results

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseAssertion(t *testing.T) {
	for text, want := range map[string]string{
		"success.http >= 0.999":                                     "success.http >= 0.999",
		" latency.p99<50ms  where  phase=7 and  arm = isolated ":    "latency.p99 < 50ms where phase = 7 and arm = isolated",
		"server.rss_max_bytes <= 1.5GiB where subject = a.b+c-d_e":  "server.rss_max_bytes <= 1.5GiB where subject = a.b+c-d_e",
		"server.counters.mslab_x == 0 where clients = 20":           "server.counters.mslab_x == 0 where clients = 20",
		"server.cpu_ns_per_request < 100us where connection = keep": "server.cpu_ns_per_request < 100us where connection = keep",
	} {
		a, err := ParseAssertion(text)
		if err != nil || a.Text != want {
			t.Errorf("%s: %q, %v; want %q", text, a.Text, err, want)
			continue
		}
		if again, err := ParseAssertion(a.Text); err != nil || again.Text != a.Text {
			t.Errorf("%s is not read as itself: %q, %v", a.Text, again.Text, err)
		}
	}
	for text, want := range map[string]string{
		"":                                  "want METRIC OP VALUE",
		"success.http >= 0.9 if phase = 7":  "want METRIC OP VALUE",
		"success.http >= 0.9 where":         "want METRIC OP VALUE",
		"success.http >= 0.9 where phase 7": "where phase 7: want KEY = VALUE",
		"success.http >= 0.9 where phase = 7 and":  "want KEY = VALUE",
		"success.http >= 0.9 where block = 7":      "where block: no such key; there are arm, clients,",
		"rps.ok > 1 where phase = 1 where arm = a": "want one where",
		"server.rss_max_bytes < 1000":              "is no size; want one such as 50MiB",
		"server.rss_max_bytes < -1B":               "is no size",
		"server.cpu_ns < 5":                        "is no duration",
		"server.counters. > 1":                     "no metric server.counters.",
		"verdict.valid == 1":                       "no metric",
	} {
		if _, err := ParseAssertion(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
	if _, err := ParseThreshold("server.cpu_ns < 5ms"); err == nil {
		t.Error("a load by itself has no server to read")
	}
}

// TestAssert holds each outcome against the merged records, added up here by
// hand: a figure of all valid trials, a timed one of those that are comparable.
func TestAssert(t *testing.T) {
	run := sampleRun()
	run.Plan.Assert = []string{
		"counts.failed == 10 where arm = isolated",
		"success.transport >= 99.9% where phase = 2",
		"latency.p99 < 10s where arm = original and clients = 100",
		"server.cpu_ns_per_request < 70us where subject = threads and arm = isolated",
		"latency.max < 1s where arm = isolated and phase = 1",
		"service_latency.p99 < 1s where arm = isolated and phase = 1",
		"rps.ok > 1 where phase = 9",
		"counts.failed == 2 where clients = 100 and phase = 1",
	}
	for _, r := range run.Trials {
		if r.Arm == "isolated" && r.Subject.Name == "linear-json" {
			r.Verdict.Valid = false
		}
	}
	asserted, err := Assert(run)
	if err != nil || len(asserted) != len(run.Plan.Assert) {
		t.Fatalf("%d outcomes, %v", len(asserted), err)
	}
	type outcome struct {
		held  bool
		value float64 // 0 where there is none
		why   string
	}
	none := func(why string) outcome { return outcome{why: why} }
	want := [][]outcome{
		{{true, 10, ""}, {true, 10, ""}, none("no valid trial"), {true, 10, ""}},
		{{false, 2000. / 2010, ""}, {false, 100. / 102, ""}, {false, 100. / 102, ""}},
		{{true, 1.02e9, ""}, {true, 1.02e9, ""}, {true, 1.02e9, ""}, none("no comparable trial")},
		{{false, 77_300, ""}},
		{{false, 1.02e9, ""}},
		{none("not measured")},
		{},
		{{true, 2, ""}},
	}
	for i, a := range asserted {
		if len(a.Cells) != len(want[i]) {
			t.Errorf("%s: %d cells, want %d: %+v", a.Assert, len(a.Cells), len(want[i]), a.Cells)
			continue
		}
		all := len(want[i]) > 0
		for n, cell := range a.Cells {
			w := want[i][n]
			all = all && w.held
			got := outcome{held: cell.Held, why: cell.Why}
			if cell.Measured != nil {
				got.value = *cell.Measured
			}
			if got.held != w.held || got.why != w.why || math.Abs(got.value-w.value) > 0.01*w.value {
				t.Errorf("%s, %s: %+v, want %+v", a.Assert, cell.Subject, got, w)
			}
		}
		if a.Held() != all {
			t.Errorf("%s: held %v, want %v", a.Assert, a.Held(), all)
		}
	}
	run.Asserted = asserted
	table, ok := AssertionTable(run)
	if !ok {
		t.Fatal("no table")
	}
	var text bytes.Buffer
	if err := RenderText(&text, []Table{table}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"7 of 8 assertions breached", "there is no comparable trial", "77.4µs", "1 threads"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, text.String())
		}
	}
}

func TestAssertedIsStoredAndReadStrictly(t *testing.T) {
	run := sampleRun()
	run.Trials = run.Trials[:8]
	run.Plan.Assert = []string{"success.http >= 50% where arm = isolated"}
	var err error
	if run.Asserted, err = Assert(run); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	storeRun(t, dir, run)
	again, err := OpenRun(dir)
	if err != nil || len(again.Asserted) != 1 || len(again.Asserted[0].Cells) != len(run.Asserted[0].Cells) {
		t.Fatalf("read again: %v, %+v", err, again)
	}
	for want, spoil := range map[string]func(*Run){
		"that the plan does not have": func(r *Run) { r.Asserted[0].Assert = "rps.ok > 1" },
		"in a cell":                   func(r *Run) { r.Asserted[0].Cells[0].Arm = "gone" },
		"load 9":                      func(r *Run) { r.Asserted[0].Cells[0].Load = 9 },
		"no metric":                   func(r *Run) { r.Plan.Assert[0] = "x > 1"; r.Asserted = nil },
	} {
		broken := *again
		broken.Plan.Assert = []string{again.Plan.Assert[0]}
		broken.Asserted = []Asserted{{Assert: again.Asserted[0].Assert, Cells: append([]AssertedCell(nil), again.Asserted[0].Cells...)}}
		spoil(&broken)
		dir := filepath.Join(t.TempDir(), "run")
		storeRun(t, dir, &broken)
		if _, err := OpenRun(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}
