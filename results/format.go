package results

import (
	"math"
	"strconv"
)

// dash stands for a figure that was not measured; an empty cell would read as
// zero.
const dash = "-"

// FormatNS prints nanoseconds with three significant digits in the unit a
// reader would choose: 812ns, 51.2µs, 3.04ms, 1.02s. Not a number is "-".
func FormatNS(ns float64) string {
	switch a := math.Abs(ns); {
	case math.IsNaN(ns) || math.IsInf(ns, 0):
		return dash
	case a < 999.5:
		return significant(ns) + "ns"
	case a < 999.5e3:
		return significant(ns/1e3) + "µs"
	case a < 999.5e6:
		return significant(ns/1e6) + "ms"
	default:
		return significant(ns/1e9) + "s"
	}
}

// significant prints three significant digits without an exponent; from 1,000
// on whole numbers.
func significant(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return dash
	}
	decimals := 0
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 0.0995:
		decimals = 3
	case a < 9.995:
		decimals = 2
	case a < 99.95:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// formatCount prints a count with a comma between thousands.
func formatCount(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return dash
	}
	s := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if v < 0 && s != "0" {
		s = "-" + s
	}
	return s
}

// formatShare prints a fraction as a percentage that never rounds up to 100: a
// single failure in a million must not read as none.
func formatShare(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return dash
	case v >= 1:
		return "100"
	case v > 0.9999:
		return ">99.99"
	}
	// The little that is added is what 0.0029*1e4 lacks of 29 by rounding.
	return strconv.FormatFloat(math.Floor(v*1e4+1e-9)/100, 'f', 2, 64)
}

// FormatCount prints a whole number with a comma between thousands; not a number
// is "-".
func FormatCount(v float64) string { return formatCount(v) }

// FormatShare prints a fraction in [0, 1] as a percentage without its sign, never
// rounded up to 100; not a number is "-".
func FormatShare(v float64) string { return formatShare(v) }

// formatChange prints a ratio as a signed percentage: 1.031 is "+3.1 %".
func formatChange(ratio float64) string {
	if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return dash
	}
	pct := 100 * (ratio - 1)
	decimals := 1
	if math.Abs(pct) >= 99.95 {
		decimals = 0
	}
	s := strconv.FormatFloat(pct, 'f', decimals, 64)
	if s == "-0.0" {
		s = "0.0"
	}
	if pct > 0 {
		s = "+" + s
	}
	return s + " %"
}
