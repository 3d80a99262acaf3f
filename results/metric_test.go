package results

import "testing"

// The short way to a figure gives what the record's JSON form holds.
func TestMetricReadsItsPath(t *testing.T) {
	r := sampleRun().Trials[0]
	for _, p := range comparedPercentiles {
		m := must(parseMetric(p.path))
		want, ok := lookup(r, p.path)
		if got := m.values(r); m.trial == nil || !ok || len(got) != 1 || got[0] != want || want == 0 {
			t.Errorf("%s: %v, want %v", p.path, got, want)
		}
	}
}
