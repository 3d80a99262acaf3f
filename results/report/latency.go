package report

import (
	"fmt"
	"math"

	"mslab/results"
	"mslab/results/record"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// pointsPerDecade is how finely a percentile curve is drawn: each tenfold of the
// axis 0, 90, 99, 99.9 … % has as many points.
const pointsPerDecade = 24

// farthest is where the curves end at the latest, as 1/(1-share): 99.999 %.
const farthest = 1e5

// latency draws the percentile curves of all subjects over one another.
func (s *section) latency(scene results.Scene) (*figure, error) {
	f := &figure{id: "latency", title: "Latency by percentile",
		how: "Of the requests answered as they should, over all blocks; both axes are logarithmic, and each step to the right is ten times rarer. A curve ends where fewer than one request is left.",
		table: results.Table{Title: "Latency by percentile", Columns: []results.Column{
			subjectColumn(s.run),
			{Key: "count", Title: "requests"},
			{Key: "p50", Title: "50 %", Unit: "ns"}, {Key: "p90", Title: "90 %", Unit: "ns"}, {Key: "p99", Title: "99 %", Unit: "ns"},
			{Key: "p999", Title: "99.9 %", Unit: "ns"}, {Key: "p9999", Title: "99.99 %", Unit: "ns"}, {Key: "max", Title: "greatest", Unit: "ns"},
		}}}
	plot := &lines{title: "latency", x: axis{"percentile", percentile, share}, y: axis{"latency", logarithmic, nanoseconds}, joined: true, tall: true}
	kinds := map[string]bool{}
	for _, standing := range scene.Standings {
		if standing.Timed == nil || standing.Timed.Latency.Count == 0 {
			f.notes = append(f.notes, standing.Subject.Title()+": no request was answered as it should.")
			continue
		}
		latency := standing.Timed.Latency
		h, err := latency.Histogram()
		if err != nil {
			return nil, fmt.Errorf("latency of %s: %w", standing.Subject.Name, err)
		}
		curve := percentileCurve(h)
		curve.name, curve.subject = standing.Subject.Title(), standing.Subject.Title()
		curve.colour, curve.struck = s.colour(standing.Subject.Name), standing.TimedStruck
		plot.series = append(plot.series, curve)
		f.table.Rows = append(f.table.Rows, percentileRow(standing, latency, h))
		kinds[latency.Kind] = true
		if left := leftOut(standing); left != "" {
			f.notes = append(f.notes, left)
		}
	}
	if len(plot.series) == 0 {
		return nil, nil
	}
	if kinds["response"] {
		plot.y.title = "latency from the intended start"
		plot.title = plot.y.title
	}
	f.lines = []*lines{plot}
	return f, nil
}

// leftOut says how much of a subject the curve leaves out.
func leftOut(s results.Standing) string {
	out := 0
	for _, t := range s.Trials {
		if t.Struck != "" || t.Untimed != "" {
			out++
		}
	}
	switch {
	case s.TimedStruck && out > 0:
		return fmt.Sprintf("%s is struck out: none of its %d blocks is comparable. What it measured is drawn in grey and counts for nothing.", s.Subject.Title(), out)
	case out > 0:
		return fmt.Sprintf("%s: %d of %d blocks are struck out and not in its curve.", s.Subject.Title(), out, len(s.Trials))
	}
	return ""
}

func percentileCurve(h *hdrhistogram.Histogram) series {
	var s series
	last := math.Min(float64(h.TotalCount()), farthest)
	for i := 1; ; i++ { // the least of all says nothing and would stretch the axis
		x := math.Pow(10, float64(i)/pointsPerDecade)
		if x > last*(1+1e-9) {
			return s
		}
		s.x = append(s.x, round(x, 5))
		s.y = append(s.y, float64(h.ValueAtPercentile(100*(1-1/x))))
	}
}

func percentileRow(standing results.Standing, l record.Latency, h *hdrhistogram.Histogram) []results.Cell {
	row := []results.Cell{results.TextCell(standing.Subject.Title()), results.FigureCell(float64(l.Count), results.FormatCount)}
	for _, p := range []float64{50, 90, 99, 99.9, 99.99} {
		v := math.NaN()
		if float64(l.Count)*(1-p/100) >= 1-1e-9 {
			v = float64(h.ValueAtPercentile(p))
		}
		row = append(row, results.FigureCell(v, results.FormatNS))
	}
	row = append(row, results.FigureCell(float64(l.Max), results.FormatNS))
	for i := range row[1:] {
		row[i+1].Struck = standing.TimedStruck && row[i+1].Text != "-"
	}
	return row
}

// round keeps as many significant digits, so that the page holds no more than it
// draws.
func round(v float64, digits int) float64 {
	if v == 0 || !finite(v) {
		return v
	}
	p := math.Pow(10, float64(digits-1)-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*p) / p
}
