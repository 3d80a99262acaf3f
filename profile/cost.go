package profile

import (
	"fmt"
	"math"

	"mslab/results"
)

// Cost is what taking a profile cost the server: its CPU per request without
// and with the profiler, from stretches next to each other.
type Cost struct {
	Pairs          int     // stretches compared
	Without, With  float64 // CPU per request, ns; over all stretches with requests
	Ratio          float64 // geometric mean of the pairs' ratios of With to Without
	Low, High      float64 // its 95 % interval; infinite with fewer than six pairs
	logs           []float64
	plain, profile Window
}

// add compares two neighbouring stretches. Without requests there is nothing to
// compare.
func (c *Cost) add(plain, profiled Window) {
	if plain.Requests == 0 || profiled.Requests == 0 || plain.CPU <= 0 || profiled.CPU <= 0 {
		return
	}
	c.logs = append(c.logs, math.Log(perRequest(profiled)/perRequest(plain)))
	c.plain, c.profile = c.plain.add(plain), c.profile.add(profiled)
	c.Pairs = len(c.logs)
	c.Without, c.With = perRequest(c.plain), perRequest(c.profile)
	low, high := results.SignFlipInterval(c.logs)
	c.Ratio, c.Low, c.High = math.Exp(results.Mean(c.logs)), math.Exp(low), math.Exp(high)
}

func perRequest(w Window) float64 { return float64(w.CPU) / float64(w.Requests) }

// enough is the number of pairs from which an interval is finite.
const enough = 6

// String says it in a sentence.
func (c Cost) String() string {
	if c.Pairs == 0 {
		return "not known: it is the server's CPU per request without and with the profiler, and there were no requests to compare"
	}
	figures := fmt.Sprintf("CPU per request %s without and %s with it, %s",
		results.FormatNS(c.Without), results.FormatNS(c.With), change(c.Ratio))
	switch {
	case c.Pairs == 1:
		return figures + "; one comparison, in which the changes of machine and load are too"
	case c.Pairs < enough:
		return fmt.Sprintf("%s in the mean of %d pairs of stretches in turn; too few to tell it from chance", figures, c.Pairs)
	}
	told := ""
	if c.Low <= 1 && c.High >= 1 {
		told = ": not told apart from none"
	}
	return fmt.Sprintf("%s (95 %% interval %s to %s, %d pairs of stretches in turn)%s", figures, change(c.Low), change(c.High), c.Pairs, told)
}

// change prints a ratio as a signed percentage.
func change(ratio float64) string { return fmt.Sprintf("%+.1f %%", 100*(ratio-1)) }
