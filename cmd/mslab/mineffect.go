package main

import (
	"fmt"
	"math"

	"mslab/results"
)

const (
	// sameScenario plays a phase against itself.
	sameScenario = "aa"
	// leastEffect is the floor of the default minimum effect: below 1 % the
	// machine's own changes are too near.
	leastEffect = 0.01
)

// defaultMinEffect is the smallest effect to call a difference here, and where
// that comes from: the half-width of the 95 % interval of CPU per request in
// the newest run of a phase against itself, this machine's own, else the
// reference; not under 1 %.
func defaultMinEffect(roots []string) (effect float64, from string) {
	for _, root := range roots {
		summaries, err := results.ListRuns(root)
		if err != nil {
			continue // the floor stands; mslab results list tells of the error
		}
		for _, s := range summaries {
			if s.Scenario != sameScenario || s.Incomplete || s.Error != "" {
				continue
			}
			if half, ok := halfWidth(s.Dir); ok {
				return max(half, leastEffect), fmt.Sprintf("the 95 %% interval of a phase against itself in %s, not under 1 %%", s.Dir)
			}
		}
	}
	return leastEffect, "the floor of 1 %, since no run of the scenario aa is stored"
}

// halfWidth is half the interval of the run's first pair, where it has one with
// two ends.
func halfWidth(dir string) (half float64, ok bool) {
	run, err := results.OpenRun(dir)
	if err != nil {
		return 0, false
	}
	pairs := run.Pairs()
	if len(pairs) == 0 {
		return 0, false
	}
	comparisons, err := results.Compare(run, results.MetricCPU, pairs[:1], 0)
	if err != nil || comparisons[0].Verdict == results.TooFew {
		return 0, false
	}
	half = float64(comparisons[0].CIHigh-comparisons[0].CILow) / 2
	return half, half > 0 && !math.IsInf(half, 0)
}
