package results

import (
	"fmt"
	"math"
	"strings"

	"mslab/results/record"
)

// Prediction is a figure that somebody foretold before the run was played, so
// that it can stand beside what was measured.
type Prediction struct {
	Arm     string  `json:"arm"`
	Load    int     `json:"load"`    // index into ArmPlan.Loads
	Subject string  `json:"subject"` // its name
	Metric  string  `json:"metric"`  // its path in the record, such as latency.p99
	Value   float64 `json:"value"`   // in the record's unit: ns, a fraction or a count
}

// Check says what the plan does not have of a prediction, or why its value is
// none.
func (p Prediction) Check(plan *Plan) error {
	arm, ok := plan.Arm(p.Arm)
	if !ok {
		return fmt.Errorf("a prediction is of arm %q, which the run does not have", p.Arm)
	}
	if p.Load < 0 || p.Load >= max(1, len(arm.Loads)) {
		return fmt.Errorf("a prediction is of load %d of arm %q, which has %d", p.Load, p.Arm, len(arm.Loads))
	}
	played := false
	for _, s := range plan.SubjectsOf(arm) {
		played = played || s.Name == p.Subject
	}
	if !played {
		return fmt.Errorf("a prediction is of %q, which does not play in arm %q", p.Subject, p.Arm)
	}
	if _, err := parseMetric(p.Metric); err != nil {
		return fmt.Errorf("a prediction of %s: %w", p.Subject, err)
	}
	if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) || p.Value < 0 {
		return fmt.Errorf("a prediction of %s of %s is %v; want a number from 0 on", p.Metric, p.Subject, p.Value)
	}
	return nil
}

// PredictionsTable puts what was predicted beside what was measured. It is not
// ok where nothing was predicted.
func PredictionsTable(run *Run) (t Table, ok bool, err error) {
	if len(run.Predictions) == 0 {
		return Table{}, false, nil
	}
	unit := unitOf(run.Predictions[0].Metric)
	for _, p := range run.Predictions {
		if unitOf(p.Metric) != unit {
			unit = "" // each row has its own
		}
	}
	t = Table{Title: "predicted before the run, and measured", Columns: []Column{
		run.Plan.subjectColumn(),
		{Key: "metric", Title: "figure", Left: true},
		{Key: "predicted", Title: "predicted", Unit: unit},
		{Key: "measured", Title: "measured", Unit: unit},
		{Key: "measured_over_predicted", Title: "measured/predicted"},
	}}
	trials := indexTrials(run)
	for _, p := range run.Predictions {
		row, err := predictionRow(run, trials, p)
		if err != nil {
			return Table{}, false, err
		}
		t.Rows = append(t.Rows, row)
	}
	return t, true, nil
}

func predictionRow(run *Run, trials trialIndex, p Prediction) ([]Cell, error) {
	m, err := parseMetric(p.Metric)
	if err != nil {
		return nil, err
	}
	arm, _ := run.Plan.Arm(p.Arm)
	s, err := summarizeSubject(trials, arm, run.subject(p.Subject), p.Load)
	if err != nil {
		return nil, err
	}
	format := formatOf(p.Metric)
	measured := s.metricCell(m)
	factor := TextCell(dash)
	if ratio := s.figure(m) / p.Value; !measured.Struck && !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
		factor = FigureCell(ratio, func(v float64) string { return significant(v) + "x" })
	}
	return []Cell{TextCell(s.subject.Title()), TextCell(p.Metric), FigureCell(p.Value, format), measured, factor}, nil
}

// MetricColumn is a figure of the record and the word that a table has for it.
type MetricColumn struct {
	Metric string // its path in the record
	Title  string
}

// MetricsTable has a row for each subject of an arm and a column for each of
// the metrics. load is the index into the arm's loads. An arm or a metric that
// does not exist is an error.
func MetricsTable(run *Run, title, arm string, load int, columns []MetricColumn) (Table, error) {
	planned, ok := run.Plan.Arm(arm)
	if !ok {
		return Table{}, fmt.Errorf("draw %s: the run has no arm %q", title, arm)
	}
	v := view{run: run, arm: planned, load: loadOf(planned, load), trials: indexTrials(run)}
	if err := v.sumUp(load); err != nil {
		return Table{}, err
	}
	metrics := make([]metric, len(columns))
	drawn := make([]Column, len(columns))
	for i, c := range columns {
		m, err := parseMetric(c.Metric)
		if err != nil {
			return Table{}, fmt.Errorf("draw %s: %w", title, err)
		}
		metrics[i] = m
		drawn[i] = Column{Key: strings.ReplaceAll(c.Metric, ".", "_"), Title: c.Title, Unit: unitOf(c.Metric)}
	}
	t := v.draw(title, drawn, func(s summary) []Cell {
		cells := make([]Cell, len(metrics))
		for i, m := range metrics {
			cells[i] = s.metricCell(m)
		}
		return cells
	})
	t.Title = title + " (" + loadTitle(v.load) + ")"
	t.Notes = v.faultNotes()
	return t, nil
}

// Figure is what was measured of a subject in an arm under the load of that
// index, over all valid blocks and in the record's unit; not a number where
// there is none. Where no block is comparable, latencies and rates are those of
// blocks that are not: good for what a lesson asks, whether something happened
// at all, and not for a comparison.
func Figure(run *Run, arm string, load int, subject, metric string) (float64, error) {
	m, err := parseMetric(metric)
	if err != nil {
		return math.NaN(), err
	}
	planned, ok := run.Plan.Arm(arm)
	if !ok {
		return math.NaN(), fmt.Errorf("find %s of %s: the run has no arm %q", metric, subject, arm)
	}
	s, err := summarizeSubject(indexTrials(run), planned, run.subject(subject), load)
	if err != nil {
		return math.NaN(), err
	}
	if s.allStruck {
		return math.NaN(), nil
	}
	return s.figure(m), nil
}

func (s summary) metricCell(m metric) Cell {
	if m.timed {
		return s.timedCell(s.figure(m), formatOf(m.path))
	}
	return s.cell(s.figure(m), formatOf(m.path))
}

// figure reads a metric of all the trials together; not a number where it was
// not measured.
func (s summary) figure(m metric) float64 {
	r := s.all
	if m.timed {
		r = s.timed
	}
	if r == nil || unitOf(m.path) == "ns" && !hasSamples(r, m.path) {
		return math.NaN()
	}
	v, ok := lookup(r, m.path)
	if !ok {
		return math.NaN()
	}
	return v
}

// hasSamples tells a histogram's percentile from the 0 of an empty histogram.
func hasSamples(r *record.Record, path string) bool {
	part := path[:strings.LastIndex(path, ".")]
	if !strings.Contains(part, "latency") {
		return true
	}
	n, ok := lookup(r, part+".count")
	return ok && n > 0
}

// unitOf is the unit of a metric as columns name it.
func unitOf(path string) string {
	head, last, _ := strings.Cut(path, ".")
	switch {
	case strings.HasSuffix(head, "latency") && !strings.HasSuffix(last, "count"), strings.Contains(last, "_ns"):
		return "ns"
	case head == "success":
		return "fraction"
	case head == "rps":
		return "1/s"
	}
	return ""
}

// formatOf prints a metric for people.
func formatOf(path string) func(float64) string {
	switch unitOf(path) {
	case "ns":
		return FormatNS
	case "fraction":
		return formatShare
	}
	return formatCount
}
