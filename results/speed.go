package results

import (
	"fmt"
	"slices"
)

// SpeedSample is what a fixed piece of socket work cost just before a slice.
type SpeedSample struct {
	OffsetS float64 `json:"offset_s"` // of the slice, since the start of the run
	NS      float64 `json:"ns"`       // a round of that work, see Calibrate
}

// Speed is how fast the machine was during a run.
type Speed struct {
	Samples []SpeedSample `json:"samples"` // in the order of time
	// Segments are the stretches between changes, as indexes into Samples. One
	// means that no change was found.
	Segments []Segment `json:"segments"`
}

// speedRule finds flips of the machine's speed, which are of 17-30 % and last
// tens of seconds where they were seen. Single calibrations scatter by 2 to 15 %.
var speedRule = ChangeRule{Alpha: 0.02, MinEffect: 0.08, MinLength: 4}

// SpeedOf looks at the calibrations of all slices of a run.
func SpeedOf(run *Run) Speed {
	var s Speed
	for _, t := range run.Trials {
		for _, slice := range t.Slices {
			if slice.CalibrationNS > 0 {
				s.Samples = append(s.Samples, SpeedSample{slice.OffsetS, slice.CalibrationNS})
			}
		}
	}
	slices.SortStableFunc(s.Samples, func(a, b SpeedSample) int {
		switch {
		case a.OffsetS < b.OffsetS:
			return -1
		case a.OffsetS > b.OffsetS:
			return 1
		}
		return 0
	})
	values := make([]float64, len(s.Samples))
	for i, sample := range s.Samples {
		values[i] = sample.NS
	}
	s.Segments = speedRule.Segments(values)
	return s
}

// note says that the machine changed its speed, "" where it did not: segments
// are called fast or slow by the side of the middle between the extremes that
// they are on.
func (s Speed) note() string {
	if len(s.Segments) < 2 {
		return ""
	}
	low, high := s.Segments[0].Median, s.Segments[0].Median
	for _, segment := range s.Segments {
		low, high = min(low, segment.Median), max(high, segment.Median)
	}
	var fast, slow []float64
	for _, segment := range s.Segments {
		for _, sample := range s.Samples[segment.From:segment.To] {
			if segment.Median < (low+high)/2 {
				fast = append(fast, sample.NS)
			} else {
				slow = append(slow, sample.NS)
			}
		}
	}
	quick, late := Median(fast), Median(slow)
	return fmt.Sprintf("The machine changed its speed %s during the run: socket work took %s a round before %s and %s before %d (%s). Slices in turn share that out among the subjects.",
		often(len(s.Segments)-1), FormatNS(quick), countOf(int64(len(fast)), "slice"), FormatNS(late), len(slow), formatChange(late/quick))
}
