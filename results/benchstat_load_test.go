package results

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mslab/results/record"
)

func benchstatLoad(p50 int64) *record.Record {
	r := &record.Record{
		Subject: record.Subject{Name: "http://h/a b"},
		Load:    record.Load{Clients: 4, Arrival: "closed", Connection: "keep", Requests: 90},
		Counts:  record.Counts{Sent: 90, OK: 60, Failed: 30},
		RPS:     record.RPS{OK: 1234.5},
		Client:  record.Client{CPUPerRequest: 9000},
		Verdict: record.Verdict{Valid: true, Comparable: true},
	}
	r.Latency.P50, r.Latency.P99 = p50, 3*p50
	return r
}

// TestBenchstatReadsLoads has the real tool compare ten loads with ten that were half
// as fast.
func TestBenchstatReadsLoads(t *testing.T) {
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "old"), filepath.Join(dir, "new")}
	for i, name := range names {
		var out bytes.Buffer
		for n := range int64(10) {
			if err := RenderLoadBenchstat(&out, benchstatLoad((100_000+1000*n)*int64(i+1))); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("go is not on PATH, which runs benchstat")
	}
	out, err := exec.Command("go", "tool", "benchstat", names[0], names[1]).CombinedOutput()
	if err != nil {
		t.Fatalf("benchstat: %v\n%s", err, out)
	}
	for _, want := range []string{"Load/subject=http:__h_a_b/load=", "client-cpu-sec/req", "rps-ok", "p50-sec", "failed-%", "33.33", "+100.00% (p=0.000 n=10)"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("benchstat does not say %q:\n%s", want, out)
		}
	}
}

func TestBenchstatLeavesOutWhatProvesNothing(t *testing.T) {
	for what, change := range map[string]func(*record.Record){
		"invalid":    func(r *record.Record) { r.Verdict = record.Verdict{Reasons: []string{"it lost count"}} },
		"bottleneck": func(r *record.Record) { r.Verdict.Comparable = false },
		"nothing ok": func(r *record.Record) { r.Counts = record.Counts{Sent: 30, Failed: 30} },
	} {
		r := benchstatLoad(1)
		change(r)
		var out bytes.Buffer
		if err := RenderLoadBenchstat(&out, r); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "BenchmarkLoad") || !strings.Contains(out.String(), "# no sample") {
			t.Errorf("%s: printed\n%s", what, out.String())
		}
	}
}
