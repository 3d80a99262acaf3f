package results

import (
	_ "embed"
	"encoding/json"
	"math"
)

// SameScenario is the scenario that plays a phase against itself.
const SameScenario = "aa"

// referenceSame is what the committed run of SameScenario says of CPU per
// request, as `mslab compare --json` prints it. It is part of the program, so
// that one that was copied elsewhere still knows it.
//
//go:embed reference/aa.json
var referenceSame []byte

// ReferenceHalfWidth is the HalfWidth of the committed run of a phase against
// itself; ok is false where none is committed.
func ReferenceHalfWidth() (half float64, ok bool) {
	var doc Comparisons
	if json.Unmarshal(referenceSame, &doc) != nil || len(doc.Pairs) == 0 {
		return 0, false
	}
	return doc.Pairs[0].HalfWidth()
}

// SameHalfWidth is the HalfWidth of CPU per request in a run whose first pair
// is a phase against itself; ok is false for any other run.
func SameHalfWidth(run *Run) (half float64, ok bool) {
	pairs := run.Pairs()
	if len(pairs) == 0 {
		return 0, false
	}
	a, _ := run.Plan.Subject(pairs[0].A)
	b, _ := run.Plan.Subject(pairs[0].B)
	if a.Phase == nil || b.Phase == nil || *a.Phase != *b.Phase {
		return 0, false
	}
	comparisons, err := Compare(run, MetricCPU, pairs[:1], 0)
	if err != nil {
		return 0, false
	}
	return comparisons[0].HalfWidth()
}

// HalfWidth is half the length of the 95 % interval, as a fraction; ok is false
// where the interval has no two ends or comes of too few blocks.
func (c Comparison) HalfWidth() (half float64, ok bool) {
	half = float64(c.CIHigh-c.CILow) / 2
	return half, c.Verdict != TooFew && half > 0 && !math.IsInf(half, 0)
}
