package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"mslab/results/record"
)

// machineLoad returns the record of one machine of 10 clients for 10 s, that started
// after offset.
func machineLoad(offset time.Duration) *record.Record {
	latency := latencyOf(1000, 1e6, 9e6)
	r := &record.Record{
		Started: time.Unix(1700000000, 0).UTC().Add(offset),
		Subject: record.Subject{Name: "http://s:8080/metrics", URL: "http://s:8080/metrics", Request: "POST /metrics"},
		Load:    record.Load{Clients: 10, Arrival: "closed", Connection: "keep", DurationS: 10, DeadlineNS: 25e7, TimeoutNS: 5e9, Metrics: 3, Seed: 1},
		Counts: record.Counts{Sent: 1000, Answered: 1000, OK: 1000, WithinDeadline: 1000, Connects: 10,
			ByClass: map[record.Class]int64{record.OK: 1000}},
		RPS: record.RPS{OK: 100, Total: 100}, Latency: latency,
		Verdict: record.Verdict{Valid: true, Comparable: true, Reasons: []string{}},
	}
	r.Finalize()
	return r
}

func partsOf(a, b *record.Record) []record.Part {
	return []record.Part{{File: "a.json", Record: a}, {File: "b.json", Record: b}}
}

func TestMergeLoads(t *testing.T) {
	b := machineLoad(20 * time.Millisecond)
	b.Load.Clients, b.Load.Seed = 30, 2 // these may differ
	sum, err := MergeLoads(partsOf(machineLoad(0), b)...)
	if err != nil {
		t.Fatal(err)
	}
	if v := sum.Verdict; !v.Valid || !v.Comparable || len(v.Reasons) != 0 || sum.Load.Clients != 40 || sum.Counts.OK != 2000 {
		t.Errorf("verdict %+v, %d clients, %d ok", v, sum.Load.Clients, sum.Counts.OK)
	}
	var out bytes.Buffer
	if err := RenderText(&out, LoadTables(sum)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"40 clients", "a.json", "b.json", "20.0ms", "up to 20.0ms apart", "lag is the largest"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("the tables do not say %q:\n%s", want, out.String())
		}
	}
	// Compared as any other load.
	if run, err := Join(RunOf(sum), RunOf(sum)); err != nil || len(run.Trials) != 2 {
		t.Errorf("compare sums: %v", err)
	}
}

// TestMergeLoadsRefuses wants the file and what is different named.
func TestMergeLoadsRefuses(t *testing.T) {
	phase := 3
	for want, spoil := range map[string]func(*record.Record){
		`URL "http://s:8080/metrics" there, "http://x/" here`: func(r *record.Record) { r.Subject.URL = "http://x/" },
		`name "http://s:8080/metrics" there, "s" here`:        func(r *record.Record) { r.Subject.Name = "s" },
		`phase "none" there, "3" here`:                        func(r *record.Record) { r.Subject.Phase = &phase },
		`recipe "map[]" there, "map[exec:pool]" here`:         func(r *record.Record) { r.Subject.Recipe = map[string]string{"exec": "pool"} },
		`request "POST /metrics" there, "PUT /metrics" here`:  func(r *record.Record) { r.Subject.Request = "PUT /metrics" },
		`arrival "closed" there, "constant" here`:             func(r *record.Record) { r.Load.Arrival = "constant" },
		`connection "keep" there, "new" here`:                 func(r *record.Record) { r.Load.Connection = "new" },
		`bound "duration" there, "requests" here`:             func(r *record.Record) { r.Load.Requests = 1000 },
		`requests per client "0" there, "100" here`:           func(r *record.Record) { r.Load.RequestsPerClient = 100 },
		`warm-up "0ns" there, "1.00s" here`:                   func(r *record.Record) { r.Load.WarmupS = 1 },
		`think time "0s" there, "1ms" here`:                   func(r *record.Record) { r.Load.ThinkNS = 1e6 },
		`deadline "250ms" there, "1s" here`:                   func(r *record.Record) { r.Load.DeadlineNS = 1e9 },
		`timeout "5s" there, "1s" here`:                       func(r *record.Record) { r.Load.TimeoutNS = 1e9 },
		`metrics a body "3" there, "5" here`:                  func(r *record.Record) { r.Load.Metrics = 5 },
		`latency "service" there, "response" here`:            func(r *record.Record) { r.Latency.Kind = "response" },
		`number of rates "0" there, "2" here`:                 func(r *record.Record) { r.Load.Rates = []float64{1, 2} },
		"it is the sum of 2 records already":                  func(r *record.Record) { r.Merged = &record.Merged{Machines: make([]record.Machine, 2)} },
		"it is a trial of a run":                              func(r *record.Record) { r.Arm = "isolated" },
		"accounting does not add up":                          func(r *record.Record) { r.Counts.Sent++ },
	} {
		b := machineLoad(time.Millisecond)
		spoil(b)
		_, err := MergeLoads(partsOf(machineLoad(0), b)...)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "merge b.json: ") {
			t.Errorf("error %v, want one of b.json with %s", err, want)
		}
	}
	// A copy, as it comes from a file.
	var again record.Record
	if text, err := json.Marshal(machineLoad(0)); err != nil || json.Unmarshal(text, &again) != nil {
		t.Fatal("no copy")
	}
	var first record.Record
	if text, err := json.Marshal(machineLoad(0)); err != nil || json.Unmarshal(text, &first) != nil {
		t.Fatal("no copy")
	}
	if _, err := MergeLoads(partsOf(&first, &again)...); !errors.Is(err, ErrTwice) {
		t.Errorf("a copy under another name: %v, want ErrTwice", err)
	}
}

// TestMergeLoadsJudges what the sum of fine records may not be used for.
func TestMergeLoadsJudges(t *testing.T) {
	for _, c := range []struct {
		name              string
		spoil             func(a, b *record.Record)
		valid, comparable bool
		reason            string
	}{
		{"late by 0.2 s", func(_, b *record.Record) { b.Started = b.Started.Add(200 * time.Millisecond) }, true, true, ""},
		{"late by 1 s", func(_, b *record.Record) { b.Started = b.Started.Add(time.Second) }, true, false, "together for 9.00s of the 11.0s"},
		{"one after the other", func(_, b *record.Record) { b.Started = b.Started.Add(time.Hour) }, true, false, "together for 0ns of the 20.0s"},
		{"the same arrivals", func(a, b *record.Record) { a.Load.Arrival, b.Load.Arrival = "poisson", "poisson" }, true, false, "a.json and b.json drew the same random arrivals (seed 1)"},
		{"other arrivals", func(a, b *record.Record) {
			a.Load.Arrival, b.Load.Arrival, b.Load.Seed = "poisson", "poisson", 2
		}, true, true, ""},
		{"not valid", func(_, b *record.Record) {
			b.Verdict = record.Verdict{Reasons: []string{"it fell behind"}}
		}, false, false, "b.json: it fell behind"},
		{"saturated", func(a, _ *record.Record) {
			a.Verdict.Comparable, a.Verdict.Reasons = false, []string{"the generator is the bottleneck"}
		}, true, false, "a.json: the generator is the bottleneck"},
	} {
		a, b := machineLoad(0), machineLoad(time.Millisecond)
		c.spoil(a, b)
		sum, err := MergeLoads(partsOf(a, b)...)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		said := strings.Join(sum.Verdict.Reasons, "; ")
		if v := sum.Verdict; v.Valid != c.valid || v.Comparable != c.comparable || !strings.Contains(said, c.reason) || (c.reason == "") != (said == "") {
			t.Errorf("%s: verdict %+v, want valid %v, comparable %v, %q", c.name, v, c.valid, c.comparable, c.reason)
		}
	}
}
