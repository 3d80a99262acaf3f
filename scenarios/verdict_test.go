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
	trial := func(cpu time.Duration, overflows, limited int64) *record.Record {
		return &record.Record{
			Server: &record.Server{CPUNS: int64(cpu), ListenOverflows: overflows},
			Slices: []record.Slice{{DurationS: 0.5}, {DurationS: 0.5}},
			Counts: record.Counts{ByClass: map[record.Class]int64{record.Status429: limited}},
		}
	}
	for want, r := range map[string]*record.Record{
		"accept queue": trial(time.Second, 1, 1),
		"server CPU":   trial(960*time.Millisecond, 0, 1),
		"rate limiter": trial(500*time.Millisecond, 0, 1),
		"unknown":      trial(500*time.Millisecond, 0, 0),
	} {
		if got := bottleneck(r, two); got != want {
			t.Errorf("bottleneck %q, want %q", got, want)
		}
	}
	own := trial(time.Second, 1, 1)
	own.Verdict.Bottleneck = "generator CPU"
	if got := bottleneck(own, two); got != "generator CPU" {
		t.Errorf("the generator's own word became %q", got)
	}
}
