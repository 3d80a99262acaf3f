package record

import "testing"

// TestLittleIsAskedOfTheWholeTrial: slices too short to be asked alone are
// asked together.
func TestLittleIsAskedOfTheWholeTrial(t *testing.T) {
	slice := func(requestsNS float64) *Record {
		latency := NewLatency(NewHistogram(), "service")
		return &Record{Counts: Counts{Sent: 600, OK: 600, Answered: 600, ByClass: map[Class]int64{OK: 600}}, Latency: latency,
			Little: &Little{WindowNS: 500e6, InFlightNS: 1e9, RequestsNS: requestsNS}}
	}
	for _, part := range []*Record{slice(1e9), slice(1.1e9)} {
		if err := part.CheckLittle(); err != nil {
			t.Errorf("half a second alone: %v", err)
		}
	}
	good, err := Merge(slice(1e9), slice(1.01e9))
	if err != nil {
		t.Fatal(err)
	}
	if err := good.CheckLittle(); err != nil || good.Little.WindowNS != 1e9 {
		t.Errorf("two good slices: %v, %+v", err, good.Little)
	}
	bad, err := Merge(slice(1.05e9), slice(1.05e9))
	if err != nil {
		t.Fatal(err)
	}
	if bad.CheckLittle() == nil {
		t.Error("5 % off over both slices is not noticed")
	}
	older, err := Merge(&Record{Latency: slice(1).Latency}, slice(1e9))
	if err != nil || older.CheckLittle() != nil {
		t.Errorf("with a record that has none: %v", err)
	}
}
