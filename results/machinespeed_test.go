package results

import (
	"math/rand/v2"
	"strings"
	"testing"

	"mslab/results/record"
)

// runAtSpeeds is a run of blocks with two subjects whose slices were calibrated
// at what level says of their place in time.
func runAtSpeeds(rng *rand.Rand, slices int, level func(i int) float64) *Run {
	run := &Run{}
	values := noisy(rng, 0.02, level, slices)
	for _, subject := range []string{"b", "a"} { // not in the order of time
		t := &record.Record{Subject: record.Subject{Name: subject}}
		for i := range values {
			if i%2 == int(subject[0]-'a') {
				t.Slices = append(t.Slices, record.Slice{OffsetS: float64(i), CalibrationNS: values[i]})
			}
		}
		run.Trials = append(run.Trials, t)
	}
	return run
}

func TestSpeedIsSaidWhereItChanged(t *testing.T) {
	s := SpeedOf(runAtSpeeds(rand.New(rand.NewPCG(1, 2)), 80, func(i int) float64 {
		if i >= 30 && i < 50 {
			return 2130
		}
		return 1820
	}))
	if len(s.Segments) != 3 || s.Segments[0].To != 30 || s.Segments[1].To != 50 {
		t.Errorf("segments %v, want changes at 30 and 50", s.Segments)
	}
	note := s.note()
	if !strings.Contains(note, "changed its speed 2 times during the run: socket work took 1.8") ||
		!strings.Contains(note, "before 60 slices and 2.1") || !strings.Contains(note, "before 20 (+1") {
		t.Errorf("note %q", note)
	}
	for i := range s.Samples {
		if s.Samples[i].OffsetS != float64(i) {
			t.Fatalf("sample %d is of second %v", i, s.Samples[i].OffsetS)
		}
	}
}

func TestSpeedIsNotSaidWhereItDidNotChange(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	said := 0
	const runs = 300
	for range runs {
		if SpeedOf(runAtSpeeds(rng, 56, func(int) float64 { return 1820 })).note() != "" {
			said++
		}
	}
	if said > 9 { // P(X > 9) < 0.1 at alpha 0.02, had it no least effect
		t.Errorf("a change was said of %d of %d steady runs", said, runs)
	}
	if note := SpeedOf(&Run{}).note(); note != "" {
		t.Errorf("of no trial: %q", note)
	}
}
