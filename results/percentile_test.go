package results

import (
	"strings"
	"testing"
)

// tailRun is a run of ten blocks in which all of b's requests take as long as a's,
// but for one block in which they take stall times as long.
func tailRun(stall int64) *Run {
	run := pairRun(1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	for _, r := range run.Trials {
		p50 := int64(1e6 + 1e4*int64(r.Block%3))
		if r.Subject.Name == "b" && r.Block == 4 {
			p50 *= stall
		}
		r.Latency = latencyOf(1000, p50, 5*p50)
	}
	return run
}

// One block of stalls moves the p99 of all requests, and is one block of ten to
// the rule: the row shows the ratio, the rule's verdict, and no contradiction
// without a word.
func TestPercentilesDescribeAndTheRuleDecides(t *testing.T) {
	run := tailRun(40)
	got := must(ComparePercentiles(run, run.Pairs(), 0.01))
	if len(got) != len(comparedPercentiles) {
		t.Fatalf("%d rows, want %d", len(got), len(comparedPercentiles))
	}
	rule := compareOne(t, run, MetricP99, 0.01)
	for _, c := range got {
		if c.Metric != MetricP99 {
			continue
		}
		if c.Ratio < 10 || c.Verdict != NoChange || c.Verdict != rule.Verdict || c.P != rule.P {
			t.Errorf("p99 of all requests %v times as long, verdict %q, p %v; want the stall to show and the rule's %q, %v", c.Ratio, c.Verdict, c.P, rule.Verdict, rule.P)
		}
	}
	for _, c := range got {
		outside := c.CILow > 1 || c.CIHigh < 1
		if c.Percentile < 100 && outside != c.Significant && c.Doubt == "" {
			t.Errorf("%s: interval [%v, %v] beside %q without a word", c.Metric, c.CILow, c.CIHigh, c.Verdict)
		}
	}
	again := must(ComparePercentiles(run, run.Pairs(), 0.01))
	for i := range got {
		if again[i] != got[i] && got[i].Percentile < 100 {
			t.Errorf("%s differs when it is made again: %+v, %+v", got[i].Metric, got[i], again[i])
		}
	}
}

func TestDoubtSaysWhyTheTwoDiffer(t *testing.T) {
	for _, c := range []struct {
		what      string
		low, high Number
		rule      Comparison
		want      string
	}{
		{"agree on a difference", 1.1, 1.3, Comparison{Verdict: Slower, Significant: true, P: 0.01, PAlone: 0.002, Ratio: 1.2}, ""},
		{"agree on none", 0.9, 1.3, Comparison{Verdict: NoChange, P: 0.5, PAlone: 0.5, Ratio: 1.1}, ""},
		{"small", 1.001, 1.005, Comparison{Verdict: NoChange, P: 0.01, PAlone: 0.01, Ratio: 1.003, MinEffect: 0.01}, "min effect of 1.00 %"},
		{"Holm", 1.1, 1.3, Comparison{Verdict: NoChange, P: 0.12, PAlone: 0.04, Ratio: 1.2}, "corrected for the number of pairs p is 0.120"},
		{"few blocks", 1.1, 3, Comparison{Verdict: NoChange, P: 0.5, PAlone: 0.5, Ratio: 1}, "block by block p is 0.500"},
		{"rule alone", 0.9, 1.3, Comparison{Verdict: Slower, Significant: true, P: 0.01, Ratio: 1.05}, "is slower block by block (+5.0 %"},
		{"too few", 1.1, 1.3, Comparison{Verdict: TooFew, P: 1, PAlone: 0.1, Ratio: 1.2}, ""},
	} {
		p := PercentileComparison{Ratio: 1.2, CILow: c.low, CIHigh: c.high}
		p.follow(c.rule)
		if c.want == "" && p.Doubt != "" || !strings.Contains(p.Doubt, c.want) {
			t.Errorf("%s: doubt %q, want %q", c.what, p.Doubt, c.want)
		}
	}
}

// Beyond 100 blocks neighbours are drawn together, and the estimate is that of
// all requests still.
func TestBatchesKeepEveryRequest(t *testing.T) {
	var blocks [][]valueCount
	for b := range 257 {
		blocks = append(blocks, bucketsOf(must(latencyOf(50, int64(1e6+1e3*b), 5e6).Histogram())))
	}
	var all int64
	for _, b := range blocks {
		all += total(b)
	}
	batched := batches(blocks, maxBatches)
	var kept int64
	for _, b := range batched {
		if n := total(b); n < 2*50 || n > 3*50 {
			t.Errorf("a batch of %d requests, want two or three blocks of 50", n)
		}
		kept += total(b)
	}
	if len(batched) != maxBatches || kept != all {
		t.Errorf("%d batches of %d requests, want %d of %d", len(batched), kept, maxBatches, all)
	}
}
