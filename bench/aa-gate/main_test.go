package main

import "testing"

func TestMostByChance(t *testing.T) {
	// From a table of the binomial distribution, p = 0.05: P(X <= 3 of 20) is
	// 0.9841, P(X <= 4 of 20) is 0.9974; P(X <= 9 of 100) is 0.9718, 11: 0.9957.
	for n, want := range map[int]int{20: 4, 100: 11, 1: 1} {
		if got := mostByChance(n, 0.05); got != want {
			t.Errorf("of %d: %d, want %d", n, got, want)
		}
	}
}
