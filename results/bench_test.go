package results

import "testing"

// BenchmarkTables draws a run of 48 trials: what `mslab compare` and every
// `results show` wait for.
func BenchmarkTables(b *testing.B) {
	run := sampleRun()
	for b.Loop() {
		if _, err := Tables(run, -1); err != nil {
			b.Fatal(err)
		}
	}
}
