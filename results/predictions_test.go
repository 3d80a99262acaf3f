package results

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mslab/results/record"
)

// predictedRun is the sample run, in which somebody predicted a figure of a
// phase, one that no trial may be used for, and one of another unit.
func predictedRun() *Run {
	run := sampleRun()
	run.Predictions = []Prediction{
		{Arm: "original", Load: 0, Subject: "threads", Metric: MetricP99, Value: 2e6},
		{Arm: "original", Load: 1, Subject: "mutex-pool", Metric: MetricP99, Value: 1e9},
	}
	return run
}

func TestPredictionsStandBesideWhatWasMeasured(t *testing.T) {
	run := predictedRun()
	table, ok, err := PredictionsTable(run)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	measured := must(Figure(run, "original", 0, "threads", MetricP99))
	first := table.Rows[0]
	if first[0].Text != "1 threads" || first[2].Value != 2e6 || first[3].Value != measured || measured < 1e6 {
		t.Errorf("predicted 2 ms of threads, measured %v: the row is %+v", measured, first)
	}
	if got, want := first[4].Value, measured/2e6; math.Abs(got-want) > 1e-9 {
		t.Errorf("measured/predicted %v, want %v", got, want)
	}
	// Its trials are not comparable: the figure is struck out, and so no factor is made of it.
	if second := table.Rows[1]; !second[3].Struck || second[4].Text != dash {
		t.Errorf("a figure that is not comparable: %+v", second)
	}
	if table.Columns[2].Unit != "ns" {
		t.Errorf("unit %q", table.Columns[2].Unit)
	}
	run.Predictions = append(run.Predictions, Prediction{Arm: "isolated", Subject: "async", Metric: "success.deadline", Value: 0.5})
	if table, _, err = PredictionsTable(run); err != nil || table.Columns[2].Unit != "" || table.Rows[2][2].Text != "50.00" {
		t.Errorf("a rate among latencies: %v, unit %q, %+v", err, table.Columns[2].Unit, table.Rows[2])
	}
	var b strings.Builder
	if err := RenderText(&b, []Table{table}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > lineWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestTablesBeginWithPredictions(t *testing.T) {
	without, with := must(Tables(sampleRun(), -1)), must(Tables(predictedRun(), -1))
	if len(with) != len(without)+1 || !strings.HasPrefix(with[0].Title, "predicted") || with[0].Detail {
		t.Errorf("%d tables with predictions, the first %q; %d without", len(with), with[0].Title, len(without))
	}
	if _, ok, err := PredictionsTable(sampleRun()); ok || err != nil {
		t.Errorf("no predictions make a table: %v, %v", ok, err)
	}
}

func TestPredictionsOfAnEmptyRun(t *testing.T) {
	run := predictedRun()
	run.Trials = nil
	table, _, err := PredictionsTable(run)
	if err != nil || table.Rows[0][3].Text != dash || table.Rows[0][4].Text != dash {
		t.Errorf("nothing was measured: %v, %+v", err, table.Rows)
	}
	if v := must(Figure(run, "original", 0, "threads", "server.listen_overflows")); !math.IsNaN(v) {
		t.Errorf("overflows of nothing: %v", v)
	}
}

func TestPredictionsAreStoredAndReadStrictly(t *testing.T) {
	run, dir := predictedRun(), filepath.Join(t.TempDir(), "run")
	run.Trials = nil
	storeRun(t, dir, run)
	path := filepath.Join(dir, runFile)
	written := must(os.ReadFile(path))
	got, err := OpenRun(dir)
	if err != nil || len(got.Predictions) != 2 || got.Predictions[1] != run.Predictions[1] {
		t.Fatalf("read %+v, %v", got, err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"load": 1`, `"load": 2`, `load 2 of arm "original"`},
		{`"load": 1`, `"load": -1`, `load -1`},
		{`"subject": "mutex-pool"`, `"subject": "nobody"`, `"nobody", which does not play`},
		{`"metric": "latency.p99"`, `"metric": "latency.p98"`, "no such number"},
		{`"metric": "latency.p99"`, `"metric": ""`, "a metric is a path"},
		{`"value": 2000000`, `"value": -1`, "want a number from 0 on"},
		{`"value": 2000000`, `"value": 1e999`, "cannot unmarshal"},
		{`"value": 2000000`, `"guess": 2000000`, `unknown field "guess"`},
	} {
		spoilt := bytes.Replace(written, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(spoilt, written) {
			t.Fatalf("run.json does not hold %s", c.old)
		}
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenRun(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s for %s: %v, want %q", c.new, c.old, err, c.want)
		}
	}
}

// TestRunsWithoutPredictionsAreRead holds that the key is absent where nothing
// was predicted, as in runs of older versions.
func TestRunsWithoutPredictionsAreRead(t *testing.T) {
	run, dir := sampleRun(), filepath.Join(t.TempDir(), "run")
	run.Trials = nil
	storeRun(t, dir, run)
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(dir, runFile))), &keys); err != nil {
		t.Fatal(err)
	}
	if _, there := keys["predictions"]; there {
		t.Error("a run without predictions has the key")
	}
	if got, err := OpenRun(dir); err != nil || got.Predictions != nil {
		t.Errorf("read %+v, %v", got, err)
	}
}

func TestMetricsTable(t *testing.T) {
	run := sampleRun()
	columns := []MetricColumn{{"server.listen_overflows", "overflows"}, {MetricMax, "max"}, {"success.deadline", "in time"}}
	table, err := MetricsTable(run, "evidence", "original", 0, columns)
	if err != nil {
		t.Fatal(err)
	}
	var overflows int64
	for _, r := range run.Trials {
		if r.Arm == "original" && r.Subject.Name == "threads" && r.Load.Clients == 20 {
			overflows += r.Server.ListenOverflows
		}
	}
	row := table.Rows[0]
	if len(table.Rows) != 4 || row[1].Value != float64(overflows) || overflows == 0 || row[2].Text != "1.02s" || row[3].Text == dash {
		t.Errorf("%d overflows in all; %+v", overflows, row)
	}
	if table.Columns[1].Key != "server_listen_overflows" || table.Columns[2].Unit != "ns" || table.Columns[3].Unit != "fraction" {
		t.Errorf("columns %+v", table.Columns)
	}
	for _, c := range []struct{ arm, metric, want string }{{"nowhere", MetricP99, `no arm "nowhere"`}, {"original", "server.nothing", "no such number"}} {
		if _, err := MetricsTable(run, "x", c.arm, 0, []MetricColumn{{c.metric, "x"}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := Figure(run, c.arm, 0, "threads", c.metric); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("figure %+v: %v", c, err)
		}
	}
}

// TestFigureOfNothingAnswered tells an empty histogram from a latency of 0.
func TestFigureOfNothingAnswered(t *testing.T) {
	run := sampleRun()
	for _, r := range run.Trials {
		r.Latency = record.NewLatency(record.NewHistogram(), "service")
	}
	if v := must(Figure(run, "original", 0, "threads", MetricP99)); !math.IsNaN(v) {
		t.Errorf("p99 of no answer: %v", v)
	}
}
