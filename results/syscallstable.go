package results

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// leastShown is the rate from which on a syscall gets a row of its own.
const leastShown = 0.005

// SyscallTables draws what was traced in an arm under a load: a row for each
// syscall, a column for each subject, calls per request. Subjects that do not
// fit beside each other get a table each of the same rows. There are none where
// nothing was traced.
func SyscallTables(run *Run, arm ArmPlan, load int) []Table {
	var subjects []SubjectPlan
	var traced []*TracedSyscalls
	for _, s := range run.Plan.SubjectsOf(arm) {
		if t, ok := run.Syscalls(arm.Name, s.Name, load); ok {
			subjects, traced = append(subjects, s), append(traced, t)
		}
	}
	if len(traced) == 0 {
		return nil
	}
	title := arm.Name + ": syscalls per request"
	if l := loadOf(arm, load); l.Clients > 0 {
		title += " (" + loadTitle(l) + ")"
	}
	rows, rest := shownSeries(traced)
	columns := subjectColumns(subjects)
	var tables []Table
	for _, c := range columnsThatFit(rows, columns) {
		t := syscallTable(rows, rest, columns[c.from:c.to], traced[c.from:c.to])
		t.Title = title
		tables = append(tables, t)
	}
	last := &tables[len(tables)-1]
	last.Notes = append(last.Notes, tracedNotes(traced)...)
	return tables
}

// shownSeries are the rows that a table shows, and how many syscalls it leaves
// to a row of others.
func shownSeries(traced []*TracedSyscalls) (rows []series, rest int) {
	for _, s := range seriesOf(traced) {
		most := 0.0
		for _, t := range traced {
			most = math.Max(most, t.rate(s).Mean)
		}
		switch {
		case most >= leastShown:
			rows = append(rows, s)
		case !s.failed:
			rest++
		}
	}
	return rows, rest
}

// subjectColumns head the columns: whole titles where they fit beside each
// other, else the phases' numbers.
func subjectColumns(subjects []SubjectPlan) []Column {
	columns := make([]Column, len(subjects))
	for i, s := range subjects {
		key := s.Name
		if s.Phase != nil {
			key = fmt.Sprintf("phase_%d_%s", *s.Phase, s.Name)
		}
		columns[i] = Column{Key: strings.ReplaceAll(key, "-", "_"), Title: s.Title()}
	}
	if len(columnsThatFit(nil, columns)) == 1 {
		return columns
	}
	for i, s := range subjects {
		if s.Phase != nil {
			primes := s.Name[len(strings.TrimRight(s.Name, "'")):] // a phase that plays twice
			columns[i].Title = strconv.Itoa(*s.Phase) + primes
		}
	}
	return columns
}

// syscallWidth is the room of a column of names, and rateWidth that of a rate.
const (
	syscallWidth = 22
	rateWidth    = 6
)

type span struct{ from, to int }

// columnsThatFit cuts columns into pieces that fit a terminal beside the names.
func columnsThatFit(rows []series, columns []Column) []span {
	names := syscallWidth
	for _, s := range rows {
		names = max(names, utf8.RuneCountInString(s.String()))
	}
	var spans []span
	for from := 0; from < len(columns); {
		width, to := names, from
		for to < len(columns) {
			width += columnGap + max(rateWidth, utf8.RuneCountInString(columns[to].Title))
			if width > lineWidth && to > from {
				break
			}
			to++
		}
		spans = append(spans, span{from, to})
		from = to
	}
	return spans
}

func syscallTable(rows []series, rest int, columns []Column, traced []*TracedSyscalls) Table {
	t := Table{Columns: append([]Column{{Key: "syscall", Title: "syscall", Left: true}}, columns...)}
	others := make([]float64, len(traced))
	for i, subject := range traced {
		others[i] = subject.all().Mean
	}
	for _, s := range rows {
		row := []Cell{TextCell(s.String())}
		for i, subject := range traced {
			rate := subject.rate(s).Mean
			if !s.failed {
				others[i] -= rate
			}
			row = append(row, FigureCell(rate, formatRate))
		}
		t.Rows = append(t.Rows, row)
	}
	if rest > 0 {
		row := []Cell{TextCell(count(rest, "other"))}
		for _, rate := range others {
			row = append(row, FigureCell(math.Max(rate, 0), formatRate))
		}
		t.Rows = append(t.Rows, row)
	}
	row := []Cell{TextCell("all")}
	for _, subject := range traced {
		row = append(row, FigureCell(subject.all().Mean, formatRate))
	}
	t.Rows = append(t.Rows, row)
	return t
}

// formatRate prints calls a request; a rate that is not 0 never reads as 0.
func formatRate(v float64) string {
	if v > 0 && v < 0.0005 {
		return "<.001"
	}
	return significant(v)
}

// count puts a number before a word.
func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// tracedNotes say how it was traced, and what that cost.
func tracedNotes(traced []*TracedSyscalls) []string {
	var rungs []string
	var perCall, cost, cpu, lost int64
	for _, t := range traced {
		if !slices.Contains(rungs, t.Self.Rung) {
			rungs = append(rungs, t.Self.Rung)
		}
		perCall, cost = max(perCall, t.Self.PerCallNS), cost+t.Self.CPUNS
		cpu, lost = cpu+t.CPUNS, lost+t.Self.Lost()
	}
	note := fmt.Sprintf("Traced by eBPF (%s) in trials of their own, which enter no other figure.", strings.Join(rungs, ", "))
	if perCall > 0 && cpu > 0 {
		note += fmt.Sprintf(" A traced call takes %s longer: %s of these trials' CPU time.",
			FormatNS(float64(perCall)), percent(float64(cost)/float64(cpu)))
	}
	notes := []string{note}
	if lost > 0 {
		notes = append(notes, fmt.Sprintf("The tracer lost %s: these rates are too low.", count(int(lost), "call")))
	}
	return notes
}

// SyscallDiffTable shows the syscalls of which a request of B makes more or
// fewer than one of A.
func SyscallDiffTable(title string, a, b SubjectPlan, differences []SyscallDifference) Table {
	t := Table{Title: title, Columns: []Column{
		{Key: "syscall", Title: "syscall", Left: true},
		{Key: "a", Title: a.Title()},
		{Key: "b", Title: b.Title()},
		{Key: "difference", Title: "difference"},
		{Key: "interval", Title: "95 %"},
	}}
	same := 0
	for _, d := range differences {
		if !d.Differs {
			same++
			continue
		}
		t.Rows = append(t.Rows, []Cell{
			TextCell(series{d.Name, d.Failed}.String()),
			FigureCell(d.A, formatRate), FigureCell(d.B, formatRate),
			FigureCell(d.B-d.A, signedRate),
			TextCell("[" + signedRate(float64(d.CILow)) + ", " + signedRate(float64(d.CIHigh)) + "]"),
		})
	}
	if len(t.Rows) == 0 {
		t.Notes = append(t.Notes, "No syscall differs.")
	}
	if same > 0 && len(t.Rows) > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s not shown: by less than %s a request, or inside of what slices differ by.", count(same, "row"), significant(leastDifference)))
	}
	return t
}

func signedRate(v float64) string {
	s := significant(v)
	if v > 0 && s != "0" {
		return "+" + s
	}
	return s
}
