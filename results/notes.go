package results

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"mslab/results/record"
)

// rankNotes explain a ranked table: what was played, what counts as a
// difference, what could have been found, and what was left out.
func (v *view) rankNotes(comparisons map[string]Comparison, minEffect float64) []string {
	played := fmt.Sprintf("%d blocks x %d slices", v.trials.blocks(v.arm), v.arm.Slices)
	if v.arm.SliceS > 0 {
		played += " of " + FormatNS(v.arm.SliceS*1e9)
	}
	effect := fmt.Sprintf("min effect %s%s", percent(minEffect), v.run.effectSource(minEffect))
	notes := []string{played + "; " + effect + "; ~ is no significant difference from the one before, corrected for the number of rows; an interval is its row's own."}
	if mde := v.detectable(comparisons); mde != "" {
		notes = append(notes, "Minimum detectable effect, found with a chance of 90 %: "+mde+".")
	}
	if stopped, ok := v.run.StoppedOf(v.arm.Name); ok {
		notes = append(notes, stopped.String())
	}
	return append(append(notes, v.verdictNotes(comparisons)...), v.faultNotes()...)
}

func percent(fraction float64) string { return significant(100*fraction) + " %" }

// detectable gives the minimum detectable effect of each row's comparison.
func (v *view) detectable(comparisons map[string]Comparison) string {
	var each []string
	for _, row := range v.rows {
		c, ok := comparisons[row.subject.Name]
		if d := float64(c.MinDetectable); ok && !math.IsNaN(d) && !math.IsInf(d, 0) {
			each = append(each, row.subject.Title()+" "+percent(d))
		}
	}
	return strings.Join(each, ", ")
}

// tooFew says how many blocks there are, of how many.
func (c Comparison) tooFew() string {
	blocks := "no block"
	switch {
	case c.Blocks == 1:
		blocks = "1 block"
	case c.Blocks > 1:
		blocks = fmt.Sprintf("%d blocks", c.Blocks)
	}
	return fmt.Sprintf("%s, %s that can be used of the %d needed", c.Verdict, blocks, c.BlocksNeeded)
}

// verdictNotes gives the reasons behind verdicts without a figure, and
// comparisons with another subject than the row above.
func (v *view) verdictNotes(comparisons map[string]Comparison) []string {
	var notes []string
	above := ""
	for _, s := range v.rows {
		c, ok := comparisons[s.subject.Name]
		switch {
		case !ok:
		case strings.HasPrefix(string(c.Verdict), string(CannotShow)):
			notes = append(notes, s.subject.Title()+": "+string(c.Verdict)+".")
		case c.Verdict == TooFew:
			notes = append(notes, s.subject.Title()+": "+c.tooFew()+".")
		}
		if ok && c.A != above {
			notes = append(notes, fmt.Sprintf("%s is compared with %s.", s.subject.Title(), c.A))
		}
		above = s.subject.Name
	}
	return notes
}

// fault is a trial, or a part of it, that a table leaves out.
type fault struct {
	what    string // what is left out
	subject string
	block   int
	reason  string
}

func (v *view) faultNotes() []string {
	var faults []fault
	var notes []string
	for _, s := range v.rows {
		faults = append(faults, s.faults...)
		if s.all == nil && v.arm.Blocks > 0 {
			notes = append(notes, s.subject.Title()+": no trial.")
		}
	}
	return append(notes, faultNotes(faults)...)
}

// faultNotes says each reason once, with the trials that it befell: reasons
// that differ in their figures only are one.
func faultNotes(faults []fault) []string {
	var order []string
	alike := map[string][]fault{}
	for _, f := range faults {
		kind := f.what + figures.ReplaceAllString(firstReason(f.reason), "#")
		if alike[kind] == nil {
			order = append(order, kind)
		}
		alike[kind] = append(alike[kind], f)
	}
	notes := make([]string, 0, len(order))
	for _, kind := range order {
		group := alike[kind]
		first := fmt.Sprintf("%s, block %d: %s.", group[0].subject, group[0].block, firstReason(group[0].reason))
		if len(group) == 1 {
			notes = append(notes, group[0].what+": "+first)
			continue
		}
		notes = append(notes, fmt.Sprintf("%s: %d trials (%s), the first %s", group[0].what, len(group), perSubject(group), first))
	}
	return notes
}

var figures = regexp.MustCompile(`[0-9][0-9.,]*`)

func firstReason(reasons string) string {
	first, _, _ := strings.Cut(reasons, "; ")
	return first
}

// perSubject counts the faults of each subject, in their order.
func perSubject(faults []fault) string {
	var counts []string
	for i := 0; i < len(faults); {
		n := i
		for n < len(faults) && faults[n].subject == faults[i].subject {
			n++
		}
		counts = append(counts, fmt.Sprintf("%d of %s", n-i, faults[i].subject))
		i = n
	}
	return strings.Join(counts, ", ")
}

// runNotes are said once for a run, under its last table.
func runNotes(run *Run) []string {
	var notes []string
	if run.Incomplete {
		notes = append(notes, "The run was interrupted: the tables hold what was measured so far.")
	}
	if note := SpeedOf(run).note(); note != "" {
		notes = append(notes, note)
	}
	notes = append(notes, run.Notes...)
	if run.Environment != nil {
		notes = append(notes, EnvironmentLine(run.Environment))
	}
	return notes
}

// EnvironmentLine describes an environment in one line, without what is not
// known.
func EnvironmentLine(e *record.Environment) string {
	parts := []string{e.Kernel, e.CPU}
	if e.Cores > 0 {
		parts = append(parts, fmt.Sprintf("%d cores", e.Cores))
	}
	parts = append(parts, e.Go)
	for _, named := range []struct{ name, value string }{
		{"pinning ", e.Pinning}, {"sandbox ", e.Sandbox}, {"governor ", e.Governor},
	} {
		if named.value != "" {
			parts = append(parts, named.name+named.value)
		}
	}
	if e.Steal > 0 {
		parts = append(parts, "steal "+percent(e.Steal))
	}
	if e.CalibrationNS > 0 {
		parts = append(parts, "socket round "+FormatNS(e.CalibrationNS))
	}
	return "Environment: " + strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ") + "."
}

// claimsTable puts what the original's authors claimed beside what was measured
// here, under the loads as they told them where such an arm was played.
func claimsTable(run *Run, sumUp func(ArmPlan, SubjectPlan, int) (summary, error)) (Table, bool, error) {
	arm, ok := claimsArm(run)
	if !ok {
		return Table{}, false, nil
	}
	t := Table{Title: arm.Name + ": claimed by the original, and measured here", Columns: []Column{
		run.Plan.subjectColumn(),
		{Key: "claimed", Title: "claimed (not ours)", Left: true},
		{Key: "clients", Title: "clients"},
		{Key: "rps_ok", Title: "ok/s", Unit: "1/s"},
		{Key: "within_deadline", Title: "in time %", Unit: "fraction"},
		{Key: "latency_p50", Title: "p50", Unit: "ns"},
	}}
	for _, subject := range run.Plan.SubjectsOf(arm) {
		if subject.Claim == "" {
			continue
		}
		for load := range max(1, len(arm.Loads)) {
			s, err := sumUp(arm, subject, load)
			if err != nil {
				return Table{}, false, err
			}
			if s.all == nil {
				continue
			}
			row := []Cell{TextCell(subject.Title()), TextCell(subject.Claim)}
			if load > 0 {
				row[0].Text, row[1].Text = "", ""
			}
			t.Rows = append(t.Rows, append(row,
				s.cell(float64(s.all.Load.Clients), formatCount),
				s.timedCell(s.timed.RPS.OK, formatCount),
				s.timedCell(s.timed.Success.Deadline, formatShare),
				s.latencyCells()[0]))
		}
	}
	return t, len(t.Rows) > 0, nil
}

// claimsArm is the first arm that is not ranked, since that is where the
// original's loads are replayed, else the first. Nothing was claimed of faults.
func claimsArm(run *Run) (ArmPlan, bool) {
	arms := slices.DeleteFunc(slices.Clone(run.Plan.Arms), func(a ArmPlan) bool { return len(a.Faults) > 0 })
	for _, a := range arms {
		if !a.Ranked {
			return a, true
		}
	}
	if len(arms) == 0 {
		return ArmPlan{}, false
	}
	return arms[0], true
}
