package report

import (
	"math"
	"strconv"

	"mslab/results"
)

// figure is one plot and the table that says the same: what the page, the table
// under the plot and the SVG file are all drawn from. Exactly one of dots and
// lines is set.
type figure struct {
	id    string // of its section, unique on the page
	title string
	// how says in a sentence how to read it and what its marks are.
	how   string
	dots  *dots
	lines []*lines // one above the other, over one horizontal axis
	table results.Table
	notes []string
}

// dots is a plot of figures with their intervals: a row a subject, a panel a
// measure.
type dots struct {
	rows   []rowName
	panels []panel
	// matrix panels share one scale and stay side by side on any screen.
	matrix bool
}

type rowName struct {
	text   string
	colour int
}

// panel is one measure of every row.
type panel struct {
	title  string // with the unit where the values do not carry it
	format func(float64) string
	marks  []mark // one a row
	// zero draws the axis from 0 on, else it spans the data; reference is a line
	// at that value, such as a ratio of 1; not a number where there is none.
	zero      bool
	reference float64
	log       bool // distances are ratios
	highest   float64
	short     bool // the values are printed in short
}

// mark is a figure, its interval and the values that it sums up. Not a number
// stands for what is not known.
type mark struct {
	value, low, high float64
	// interval says what low and high are; "" where there are none.
	interval string
	// extent says that they are the extremes of the values and no interval.
	extent bool
	struck bool
	text   string // instead of the formatted value; "" for that
	said   string // more for the one who reads it out, such as a verdict
	faint  bool   // no difference was told
	raw    []raw
}

// raw is one of the values behind a mark.
type raw struct {
	value  float64
	label  string
	struck bool
}

// lines is a plot of values over a common horizontal axis.
type lines struct {
	title  string // of the vertical axis, with its unit
	x, y   axis
	series []series
	bands  []band
	tall   bool
	points bool // marks and no lines: values that do not follow one another
	joined bool // a line through the points all the same
}

// scale is how an axis is laid out.
type scale int

const (
	linear      scale = iota // from 0
	logarithmic              // distances are ratios
	percentile               // of 1/(1-share), logarithmic: 0, 90, 99, 99.9 …
)

type unit string

// The units that axes are drawn in.
const (
	nanoseconds unit = "ns"
	perSecond   unit = "/s"
	secondsUnit unit = "s"
	share       unit = "share"
)

type axis struct {
	title string
	scale scale
	unit  unit
}

// format prints a value of the axis.
func (a axis) format(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	switch a.unit {
	case nanoseconds:
		return results.FormatNS(v)
	case secondsUnit:
		return strconv.FormatFloat(v, 'f', -1, 64) + " s"
	case share:
		return formatPercentile(v) + " %"
	case perSecond:
		return results.FormatCount(v)
	}
	return results.FormatCount(v)
}

// formatPercentile prints 1/(1-share) as the percentile that it stands for:
// 1000 is 99.9.
func formatPercentile(v float64) string {
	p := 100 * (1 - 1/v)
	decimals := 0
	if v > 10 {
		decimals = max(0, int(math.Ceil(math.Log10(v)-1e-9))-2)
	}
	if v > 1 && v < 100 && math.Abs(p-math.Round(p)) > 1e-6 {
		decimals = 1
	}
	return strconv.FormatFloat(p, 'f', decimals, 64)
}

// series is one line of a plot: a subject, or one of its trials.
type series struct {
	name    string
	subject string // whose line of the legend it is; "" for none
	colour  int
	struck  bool // measured, and not to be compared
	x, y    []float64
	labels  []string // of the points; nil for none
}

// band is a stretch of the horizontal axis, such as a fault.
type band struct {
	name     string
	from, to float64
}

// finite tells a number from what is not known.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
