package report

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"mslab/results"
	"mslab/results/record"
)

// verdict says in sentences what was found, what matters most first.
func (s *section) verdict() []string {
	var found []string
	for _, scene := range s.scenes {
		found = append(found, s.changesInWords(scene.Scene, s.overview != nil)...)
	}
	if cannot := s.cannotShow(); cannot != "" {
		found = append(found, cannot)
	}
	for _, scene := range s.scenes {
		found = append(found, s.faultsInWords(scene.Scene)...)
	}
	if len(s.run.Pairs()) == 0 {
		found = append(found, s.unranked()...)
	}
	if len(found) == 0 {
		found = append(found, "Nothing was measured that could be told of.")
	}
	for i := range found {
		found[i] = tie(found[i])
	}
	return found
}

func (s *section) changesInWords(scene results.Scene, named bool) []string {
	var differ, alike, few []string
	for _, c := range scene.Changes {
		a, b := strings.ReplaceAll(title(s.run, c.A), " ", noBreak), strings.ReplaceAll(title(s.run, c.B), " ", noBreak)
		switch {
		case strings.HasPrefix(string(c.Verdict), string(results.CannotShow)):
		case c.Verdict == results.TooFew:
			few = append(few, b+" and "+a)
		case !c.Significant:
			alike = append(alike, b+" and "+a)
		default:
			differ = append(differ, fmt.Sprintf("%s needs %s CPU per request than %s %s.", b, moreOrLess(float64(c.Ratio)), a, bounds(c)))
		}
	}
	if named {
		where := " (" + results.LoadTitle(scene.Load) + ")."
		for i := range differ {
			differ[i] = strings.TrimSuffix(differ[i], ".") + where
		}
	}
	if len(alike) > 0 {
		differ = append(differ, "No difference could be told between "+enumerate(alike, "; or between ")+".")
	}
	if len(few) > 0 {
		differ = append(differ, "Too few blocks to tell between "+enumerate(few, "; or between ")+".")
	}
	return differ
}

// moreOrLess says a ratio as "42.6 % less".
func moreOrLess(ratio float64) string {
	change := strings.TrimLeft(results.FormatChange(ratio), "+-")
	if ratio < 1 {
		return change + " less"
	}
	return change + " more"
}

// bounds is the interval of a comparison: [-46.8, -38.1 %].
func bounds(c results.Comparison) string {
	low, high := float64(c.CILow), float64(c.CIHigh)
	if !finite(low) || !finite(high) {
		return "[interval unbounded]"
	}
	return fmt.Sprintf("[%s, %s]", minus(strings.TrimSuffix(results.FormatChange(low), " %")), minus(results.FormatChange(high)))
}

// minus sets the sign that figures are set with.
func minus(s string) string { return strings.ReplaceAll(s, "-", "−") }

// tie keeps a figure and its sign, and an interval, on one line.
func tie(s string) string {
	return inBrackets.ReplaceAllStringFunc(strings.ReplaceAll(s, " %", noBreak+"%"), func(s string) string {
		return strings.ReplaceAll(s, " ", noBreak)
	})
}

const noBreak = "\u00a0"

var inBrackets = regexp.MustCompile(`\[[^\]]{0,40}\]`)

func enumerate(words []string, between string) string { return strings.Join(words, between) }

func (s *section) cannotShow() string {
	byReason := map[string][]string{}
	var reasons []string
	for _, c := range results.CannotShowPairs(s.run) {
		reason := strings.TrimSuffix(strings.TrimPrefix(string(c.Verdict), string(results.CannotShow)+" ("), ")")
		if byReason[reason] == nil {
			reasons = append(reasons, reason)
		}
		byReason[reason] = append(byReason[reason], title(s.run, c.B)+" against "+title(s.run, c.A))
	}
	var said []string
	for _, reason := range reasons {
		said = append(said, strings.Join(byReason[reason], ", ")+" ("+reason+")")
	}
	if len(said) == 0 {
		return ""
	}
	return "This machine cannot show " + strings.Join(said, "; ") + "."
}

func (s *section) faultsInWords(scene results.Scene) []string {
	var said []string
	for _, standing := range scene.Standings {
		for _, t := range standing.Trials {
			if t.Block != 1 {
				continue
			}
			for _, fault := range t.Faults {
				said = append(said, faultInWords(scene, standing, fault))
			}
		}
	}
	return said
}

func faultInWords(scene results.Scene, standing results.Standing, f record.Fault) string {
	who := standing.Subject.Title() + ", " + scene.Arm.Name + ": " + f.Name
	switch {
	case f.InjectedS == nil:
		return who + " was not injected."
	case f.Effect == nil || f.Effect.DetectS == nil:
		return who + " took effect, and no client missed anything."
	}
	said := fmt.Sprintf("%s was noticed after %s", who, duration(*f.Effect.DetectS))
	if f.Effect.RecoverS != nil {
		said += fmt.Sprintf("; once healed, the first answer in time came after %s", duration(*f.Effect.RecoverS))
	}
	if f.Effect.SteadyS != nil {
		said += fmt.Sprintf(", and all was as before after %s", duration(*f.Effect.SteadyS))
	} else {
		said += ", and within the trial it was not as before again"
	}
	return said + "."
}

func duration(seconds float64) string {
	if seconds == 0 {
		return "no time"
	}
	return results.FormatNS(seconds * 1e9)
}

// unranked describes a run that compares nothing.
func (s *section) unranked() []string {
	said := []string{"Nothing was ranked: success and tail are shown as they came."}
	for _, scene := range s.scenes {
		var parts []string
		for _, standing := range scene.Standings {
			if standing.All == nil || standing.All.Counts.Sent == 0 {
				continue
			}
			part := fmt.Sprintf("%s stored %s %% of %s requests", standing.Subject.Title(),
				results.FormatShare(standing.All.Success.Semantic), results.FormatCount(float64(standing.All.Counts.Sent)))
			if standing.AllStruck {
				part += " (struck out)"
			}
			parts = append(parts, part)
		}
		if len(parts) > 0 && len(scene.Arm.Faults) == 0 {
			said = append(said, sceneTitle(scene.Scene)+": "+strings.Join(parts, "; ")+".")
		}
	}
	return said
}

func sceneTitle(scene results.Scene) string {
	return scene.Arm.Name + ", " + scene.LoadTitle
}

// fact is a line of a description list.
type fact struct{ Name, Value string }

// head says what the run is.
func (s *section) head() []fact {
	run := s.run
	facts := []fact{{"played", run.Started.UTC().Format("2006-01-02 15:04 UTC") + s.lasted()}}
	if tool := strings.TrimSpace(run.Tool.Version); tool != "" {
		if run.Tool.Commit != "" && run.Tool.Commit != "unknown" {
			tool += " " + run.Tool.Commit[:min(12, len(run.Tool.Commit))]
		}
		facts = append(facts, fact{"mslab", tool})
	}
	var subjects []string
	for _, subject := range run.Plan.Subjects {
		subjects = append(subjects, subject.Title())
	}
	facts = append(facts, fact{"subjects", strings.Join(subjects, ", ")})
	if e := run.Environment; e != nil {
		facts = append(facts, fact{"machine", machine(e)})
	}
	if run.Plan.MinEffect > 0 && len(run.Pairs()) > 0 {
		effect := results.FormatFigure(100*run.Plan.MinEffect) + " %"
		if run.Plan.MinEffectFrom != "" {
			effect += " (" + run.Plan.MinEffectFrom + ")"
		}
		facts = append(facts, fact{"min effect", effect})
	}
	return facts
}

func (s *section) lasted() string {
	if s.run.Ended.IsZero() || !s.run.Ended.After(s.run.Started) {
		return ""
	}
	return ", in " + s.run.Ended.Sub(s.run.Started).Round(time.Second).String()
}

func machine(e *record.Environment) string {
	parts := []string{e.CPU}
	if e.Cores > 0 {
		parts = append(parts, fmt.Sprintf("%d cores", e.Cores))
	}
	parts = append(parts, e.Kernel, e.Pinning)
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ", ")
}

// environment lists all that is known of where the run was played.
func environment(e *record.Environment) []fact {
	if e == nil {
		return nil
	}
	facts := []fact{{"kernel", e.Kernel}, {"CPU", e.CPU}, {"cores", results.FormatCount(float64(e.Cores))}, {"pinning", e.Pinning},
		{"sandbox", e.Sandbox}, {"Go", e.Go}, {"governor", e.Governor}, {"cgroup", e.Cgroup}, {"lockdown", e.Lockdown}}
	if e.Cores == 0 {
		facts[2].Value = ""
	}
	if e.GOMAXPROCS > 0 {
		facts = append(facts, fact{"GOMAXPROCS", results.FormatCount(float64(e.GOMAXPROCS))})
	}
	if e.CalibrationNS > 0 {
		facts = append(facts, fact{"socket round", results.FormatNS(e.CalibrationNS)})
	}
	facts = append(facts, fact{"steal", results.FormatFigure(100*e.Steal) + " %"})
	facts = slices.DeleteFunc(facts, func(f fact) bool { return f.Value == "" })
	var names []string
	for name := range e.Sysctls {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		facts = append(facts, fact{name, e.Sysctls[name]})
	}
	return facts
}

// addOverview draws a run with several ranked arms at one look.
func (s *section) addOverview(scenes []results.Scene) error {
	table, ok, err := results.OverviewTable(s.run, s.o.minEffect())
	if err != nil || !ok {
		return err
	}
	f := &figure{id: s.id + "-overview", title: "What each change does to the server's cost, under its load", table: table,
		how: "A dot is the change of CPU per request against the subject named, a bar its 95 % interval; hollow where no difference could be told."}
	f.notes, f.table.Notes = table.Notes, nil
	change := panel{title: "change of CPU per request", format: results.FormatChange, reference: 1, log: true}
	d := &dots{}
	add := func(c results.Comparison) {
		d.rows = append(d.rows, rowName{title(s.run, c.B) + " against " + title(s.run, c.A), s.colour(c.B)})
		change.marks = append(change.marks, s.changeMark(c))
	}
	cannot := results.CannotShowPairs(s.run)
	for _, pair := range s.run.Pairs() {
		if i := slices.IndexFunc(cannot, func(c results.Comparison) bool { return c.Arm == pair.Arm && c.A == pair.A && c.B == pair.B }); i >= 0 {
			add(cannot[i])
			continue
		}
		for _, scene := range scenes {
			if scene.Arm.Name != pair.Arm || scene.LoadIndex != pair.Load {
				continue
			}
			for _, c := range scene.Changes {
				if c.A == pair.A && c.B == pair.B {
					add(c)
				}
			}
		}
	}
	d.panels = []panel{change}
	f.dots = d
	if slices.ContainsFunc(change.marks, func(m mark) bool { return !math.IsNaN(m.value) }) {
		s.overview = f
	}
	return nil
}
