package results

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"mslab/results/record"
)

// barWidth is the length of the longest bar in characters.
const barWidth = 16

// secondTables draws each trial of an arm by second, with the time of its faults
// marked.
func (v *view) secondTables() []Table {
	var tables []Table
	for _, s := range v.rows {
		for n, trial := range v.trials.trials(v.arm, s.subject.Name, v.loadIndex) {
			what := "by second"
			if len(v.rows) > 1 {
				what = s.subject.Title() + " by second"
			}
			if v.arm.Blocks > 1 {
				what += fmt.Sprintf(", block %d", trial.Block)
			}
			t := secondTable(trial)
			t.Title, t.Detail = v.title(what), n > 0
			tables = append(tables, t)
		}
	}
	return tables
}

func secondTable(trial *record.Record) Table {
	t := Table{Columns: []Column{
		{Key: "t_s", Title: "second", Unit: "s"},
		{Key: "ok", Title: "ok/s", Unit: "1/s"},
		{Key: "failed", Title: "failed"},
		{Key: "p50", Title: "p50", Unit: "ns"},
		{Key: "p99", Title: "p99", Unit: "ns"},
		{Key: "bar", Title: "", Left: true, Picture: true},
		{Key: "fault", Title: "fault", Left: true},
		{Key: "mark", Title: "", Left: true, Picture: true},
	}}
	length := func(s record.Second) float64 { return min(1, trial.Load.DurationS-float64(s.T)) } // the last may be short
	var most float64
	var later int64
	for _, s := range trial.Series {
		if l := length(s); l > 0 {
			most = max(most, float64(s.OK+s.Failed)/l)
		} else {
			later += s.OK + s.Failed
		}
	}
	for _, s := range trial.Series {
		l := length(s)
		if l <= 0 {
			continue
		}
		times := func(ns int64) Cell {
			if s.OK == 0 {
				return TextCell(dash)
			}
			return FigureCell(float64(ns), FormatNS)
		}
		row := []Cell{
			FigureCell(float64(s.T), formatCount), FigureCell(float64(s.OK)/l, formatCount), FigureCell(float64(s.Failed), formatCount),
			times(s.P50), times(s.P99), TextCell(bar(float64(s.OK)/l, float64(s.Failed)/l, most)), TextCell(faultsDuring(trial.Faults, s.T)),
			TextCell(faultMarks(trial.Faults, s.T)),
		}
		for i := 1; i < 5; i++ {
			row[i].Struck = !trial.Verdict.Valid && row[i].Text != dash
		}
		t.Rows = append(t.Rows, row)
	}
	if later > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s ended after the last second.", countOf(later, "request")))
	}
	return t
}

func countOf(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return formatCount(float64(n)) + " " + word + "s"
}

// bar draws the requests of a second against the most of any: # for each that
// was ok, x for each that failed, never nothing for some.
func bar(ok, failed, most float64) string {
	length := func(n float64) int {
		if n == 0 {
			return 0
		}
		return max(1, int(math.Round(n*barWidth/most)))
	}
	return strings.Repeat("#", length(ok)) + strings.Repeat("x", length(failed))
}

// faultsDuring names the faults that were in effect at any moment of a second.
func faultsDuring(faults []record.Fault, second int) string {
	var names []string
	for _, f := range faults {
		if f.InjectedS == nil || *f.InjectedS >= float64(second+1) || f.HealedS != nil && *f.HealedS <= float64(second) {
			continue
		}
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// faultMarks says what began and ended within a second.
func faultMarks(faults []record.Fault, second int) string {
	within := func(at *float64) bool { return at != nil && int(math.Floor(*at)) == second }
	var marks []string
	for _, f := range faults {
		if within(f.InjectedS) && within(f.HealedS) {
			marks = append(marks, fmt.Sprintf("%.2f-%.2fs", *f.InjectedS, *f.HealedS))
			continue
		}
		if within(f.InjectedS) {
			marks = append(marks, fmt.Sprintf("from %.2fs", *f.InjectedS))
		}
		if within(f.HealedS) {
			marks = append(marks, fmt.Sprintf("to %.2fs", *f.HealedS))
		}
	}
	return strings.Join(marks, " ")
}

// faultTable has a row for each fault of each trial, and for each kind of
// connections where a fault met both.
func faultTable(run *Run, trials trialIndex) (Table, bool) {
	t := Table{Title: "what each fault did", Columns: faultColumns(run.Plan.subjectColumn())}
	several := len(run.Plan.Subjects) > 1
	deadline := map[string]bool{}
	for _, arm := range run.Plan.Arms {
		if len(arm.Faults) == 0 {
			continue
		}
		for _, subject := range run.Plan.SubjectsOf(arm) {
			for load := range max(1, len(arm.Loads)) {
				for _, trial := range trials.trials(arm, subject.Name, load) {
					deadline[time.Duration(trial.Load.DeadlineNS).String()] = true
					t.addFaults(trial, subject, several)
				}
			}
		}
	}
	if len(t.Rows) == 0 {
		return Table{}, false
	}
	t.spareAlike("arm", "subject", "fault", "connections")
	words := make([]string, 0, len(deadline))
	for d := range deadline {
		words = append(words, d)
	}
	slices.Sort(words)
	t.Notes = append([]string{fmt.Sprintf("detect: from the injection until a client knows of a miss, which is a failure or no answer within %s. "+
		"recover: from the healing until an answer comes within it; steady: until all is as it was before the fault. "+
		"failed and late: of the requests sent during the fault and after it. lost: acknowledged, and not in the server's data. - is not within the trial.",
		strings.Join(words, " or "))}, t.Notes...)
	return t, true
}

// spareAlike lets go of those columns that say the same in each row, where a
// terminal has no room for them.
func (t *Table) spareAlike(keys ...string) {
	for i := range t.Columns {
		if slices.Contains(keys, t.Columns[i].Key) {
			t.Columns[i].Extra = !slices.ContainsFunc(t.Rows, func(row []Cell) bool { return row[i].Text != t.Rows[0][i].Text })
		}
	}
}

func faultColumns(subject Column) []Column {
	return []Column{
		{Key: "arm", Title: "arm", Left: true},
		subject,
		{Key: "block", Title: "block", Extra: true},
		{Key: "fault", Title: "fault", Left: true},
		{Key: "injected_at_s", Title: "from", Unit: "s", Extra: true},
		{Key: "healed_at_s", Title: "to", Unit: "s", Extra: true},
		{Key: "connections", Title: "conns", Left: true},
		{Key: "detect_s", Title: "detect", Unit: "s"},
		{Key: "recover_s", Title: "recover", Unit: "s"},
		{Key: "steady_s", Title: "steady", Unit: "s"},
		{Key: "failed", Title: "failed"},
		{Key: "late", Title: "late"},
		{Key: "lost", Title: "lost"},
		{Key: "verified", Title: "bit", Left: true},
	}
}

// addFaults adds the rows and the notes of a trial.
func (t *Table) addFaults(trial *record.Record, subject SubjectPlan, several bool) {
	name := trial.Arm
	if several {
		name += ", " + subject.Title()
	}
	if trial.Block > 1 {
		name += fmt.Sprintf(", block %d", trial.Block)
	}
	for i, f := range trial.Faults {
		fault := f.Name
		if len(trial.Faults) > 1 {
			fault += " at " + FormatNS(f.AtS*1e9)
		}
		lost := TextCell(dash)
		if trial.Stored != nil {
			lost = FigureCell(float64(trial.Stored.Lost), formatCount)
		}
		bit := TextCell("no")
		if f.Verified {
			bit.Text = "yes"
		}
		for n, row := range effectRows(f) {
			cells := []Cell{
				TextCell(trial.Arm), TextCell(subject.Title()), FigureCell(float64(trial.Block), formatCount), TextCell(fault),
				secondsCell(f.InjectedS), secondsCell(f.HealedS), TextCell(row.name),
			}
			cells = append(cells, effectCells(row.effect, !trial.Verdict.Valid)...)
			switch {
			case n > 0: // of the fault as a whole, not of its connections
				cells = append(cells, TextCell(""), TextCell(""))
			case i > 0: // of the trial as a whole
				cells = append(cells, TextCell(""), bit)
			default:
				cells = append(cells, lost, bit)
			}
			t.Rows = append(t.Rows, cells)
		}
		t.Notes = append(t.Notes, faultNote(name, f))
	}
	if n := trial.Counts.InFlight; n > 0 && len(trial.Faults) > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s: %s without an end when it was interrupted: in no figure of its faults, though they may have missed.",
			name, countOf(n, "request")))
	}
}

// effectRow is a fault as the requests on some connections felt it; effect is
// nil where it was never injected.
type effectRow struct {
	name   string
	effect *record.FaultEffect
}

// effectRows are all requests, and those on kept and on new connections where
// there were both.
func effectRows(f record.Fault) []effectRow {
	var rows []effectRow
	for _, c := range []struct{ key, name string }{{"keep", "kept"}, {"new", "new"}} {
		if e, ok := f.ByConnection[c.key]; ok {
			rows = append(rows, effectRow{c.name, &e})
		}
	}
	switch len(rows) {
	case 0:
		return []effectRow{{dash, f.Effect}}
	case 1:
		return []effectRow{{rows[0].name, f.Effect}}
	}
	return append([]effectRow{{"all", f.Effect}}, rows...)
}

func effectCells(e *record.FaultEffect, struck bool) []Cell {
	if e == nil {
		return []Cell{TextCell(dash), TextCell(dash), TextCell(dash), TextCell(dash), TextCell(dash)}
	}
	cells := []Cell{
		secondsCell(e.DetectS), secondsCell(e.RecoverS), secondsCell(e.SteadyS),
		FigureCell(float64(e.During.FailedSum()+e.After.FailedSum()), formatCount),
		FigureCell(float64(e.During.Late+e.After.Late), formatCount),
	}
	for i := range cells {
		cells[i].Struck = struck && cells[i].Text != dash
	}
	return cells
}

// secondsCell is a moment or a time, a dash where it was not within the trial.
func secondsCell(s *float64) Cell {
	if s == nil {
		return TextCell(dash)
	}
	return FigureCell(*s, func(v float64) string { return FormatNS(v * 1e9) })
}

// faultNote says when a fault was in effect, by what it was seen, and as what
// requests failed.
func faultNote(name string, f record.Fault) string {
	said := name + ": " + f.Name
	if f.Via != "" {
		said += " (" + f.Via + ")"
	}
	switch {
	case f.InjectedS == nil && f.Error == "":
		return said + " was not played."
	case f.InjectedS == nil:
		return said + " was not injected: " + f.Error + "."
	case f.HealedS == nil:
		said += fmt.Sprintf(" in effect from %.3f s on, not healed", *f.InjectedS)
	default:
		said += fmt.Sprintf(" in effect from %.3f s to %.3f s", *f.InjectedS, *f.HealedS)
	}
	if f.Evidence != "" {
		said += " (" + f.Evidence + ")"
	}
	if f.Error != "" {
		said += "; " + f.Error
	}
	if f.Effect != nil {
		for _, of := range []struct {
			when   string
			counts record.FaultCounts
		}{{"during it", f.Effect.During}, {"after it", f.Effect.After}} {
			if classes := classCounts(of.counts.Failed); classes != "" {
				said += "; " + of.when + " " + classes
			}
		}
	}
	return said + "."
}

// classCounts lists classes in the order of reports: "3 connect_timeout, 1 reset".
func classCounts(failed map[record.Class]int64) string {
	var words []string
	for _, class := range record.Classes {
		if n := failed[class]; n > 0 {
			words = append(words, formatCount(float64(n))+" "+string(class))
		}
	}
	return strings.Join(words, ", ")
}
