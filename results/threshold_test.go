package results

import (
	"strings"
	"testing"

	"mslab/results/record"
)

func TestThreshold(t *testing.T) {
	r := &record.Record{
		Counts:  record.Counts{Sent: 1000, OK: 990, Failed: 10, ByClass: map[record.Class]int64{record.OK: 990, record.Reset: 10}},
		Success: record.Success{HTTP: 0.999},
		RPS:     record.RPS{OK: 1234.5},
		Latency: record.Latency{P99: 50_000_000, Count: 990},
	}
	for _, c := range []struct {
		text  string
		holds bool
	}{
		{"latency.p99 < 50ms", false},
		{"latency.p99 <= 50ms", true},
		{"latency.p99 > 0.04s", true},
		{"latency.count==990", true},
		{"success.http >= 99.9%", true},
		{"success.http > 0.999", false},
		{"rps.ok>=1e3", true},
		{"counts.failed != 10", false},
		{" counts.by_class.reset == 10 ", true},
		{"counts.by_class.shed == 0", true}, // what did not occur is left out of the record
		{"first_request_latency.max < 1h", false},
	} {
		parsed, err := ParseThreshold(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if breach := parsed.Breach(Figures(r)); (breach == "") != c.holds {
			t.Errorf("%s: holds %v (%q), want %v", c.text, breach == "", breach, c.holds)
		}
	}
}

func TestThresholdRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "want METRIC OP VALUE",
		"latency.p99":             "want METRIC OP VALUE",
		"latency.p99 = 5ms":       "want METRIC OP VALUE",
		"latency.p99 < 5ms extra": "want METRIC OP VALUE",
		"latency.p98 < 5ms":       "no metric latency.p98; there are ",
		"latency.hdr == 1":        "no metric",
		"server.cpu_ns < 1s":      "no metric",
		"latency.p99 < 5":         "no duration",
		"success.http >= 99.9":    "no rate",
		"success.http >= -1%":     "no rate",
		"success.http >= NaN":     "no rate",
		"rps.ok > many":           "no number",
		"rps.ok > Inf":            "no number",
		"counts.failed < 1%":      "no number",
	} {
		if _, err := ParseThreshold(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
}

// TestEveryThresholdMetricParses holds the list that errors print against the
// form that the flag takes.
func TestEveryThresholdMetricParses(t *testing.T) {
	values := map[Unit]string{Plain: "1", Nanoseconds: "1ms", Fraction: "50%", Bytes: "1MiB"}
	metrics := LoadMetrics()
	for _, metric := range metrics {
		if _, err := ParseThreshold(metric + " <= " + values[UnitOfMetric(metric)]); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"latency.p99", "success.http", "rps.ok", "counts.failed", "counts.by_class.status_503", "client.cpu_ns_per_request"} {
		if !strings.Contains(" "+strings.Join(metrics, " ")+" ", " "+want+" ") {
			t.Errorf("%s is not among the metrics", want)
		}
	}
}
