package results

import (
	"strings"
	"testing"

	"mslab/results/record"
)

// TestRatesBehindTheGenerator compares subjects whose rates are the generator's:
// the verdict says so, and CPU per request is compared all the same.
func TestRatesBehindTheGenerator(t *testing.T) {
	const reason = "the generator is the bottleneck: its thread ran 88 % of the time and waited 11 % for a core"
	play := func(struck int, verdict record.Verdict) *Run {
		run := sampleRun()
		for i, r := range run.Trials {
			if r.Block <= struck {
				c := *r
				c.Verdict = verdict
				run.Trials[i] = &c
			}
		}
		return run
	}
	behind := record.Verdict{Valid: true, Reasons: []string{reason}, Bottleneck: record.GeneratorCPU}
	compare := func(run *Run, metric string) Comparison {
		pairs := run.Pairs()[:1]
		return must(Compare(run, metric, pairs, 0.01))[0]
	}
	blocks := sampleRun().Plan.Arms[0].Blocks
	all := compare(play(blocks, behind), MetricRPS)
	if got := string(all.Verdict); !strings.HasPrefix(got, "cannot show here (the generator is the bottleneck in ") || all.Significant {
		t.Errorf("verdict %q", got)
	}
	if all.Ratio == all.Ratio || changeCell(all, true).Text != string(CannotShow) || intervalCell(all, true).Text != "" {
		t.Errorf("a ratio of %v stands beside the verdict", all.Ratio)
	}
	for _, metric := range []string{MetricP99, MetricRPS} {
		if c := compare(play(blocks, behind), metric); !c.cannotShow() {
			t.Errorf("%s: %q", metric, c.Verdict)
		}
	}
	if c := compare(play(blocks, behind), MetricCPU); c.cannotShow() || c.Verdict == TooFew {
		t.Errorf("CPU per request: %q", c.Verdict)
	}
	if c := compare(play(1, behind), MetricRPS); c.cannotShow() && blocks > 9 {
		t.Errorf("with one block struck out: %q", c.Verdict)
	}
	// Failed trials are no reason to say that this machine cannot show it.
	failed := record.Verdict{Reasons: []string{"accounting does not add up"}}
	if c := compare(play(blocks, failed), MetricRPS); c.Verdict != TooFew {
		t.Errorf("invalid trials: %q", c.Verdict)
	}
}
