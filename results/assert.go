package results

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mslab/results/record"
)

// Assertion is a threshold on the merged records of some cells of a run, such
// as `success.http >= 0.999 where phase = 7`. Without a where clause it is about
// every cell.
type Assertion struct {
	Text      string // with single spaces
	Threshold Threshold
	Where     []Clause // all must match
}

// Clause picks cells: those of which Key is Value.
type Clause struct {
	Key   string // one of AssertionKeys
	Value string
}

// AssertedCell is an assertion's outcome for one subject in one arm under one
// load, over all blocks.
type AssertedCell struct {
	Arm     string `json:"arm"`
	Subject string `json:"subject"` // its name
	Load    int    `json:"load"`    // index into ArmPlan.Loads
	// Measured is the figure in the metric's unit; nil where there is none, and
	// Why says the reason then.
	Measured *float64 `json:"measured,omitempty"`
	Held     bool     `json:"held"`
	Why      string   `json:"why,omitempty"`
}

// Asserted is what came of one assertion. It held where there is a cell and it
// held in each.
type Asserted struct {
	Assert string         `json:"assert"`
	Cells  []AssertedCell `json:"cells"`
}

// Held tells whether the assertion held in every cell that it is about, of
// which there must be one.
func (a Asserted) Held() bool {
	return len(a.Cells) > 0 && !slices.ContainsFunc(a.Cells, func(c AssertedCell) bool { return !c.Held })
}

// AssertionKeys are the words that a where clause may pick cells by.
func AssertionKeys() []string { return []string{"arm", "clients", "connection", "phase", "subject"} }

var (
	whereForm  = regexp.MustCompile(`\s+where\s+`)
	andForm    = regexp.MustCompile(`\s+and\s+`)
	clauseForm = regexp.MustCompile(`^([a-z-]+)\s*=\s*(\S+)$`)
)

// ParseAssertion reads METRIC OP VALUE [where KEY = VALUE [and KEY = VALUE]...].
// The metrics are RunMetrics, with the units of ParseThreshold.
func ParseAssertion(text string) (Assertion, error) {
	var a Assertion
	parts := whereForm.Split(strings.TrimSpace(text), -1)
	if len(parts) > 2 {
		return Assertion{}, errors.New("want one where; join its conditions by and")
	}
	var err error
	if a.Threshold, err = parseThreshold(parts[0], RunMetrics()); err != nil {
		return Assertion{}, err
	}
	a.Threshold.Text = strings.Join(thresholdForm.FindStringSubmatch(parts[0])[1:], " ")
	a.Text = a.Threshold.Text
	if len(parts) == 1 {
		return a, nil
	}
	joint := " where "
	for _, part := range andForm.Split(parts[1], -1) {
		m := clauseForm.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return Assertion{}, fmt.Errorf("where %s: want KEY = VALUE, such as phase = 7", part)
		}
		if !slices.Contains(AssertionKeys(), m[1]) {
			return Assertion{}, fmt.Errorf("where %s: no such key; there are %s", m[1], strings.Join(AssertionKeys(), ", "))
		}
		a.Where = append(a.Where, Clause{Key: m[1], Value: m[2]})
		a.Text += joint + m[1] + " = " + m[2]
		joint = " and "
	}
	return a, nil
}

// Matches tells whether the assertion is about a subject in an arm under a load.
func (a Assertion) Matches(arm string, subject SubjectPlan, load record.Load) bool {
	return !slices.ContainsFunc(a.Where, func(c Clause) bool { return !c.matches(arm, subject, load) })
}

func (c Clause) matches(arm string, subject SubjectPlan, load record.Load) bool {
	switch c.Key {
	case "arm":
		return arm == c.Value
	case "clients":
		return strconv.Itoa(load.Clients) == c.Value
	case "connection":
		return load.Connection == c.Value
	case "subject":
		return subject.Name == c.Value
	case "phase":
		base, _, _ := strings.Cut(subject.Name, "/") // a variant's name begins with its phase's
		return subject.Phase != nil && (strconv.Itoa(*subject.Phase) == c.Value || base == c.Value)
	}
	return false
}

// Cells are the cells of a plan that the assertion is about and that are
// played, unmeasured.
func (a Assertion) Cells(p *Plan) []AssertedCell {
	var cells []AssertedCell
	for _, arm := range p.Arms {
		if arm.Blocks == 0 {
			continue // cannot be shown here
		}
		for _, subject := range p.SubjectsOf(arm) {
			for load := range max(1, len(arm.Loads)) {
				if a.Matches(arm.Name, subject, loadOf(arm, load)) {
					cells = append(cells, AssertedCell{Arm: arm.Name, Subject: subject.Name, Load: load})
				}
			}
		}
	}
	return cells
}

// Assert judges the plan's assertions over the trials of a run. The figure of a
// cell is that of the merged records of its valid trials; rates and latencies
// take those that are comparable too, as the tables do, and CPU per request is
// the mean that the tables show. What was not measured does not hold.
func Assert(run *Run) ([]Asserted, error) {
	trials := indexTrials(run)
	var all []Asserted
	for _, text := range run.Plan.Assert {
		a, err := ParseAssertion(text)
		if err != nil {
			return nil, fmt.Errorf("judge assertion %q: %w", text, err)
		}
		done := Asserted{Assert: text, Cells: a.Cells(&run.Plan)}
		for i := range done.Cells {
			if err := a.measure(run, trials, &done.Cells[i]); err != nil {
				return nil, fmt.Errorf("judge assertion %q: %w", text, err)
			}
		}
		all = append(all, done)
	}
	return all, nil
}

func (a Assertion) measure(run *Run, trials trialIndex, cell *AssertedCell) error {
	arm, _ := run.Plan.Arm(cell.Arm)
	subject, _ := run.Plan.Subject(cell.Subject)
	s, err := summarizeSubject(trials, arm, subject, cell.Load)
	if err != nil {
		return err
	}
	m, err := parseMetric(a.Threshold.Metric)
	if err != nil {
		return err
	}
	r := s.all
	if m.timed {
		r = s.timed
	}
	v, measured := math.NaN(), false
	switch {
	case s.all == nil || s.allStruck:
		cell.Why = "no valid trial"
	case m.timed && s.timedStruck:
		cell.Why = "no comparable trial"
	case m.path == MetricCPU:
		v, measured = s.cpu, !math.IsNaN(s.cpu)
	default:
		v, measured = Figures(r)[m.path]
		measured = measured && hasSamples(r, m.path)
	}
	if !measured {
		if cell.Why == "" {
			cell.Why = "not measured"
		}
		return nil
	}
	cell.Measured, cell.Held = &v, a.Threshold.holds(v)
	return nil
}

// AssertionTable shows what came of each assertion in each of its cells; ok is
// false where the run has none.
func AssertionTable(run *Run) (t Table, ok bool) {
	if len(run.Asserted) == 0 {
		return Table{}, false
	}
	t = Table{Title: "assertions", Columns: []Column{
		{Key: "assertion", Title: "assertion", Left: true},
		{Key: "arm", Title: "arm", Left: true},
		run.Plan.subjectColumn(),
		{Key: "clients", Title: "clients"},
		{Key: "measured", Title: "measured"},
		{Key: "outcome", Title: "outcome", Left: true},
	}}
	breached := 0
	for _, done := range run.Asserted {
		if !done.Held() {
			breached++
		}
		if len(done.Cells) == 0 {
			t.Rows = append(t.Rows, []Cell{TextCell(done.Assert), TextCell(dash), TextCell(dash), TextCell(dash), TextCell(dash), TextCell("about nothing")})
		}
		for _, cell := range done.Cells {
			t.Rows = append(t.Rows, assertedRow(run, done.Assert, cell))
			if subject, _ := run.Plan.Subject(cell.Subject); cell.Why != "" && cell.Why != "not measured" {
				t.Notes = append(t.Notes, fmt.Sprintf("Not measured of %s in arm %s: there is %s.", subject.Title(), cell.Arm, cell.Why))
			}
		}
	}
	if breached > 0 {
		t.Notes = append([]string{fmt.Sprintf("%d of %d assertions breached.", breached, len(run.Asserted))}, t.Notes...)
	}
	return t, true
}

func assertedRow(run *Run, text string, cell AssertedCell) []Cell {
	threshold, _, _ := strings.Cut(text, " where ")
	metric, _, _ := strings.Cut(threshold, " ")
	arm, _ := run.Plan.Arm(cell.Arm)
	subject, _ := run.Plan.Subject(cell.Subject)
	measured, outcome := TextCell(dash), "held"
	if cell.Measured != nil {
		measured = FigureCell(*cell.Measured, formatAsserted(metric))
	}
	switch {
	case cell.Why != "":
		outcome = "not measured" // a note says why
	case !cell.Held:
		outcome = "breached"
	}
	return []Cell{TextCell(threshold), TextCell(cell.Arm), TextCell(subject.Title()),
		FigureCell(float64(loadOf(arm, cell.Load).Clients), formatCount), measured, TextCell(outcome)}
}

// formatAsserted prints a measured figure for people: times as tables do, the
// others as exactly as a threshold may ask.
func formatAsserted(metric string) func(float64) string {
	u := UnitOfMetric(metric)
	if u == Nanoseconds {
		return FormatNS
	}
	return func(v float64) string { return formatFigure(u, v) }
}

// checkAsserted finds outcomes that the plan does not explain.
func (r *Run) checkAsserted() error {
	for _, text := range r.Plan.Assert {
		if _, err := ParseAssertion(text); err != nil {
			return fmt.Errorf("assertion %q: %w", text, err)
		}
	}
	for _, done := range r.Asserted {
		if !slices.Contains(r.Plan.Assert, done.Assert) {
			return fmt.Errorf("outcome of an assertion that the plan does not have: %q", done.Assert)
		}
		for _, cell := range done.Cells {
			arm, ok := r.Plan.Arm(cell.Arm)
			if _, known := r.Plan.Subject(cell.Subject); !ok || !known || cell.Load < 0 || cell.Load >= max(1, len(arm.Loads)) {
				return fmt.Errorf("outcome of assertion %q in a cell that the plan does not have: arm %q, subject %q, load %d", done.Assert, cell.Arm, cell.Subject, cell.Load)
			}
		}
	}
	return nil
}
