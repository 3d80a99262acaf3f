package report

import (
	"math"

	"mslab/results"
)

// extent is the range of values that a plot spans.
type extent struct{ low, high float64 }

func emptyExtent() extent { return extent{math.Inf(1), math.Inf(-1)} }

func (e *extent) take(values ...float64) {
	for _, v := range values {
		if finite(v) {
			e.low, e.high = min(e.low, v), max(e.high, v)
		}
	}
}

func (e extent) empty() bool { return e.low > e.high }

// ticks are about n round values inside an extent.
func ticks(e extent, n int) []float64 {
	if e.empty() {
		return []float64{}
	}
	if e.high == e.low {
		return []float64{e.low}
	}
	step := niceStep((e.high - e.low) / float64(n))
	var out []float64
	for i := math.Ceil(e.low/step - 1e-9); i*step <= e.high+1e-9*step; i++ {
		out = append(out, round(i*step, 12))
	}
	return out
}

// niceStep is 1, 2 or 5 times a power of ten, and at least v.
func niceStep(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if v <= m*p*(1+1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// logTicks are powers of ten, and where those are few, 2 and 5 times them too.
func logTicks(e extent) []float64 {
	if e.empty() || e.low <= 0 {
		return []float64{}
	}
	decades := math.Log10(e.high / e.low)
	steps := []float64{1}
	switch {
	case decades < 2:
		steps = []float64{1, 2, 5}
	case decades < 3.2:
		steps = []float64{1, 3}
	}
	var out []float64
	for p := math.Pow(10, math.Floor(math.Log10(e.low))); p <= e.high*(1+1e-9); p *= 10 {
		for _, m := range steps {
			if v := round(m*p, 6); v >= e.low*(1-1e-9) && v <= e.high*(1+1e-9) {
				out = append(out, v)
			}
		}
	}
	if len(out) < 2 {
		return ticks(e, 3) // less than a step of 1, 2, 5
	}
	return out
}

// place maps a value to a position between from and to.
type place struct {
	e        extent
	log      bool
	from, to float64
}

func (p place) of(v float64) float64 {
	low, high := p.e.low, p.e.high
	if p.log {
		low, high, v = math.Log(low), math.Log(high), math.Log(v)
	}
	if high == low {
		return (p.from + p.to) / 2
	}
	return p.from + (v-low)/(high-low)*(p.to-p.from)
}

// layout is the extent of a plot's two axes and their ticks.
func (l *lines) layout() (x, y extent, xTicks, yTicks []float64) {
	x, y = emptyExtent(), emptyExtent()
	for _, s := range l.series {
		x.take(s.x...)
		y.take(s.y...)
	}
	for _, b := range l.bands {
		x.take(b.from, b.to)
	}
	switch l.x.scale {
	case percentile:
		x.take(1)
		xTicks = powersOfTen(x)
	default:
		x.take(0)
		xTicks = ticks(x, 8)
	}
	if y.empty() {
		y = extent{0, 1}
	}
	if l.y.scale == logarithmic {
		y = extent{y.low / 1.08, y.high * 1.08}
		yTicks = logTicks(y)
		return x, y, xTicks, yTicks
	}
	y.take(0)
	if y.high == 0 {
		y.high = 1
	}
	y.high *= 1.04
	return x, y, xTicks, ticks(y, 4)
}

func powersOfTen(e extent) []float64 {
	var out []float64
	for v := 1.0; v <= e.high*(1+1e-9); v *= 10 {
		out = append(out, v)
	}
	return out
}

// tickText prints a tick, which needs no unit where the axis' title has it.
func (a axis) tickText(v float64) string {
	if v == 0 {
		return "0"
	}
	switch a.unit {
	case share:
		return formatPercentile(v)
	case secondsUnit, perSecond:
		return results.FormatCount(v)
	}
	return a.format(v)
}
