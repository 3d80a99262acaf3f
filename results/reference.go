package results

import (
	_ "embed"
	"encoding/json"
	"maps"
	"math"
	"slices"

	"mslab/results/record"
)

// SameScenario is the scenario that plays a phase against itself.
const SameScenario = "aa"

// referenceSame is what the committed run of SameScenario says of CPU per
// request, as `mslab compare --json` prints it. It is part of the program, so
// that one that was copied elsewhere still knows it.
//
//go:embed reference/aa.json
var referenceSame []byte

// ReferenceHalfWidth is the widest HalfWidth of the committed run of subjects
// against themselves; ok is false where none is committed.
func ReferenceHalfWidth() (half float64, ok bool) {
	var doc Comparisons
	if json.Unmarshal(referenceSame, &doc) != nil {
		return 0, false
	}
	return widestHalf(doc.Pairs)
}

// SameHalfWidth is the widest HalfWidth of CPU per request among the pairs of a
// run that compare a subject with itself: one phase by one recipe, one command
// or one URL. ok is false where there is none.
func SameHalfWidth(run *Run) (half float64, ok bool) {
	var same []Pair
	for _, p := range run.Pairs() {
		a, _ := run.Plan.Subject(p.A)
		b, _ := run.Plan.Subject(p.B)
		if p.CannotShow == "" && alike(a.Subject, b.Subject) {
			same = append(same, p)
		}
	}
	comparisons, err := Compare(run, MetricCPU, same, 0)
	if err != nil {
		return 0, false
	}
	return widestHalf(comparisons)
}

// alike says that two subjects are one thing under two names.
func alike(a, b record.Subject) bool {
	switch {
	case a.Phase != nil && b.Phase != nil:
		return *a.Phase == *b.Phase && maps.Equal(a.Recipe, b.Recipe)
	case len(a.Command) > 0:
		return slices.Equal(a.Command, b.Command)
	}
	return a.URL != "" && a.URL == b.URL
}

func widestHalf(comparisons []Comparison) (half float64, ok bool) {
	for _, c := range comparisons {
		if h, has := c.HalfWidth(); has {
			half, ok = max(half, h), true
		}
	}
	return half, ok
}

// HalfWidth is half the length of the 95 % interval, as a fraction; ok is false
// where the interval has no two ends or comes of too few blocks.
func (c Comparison) HalfWidth() (half float64, ok bool) {
	half = float64(c.CIHigh-c.CILow) / 2
	return half, c.Verdict != TooFew && half > 0 && !math.IsInf(half, 0)
}
