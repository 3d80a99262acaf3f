package profile

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestCost(t *testing.T) {
	var c Cost
	if !strings.Contains(c.String(), "no requests to compare") {
		t.Errorf("without pairs: %s", c)
	}
	c.add(Window{CPU: time.Second}, Window{CPU: time.Second, Requests: 10})
	if c.Pairs != 0 {
		t.Error("a stretch without requests was compared")
	}
	// 10 % dearer in each pair, at speeds that differ between the pairs.
	for i := range 8 {
		cpu := time.Duration(1000+100*i) * time.Microsecond
		c.add(Window{CPU: cpu, Requests: 100}, Window{CPU: cpu * 11 / 10, Requests: 100})
	}
	if math.Abs(c.Ratio-1.1) > 1e-6 || c.Low > c.Ratio || c.High < c.Ratio || c.High-c.Low > 1e-3 {
		t.Errorf("ratio %v (%v to %v), want 1.1", c.Ratio, c.Low, c.High)
	}
	if math.Abs(c.With/c.Without-1.1) > 1e-6 || c.Pairs != 8 {
		t.Errorf("%v without, %v with, %d pairs", c.Without, c.With, c.Pairs)
	}
	if s := c.String(); !strings.Contains(s, "+10.0 %") || strings.Contains(s, "not told apart") {
		t.Errorf("it says %q", s)
	}
	// The same both ways is told apart from nothing.
	var same Cost
	for i := range 8 {
		a, b := Window{CPU: time.Millisecond, Requests: 100}, Window{CPU: 1020 * time.Microsecond, Requests: 100}
		if i%2 == 0 {
			a, b = b, a
		}
		same.add(a, b)
	}
	if !strings.Contains(same.String(), "not told apart") {
		t.Errorf("it says %q", same)
	}
	var few Cost
	for range 3 {
		few.add(Window{CPU: 100, Requests: 1}, Window{CPU: 101, Requests: 1})
	}
	if s := few.String(); !strings.Contains(s, "too few") || strings.Contains(s, "Inf") {
		t.Errorf("it says %q", s)
	}
}
