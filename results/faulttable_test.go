package results

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mslab/results/record"
)

// faultRun is a run of two arms with a cut of 2 s, which the clients of the
// second survive by connecting anew, and of a third whose fault did not bite.
func faultRun() *Run {
	seven := 7
	subject := record.Subject{Name: "keepalive", Phase: &seven}
	load := record.Load{Clients: 8, Arrival: "closed", Connection: "keep", DurationS: 6.5, DeadlineNS: 250e6, TimeoutNS: 10e9, ThinkNS: 20e6, Metrics: 3}
	plan := record.FaultPlan{Name: "partition", Options: map[string]string{"port": "server"}, AtS: 2, ForS: 2}
	run := &Run{Schema: RunSchema, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Plan: Plan{Scenario: "partition", Subjects: []SubjectPlan{{Subject: subject, Claim: "100 %"}}, MinEffect: 0.01}}
	for _, arm := range []string{"kept", "impatient", "missed"} {
		run.Plan.Arms = append(run.Plan.Arms, ArmPlan{Name: arm, Blocks: 1, Slices: 1, Loads: []record.Load{load}, Faults: []record.FaultPlan{plan}})
	}
	bit := record.Fault{FaultPlan: plan, InjectedS: new(2.024164731), HealedS: new(4.034476317), Verified: true, Via: "nft",
		Evidence: "packets dropped: 89", Verdict: map[string]any{"packets_dropped": 89.0}}
	kept, impatient := bit, bit
	kept.Effect = &record.FaultEffect{LevelBefore: new(1.0), GapS: 0.02, FirstMissS: new(2.03), DetectS: new(0.2558), RecoverS: new(1.2), SteadyS: new(1.2),
		During: record.FaultCounts{Sent: 8, Late: 8}, After: record.FaultCounts{Sent: 400, OK: 400}}
	kept.ByConnection = map[string]record.FaultEffect{"keep": *kept.Effect}
	failed := map[record.Class]int64{record.ReadTimeout: 16, record.ConnectTimeout: 1200}
	impatient.Effect = &record.FaultEffect{DetectS: new(0.255), RecoverS: new(0.16), SteadyS: new(0.16),
		During: record.FaultCounts{Sent: 1216, Failed: failed}, After: record.FaultCounts{Sent: 2, OK: 1, Failed: map[record.Class]int64{record.Reset: 1}}}
	impatient.ByConnection = map[string]record.FaultEffect{
		"keep": {DetectS: new(0.255), SteadyS: new(0.3), During: record.FaultCounts{Sent: 16, Failed: map[record.Class]int64{record.ReadTimeout: 16}}},
		"new":  {DetectS: new(1.27), RecoverS: new(0.16), During: record.FaultCounts{Sent: 1200, Failed: map[record.Class]int64{record.ConnectTimeout: 1200}}},
	}
	missed := record.Fault{FaultPlan: plan, Error: "inject partition: nothing listens on 127.0.0.1:1"}

	run.Trials = []*record.Record{
		faultTrial("kept", subject, load, kept, [][2]int64{{300, 0}, {310, 0}, {8, 0}, {0, 0}, {0, 0}, {240, 0}, {155, 0}, {8, 0}}),
		faultTrial("impatient", subject, load, impatient, [][2]int64{{300, 0}, {310, 0}, {8, 16}, {0, 600}, {150, 600}, {290, 1}, {150, 0}}),
		faultTrial("missed", subject, load, missed, [][2]int64{{300, 0}, {310, 0}, {300, 0}, {310, 0}, {300, 0}, {310, 0}, {150, 0}}),
	}
	run.Trials[0].Stored = &record.Stored{Acknowledged: 1021, Stored: 1018, Lost: 3}
	run.Trials[1].Stored = &record.Stored{Acknowledged: 1208, Stored: 1208, Unknown: 4}
	run.Trials[2].Verdict = record.Verdict{Reasons: []string{"the fault partition did not bite: " + missed.Error}}
	return run
}

// faultTrial makes a trial of a series of ok and failed requests.
func faultTrial(arm string, subject record.Subject, load record.Load, f record.Fault, series [][2]int64) *record.Record {
	r := &record.Record{Schema: record.Schema, Scenario: "partition", Arm: arm, Block: 1, Subject: subject, Load: load,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Faults: []record.Fault{f}, Verdict: record.Verdict{Valid: true, Comparable: true}}
	r.Counts.ByClass = map[record.Class]int64{}
	for t, n := range series {
		second := record.Second{T: t, OK: n[0], Failed: n[1]}
		if n[0] > 0 {
			second.P50, second.P99 = 2_090_000+int64(t), 63_200_000
		}
		r.Series = append(r.Series, second)
		r.Counts.OK += n[0]
		r.Counts.Failed += n[1]
	}
	r.Counts.Sent, r.Counts.Answered, r.Counts.WithinDeadline = r.Counts.OK+r.Counts.Failed, r.Counts.OK, r.Counts.OK
	r.Counts.ByClass[record.OK] = r.Counts.OK
	r.Latency = latencyOf(r.Counts.OK, 2_000_000, 7_150_000_000)
	if n := r.Counts.Failed; n > 0 {
		r.Counts.ByClass[record.ReadTimeout] = n
		timeouts := latencyOf(n, 1e9, 1e9)
		r.Latency.ByClass = map[record.Class]*record.Latency{record.ReadTimeout: &timeouts}
	}
	r.Finalize()
	return r
}

func TestFaultTablesGolden(t *testing.T) {
	tables := must(Tables(faultRun(), -1))
	for _, format := range Formats {
		var b bytes.Buffer
		if err := Render(&b, format, tables); err != nil {
			t.Fatal(err)
		}
		golden(t, "faults."+format, b.Bytes())
		for line := range strings.SplitSeq(b.String(), "\n") {
			if n := utf8.RuneCountInString(line); format == "table" && n > lineWidth {
				t.Errorf("%d columns, more than a terminal of 80 shows: %q", n, line)
			}
		}
		if programs := format == "csv" || format == "json"; programs && strings.Contains(b.String(), "###") {
			t.Errorf("%s holds a drawing", format)
		}
		if strings.Contains(b.String(), "claimed") {
			t.Errorf("%s holds a run with faults against what was claimed of one without", format)
		}
	}
}

// TestRequestsWithoutAnEndAreSaid: an interruption leaves requests of which
// nobody knows whether the fault made them miss.
func TestRequestsWithoutAnEndAreSaid(t *testing.T) {
	run := faultRun()
	const said = "8 requests without an end"
	for _, interrupted := range []bool{false, true} {
		if trial := run.Trials[0]; interrupted {
			trial.Counts.InFlight, trial.Counts.Sent = 8, trial.Counts.Sent+8
		}
		var b bytes.Buffer
		if err := RenderMarkdown(&b, must(Tables(run, -1))); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), said); got != interrupted {
			t.Errorf("interrupted %v, said %v:\n%s", interrupted, got, b.String())
		}
	}
}

// TestFaultsSurviveTheFolder: the tables of a run are drawn from its folder
// alone.
func TestFaultsSurviveTheFolder(t *testing.T) {
	run := faultRun()
	dir := filepath.Join(t.TempDir(), "run")
	storeRun(t, dir, run)
	again := must(OpenRun(dir))
	var first, second bytes.Buffer
	if err := RenderText(&first, must(Tables(run, -1))); err != nil {
		t.Fatal(err)
	}
	if err := RenderText(&second, must(Tables(again, -1))); err != nil {
		t.Fatal(err)
	}
	// Trials are read in the order of their names; the plan decides what comes
	// first.
	if first.String() != second.String() {
		t.Errorf("drawn from memory\n%s\nand from the folder\n%s", first.String(), second.String())
	}
	f := again.Trials[1].Faults[0]
	if f.InjectedS == nil || *f.InjectedS != 2.024164731 {
		t.Errorf("injected at %v, want it to the ns", f.InjectedS)
	}
	data, err := json.Marshal(again.Plan.Arms[0])
	if err != nil || !strings.Contains(string(data), `"faults":[{"name":"partition","options":{"port":"server"},"at_s":2,"for_s":2}]`) {
		t.Errorf("run.json: %v %s", err, data)
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		ok, failed, most float64
		want             string
	}{
		{0, 0, 0, ""}, {0, 0, 5, ""}, {1, 0, 1000, "#"}, {0, 1, 1000, "x"}, {1000, 0, 1000, strings.Repeat("#", barWidth)},
		{500, 500, 1000, strings.Repeat("#", barWidth/2) + strings.Repeat("x", barWidth/2)},
	} {
		if got := bar(c.ok, c.failed, c.most); got != c.want {
			t.Errorf("bar of %v ok, %v failed of %v: %q, want %q", c.ok, c.failed, c.most, got, c.want)
		}
	}
}

func TestMarksOfFaults(t *testing.T) {
	faults := []record.Fault{
		{FaultPlan: record.FaultPlan{Name: "partition"}, InjectedS: new(1.25), HealedS: new(3.0)},
		{FaultPlan: record.FaultPlan{Name: "memory"}, InjectedS: new(4.5)}, // not healed
		{FaultPlan: record.FaultPlan{Name: "other"}},                       // not injected
		{FaultPlan: record.FaultPlan{Name: "short"}, InjectedS: new(7.1), HealedS: new(7.65)},
	}
	want := []string{"/", "partition/from 1.25s", "partition/", "/to 3.00s", "memory/from 4.50s", "memory/", "memory/", "memory, short/7.10-7.65s"}
	for second, w := range want {
		if got := faultsDuring(faults, second) + "/" + faultMarks(faults, second); got != w {
			t.Errorf("second %d: %q, want %q", second, got, w)
		}
	}
}
