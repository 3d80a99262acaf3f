package main

import (
	"math"
	"testing"
)

func TestGrowthKeepsTheFastest(t *testing.T) {
	g := growth{}
	for _, output := range []string{
		"goos: linux\nBenchmarkParseGrowth/linear/n=10-2 \t 100\t 50.5 ns/op\t 3 MB/s\nBenchmarkParseGrowth/linear/n=100 1 400 ns/op\nPASS\n",
		"BenchmarkParseGrowth/linear/n=10-2 \t 100\t 40.5 ns/op\t 3 MB/s\nBenchmarkParseGrowth/linear/n=100 1 500 ns/op\n",
	} {
		if err := g.add([]byte(output)); err != nil {
			t.Fatal(err)
		}
	}
	if got := g["linear"]; got[10] != 40.5 || got[100] != 400 {
		t.Errorf("kept %v", got)
	}
	if err := g.add([]byte("no test files\n")); err == nil {
		t.Error("output without a time was taken")
	}
}

func TestFitExponent(t *testing.T) {
	times := map[int]float64{}
	for _, n := range []int{10, 30, 100} {
		times[n] = 7 * math.Pow(float64(n), 1.5)
	}
	got, err := fitExponent(times)
	if err != nil || math.Abs(got-1.5) > 1e-9 {
		t.Errorf("exponent %v, %v; want 1.5", got, err)
	}
	if _, err := fitExponent(map[int]float64{10: 1}); err == nil {
		t.Error("one size has no growth")
	}
}
