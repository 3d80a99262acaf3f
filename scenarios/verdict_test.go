package scenarios

import (
	"strings"
	"testing"
	"time"

	"mslab/results/record"
)

func TestJudgeAccounting(t *testing.T) {
	counts := func(sent, ok, inFlight, inDoubt int64) record.Counts {
		return record.Counts{Sent: sent, OK: ok, Failed: sent - ok - inFlight, InFlight: inFlight, InDoubt: inDoubt}
	}
	cases := []struct {
		name      string
		counts    record.Counts
		processed int64
		pending   int64
		want      string // "" is valid
	}{
		{"equal", counts(10, 10, 0, 0), 10, 0, ""},
		{"refused ones were not processed", counts(10, 8, 0, 0), 8, 0, ""},
		{"in doubt, done", counts(10, 8, 0, 2), 10, 0, ""},
		{"in doubt, not done", counts(10, 8, 0, 2), 8, 0, ""},
		{"in flight, done", counts(10, 8, 2, 0), 9, 0, ""},
		{"fewer than acknowledged", counts(10, 10, 0, 0), 9, 0, "processed 9 batches, the generator got 10"},
		{"more than sent", counts(10, 8, 0, 2), 11, 0, "processed 11 batches, the generator sent 10"},
		{"one that nobody asked about", counts(10, 8, 0, 0), 9, 0, "none is in flight or in doubt"},
		{"not drained", counts(10, 10, 0, 0), 10, 3, "3 batches unwritten"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := &record.Record{Counts: c.counts, Verdict: record.Verdict{Valid: true, Comparable: true},
				Server: &record.Server{Counters: map[string]int64{"batches_processed": c.processed}}}
			judge(r, c.pending)
			reasons := strings.Join(r.Verdict.Reasons, "; ")
			if r.Verdict.Valid != (c.want == "") || !strings.Contains(reasons, c.want) {
				t.Errorf("valid %v (%s), want %q", r.Verdict.Valid, reasons, c.want)
			}
		})
	}
	r := &record.Record{Verdict: record.Verdict{Valid: true}, Server: &record.Server{Counters: map[string]int64{}}}
	if judge(r, 0); r.Verdict.Valid {
		t.Error("a server without the counter is believed")
	}
}

func TestJudgeDisturbance(t *testing.T) {
	cases := []struct {
		name         string
		steal        float64
		throttled    int64
		wall         time.Duration
		comparable   bool
		wantInReason string
	}{
		{"quiet", 0, 0, time.Second, true, ""},
		{"one tick", 0.01, 0, 100 * time.Millisecond, true, ""},
		{"5 % of two cores are borne", 0.1, 0, time.Second, true, ""},
		{"steal", 0.15, 0, time.Second, false, "7.5 %"},
		{"throttled", 0, 2, time.Second, false, "ran out 2 times"},
	}
	for _, c := range cases {
		r := &record.Record{Verdict: record.Verdict{Valid: true, Comparable: true}}
		taken := disturbance{steal: 1, throttled: 1}
		taken.add(disturbance{7 + c.steal, 3 + c.throttled}.since(disturbance{steal: 8, throttled: 4}))
		judgeDisturbance(r, taken, c.wall, 2)
		if r.Verdict.Comparable != c.comparable || !r.Verdict.Valid || !strings.Contains(strings.Join(r.Verdict.Reasons, ""), c.wantInReason) {
			t.Errorf("%s: %+v", c.name, r.Verdict)
		}
	}
}

func TestBottleneckNeedsEvidence(t *testing.T) {
	two := splitCores([]int{0, 1})
	cases := []struct {
		name     string
		change   func(r *record.Record, m *machineLoad)
		want     string
		evidence string
	}{
		{"idle", func(r *record.Record, _ *machineLoad) { r.Load.ThinkNS = 2e7 }, record.UnknownResource,
			"server CPU 50 % of 1 core for 1.0 s (idle 40 %), within writes to its file 10 % of the time, waits for locks 0 % of the requests' time, clients think for 20ms between requests"},
		{"process", func(r *record.Record, _ *machineLoad) { r.Server.CPUNS = 96e7 }, record.ServerCPU, "server CPU 96 % of 1 core for 1.0 s"},
		{"core", func(r *record.Record, m *machineLoad) { r.Server.CPUNS, m.idle = 90e7, 0.01 }, record.ServerCPU, "server CPU 90 % of 1 core for 1.0 s (idle 1 %)"},
		{"others' core", func(r *record.Record, m *machineLoad) { r.Server.CPUNS, m.idle = 50e7, 0.01 }, record.UnknownResource, "(idle 1 %)"},
		{"limited", func(r *record.Record, _ *machineLoad) { r.Server.CPUNS, r.Counts.ByClass[record.Status429] = 99e7, 600 }, record.RateLimiter, "60 % of the answers were 429"},
		{"one limited", func(r *record.Record, _ *machineLoad) { r.Counts.ByClass[record.Status429] = 1 }, record.UnknownResource, "under 1 % of the answers were 429"},
		{"disk", func(r *record.Record, _ *machineLoad) {
			r.Server.Counters = map[string]int64{"sink_write_ns": 97e7, "mutex_wait_ns": 19e9}
		}, record.Disk, "within writes to its file 97 % of the time"},
		{"foreign disk", func(r *record.Record, m *machineLoad) { r.Server.Counters, m.io = nil, 0.8 }, record.Disk, "tasks of this machine waited for its disks 80 % of the time"},
		{"foreign", func(r *record.Record, _ *machineLoad) { r.Server.Counters = nil }, record.UnknownResource, "server CPU 50 % of 1 core for 1.0 s (idle 40 %)"},
		{"lock", func(r *record.Record, _ *machineLoad) { r.Server.Counters["mutex_wait_ns"] = 12e9 }, record.LockWait, "waits for locks 60 % of the requests' time"},
		{"queue", func(r *record.Record, _ *machineLoad) { r.Server.ListenOverflows, r.Server.SynRetransmits = 300, 4 }, record.AcceptQueue,
			"the accept queue was full 300 times and 4 SYNs sent again, which cost the clients 20 % of their time at 1 s each"},
		{"one overflow", func(r *record.Record, _ *machineLoad) { r.Server.ListenOverflows = 1 }, record.UnknownResource, "the accept queue was full once"},
		{"the generator's word", func(r *record.Record, _ *machineLoad) {
			r.Server.CPUNS, r.Verdict.Bottleneck, r.Verdict.Evidence = 99e7, record.GeneratorCPU, "its thread ran 96 % of the time"
		}, record.GeneratorCPU, "its thread ran 96 % of the time"},
		{"not read", func(r *record.Record, _ *machineLoad) { r.Server = nil }, "", ""},
	}
	for _, c := range cases {
		r := &record.Record{
			Load:   record.Load{Clients: 20},
			Server: &record.Server{CPUNS: 5e8, Counters: map[string]int64{"sink_write_ns": 1e8, "mutex_wait_ns": 0}},
			Slices: []record.Slice{{DurationS: 0.5}, {DurationS: 0.5}},
			Counts: record.Counts{Answered: 1000, Connects: 1000, ByClass: map[record.Class]int64{}},
			Little: &record.Little{RequestsNS: 20e9},
		}
		m := machineLoad{idle: 0.4, read: true}
		c.change(r, &m)
		judgeBottleneck(r, two, m)
		if v := r.Verdict; v.Bottleneck != c.want || !strings.Contains(v.Evidence, c.evidence) {
			t.Errorf("%s: %q by %q, want %q by %q", c.name, v.Bottleneck, v.Evidence, c.want, c.evidence)
		}
	}
}
