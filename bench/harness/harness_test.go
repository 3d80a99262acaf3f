package harness

import (
	"math"
	"slices"
	"testing"
)

// TestOrdersAreBalanced wants each thing once in each block, and every other
// block to be the one before it, backwards.
func TestOrdersAreBalanced(t *testing.T) {
	for block := 0; block < 8; block += 2 {
		there, back := Order(5, block), Order(5, block+1)
		slices.Reverse(back)
		if !slices.Equal(there, back) {
			t.Errorf("blocks %d and %d: %v and, backwards, %v", block, block+1, there, back)
		}
		slices.Sort(there)
		if !slices.Equal(there, []int{0, 1, 2, 3, 4}) {
			t.Errorf("block %d plays %v", block, there)
		}
	}
}

func TestRatioIsTakenWithinAPair(t *testing.T) {
	a, b := make([]float64, 8), make([]float64, 8)
	for i := range a {
		b[i] = float64(1 + i%3) // a machine that changes its speed
		a[i] = 1.25 * b[i]
	}
	r := RatioOf(a, b)
	if math.Abs(r.Mean-1.25) > 1e-9 || r.Low > 1.25 || r.High < 1.25 || r.High-r.Low > 1e-6 || r.Pairs != 8 || !r.Told() {
		t.Errorf("%+v, want 1.25", r)
	}
	if r := RatioOf(a[:3], b[:3]); r.Told() || !math.IsInf(r.High, 1) {
		t.Errorf("an interval of three pairs: %+v", r)
	}
	if r := RatioOf(nil, nil); r.Told() || !math.IsNaN(r.Mean) {
		t.Errorf("a ratio of nothing: %+v", r)
	}
}
