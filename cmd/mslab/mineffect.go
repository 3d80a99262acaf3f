package main

import (
	"fmt"

	"mslab/results"
)

// leastEffect is the floor of the default minimum effect: below 1 % the
// machine's own changes are too near.
const leastEffect = 0.01

// defaultMinEffect is the smallest effect to call a difference here, and where
// that comes from: the half-width of the 95 % interval of CPU per request in
// the newest run of a phase against itself under root, this machine's own, else
// in the committed reference; not under 1 %.
func defaultMinEffect(root string) (effect float64, from string) {
	const what = "the 95 %% interval of a phase against itself in %s, not under 1 %%"
	summaries, err := results.ListRuns(root)
	if err != nil {
		summaries = nil // mslab results list tells of the error
	}
	for _, s := range summaries {
		if s.Scenario != results.SameScenario || s.Incomplete || s.Error != "" {
			continue
		}
		run, err := results.OpenRun(s.Dir)
		if err != nil {
			continue
		}
		if half, ok := results.SameHalfWidth(run); ok {
			return max(half, leastEffect), fmt.Sprintf(what, s.Dir)
		}
	}
	if half, ok := results.ReferenceHalfWidth(); ok {
		return max(half, leastEffect), fmt.Sprintf(what, "the reference run, of another machine")
	}
	return leastEffect, "the floor of 1 %, since no run of the scenario aa is stored"
}
