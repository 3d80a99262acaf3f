package results

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"mslab/results/record"
)

const (
	baseSuffix      = " (base)"
	candidateSuffix = " (candidate)"
)

// RunOf wraps the record of one `mslab load` as a run of one subject and one
// block, for Join.
func RunOf(r *record.Record) *Run {
	own := *r
	own.Arm, own.Block = "load", 1
	if own.Subject.Name == "" {
		own.Subject.Name = "server"
	}
	return &Run{
		Schema: RunSchema, Tool: r.Tool, Started: r.Started, Incomplete: r.Incomplete, Environment: r.Environment,
		Plan: Plan{Scenario: "load", Subjects: []SubjectPlan{{Subject: own.Subject}}, Seed: r.Load.Seed,
			Arms: []ArmPlan{{Name: "load", Ranked: true, Loads: []record.Load{r.Load}, Blocks: 1, Slices: 1}}},
		Trials: []*record.Record{&own},
		ofLoad: true,
	}
}

// OfLoad says whether the run is the record of one load, by RunOf.
func (r *Run) OfLoad() bool { return r.ofLoad }

// Join makes one run of two, in which each subject of both is compared with
// itself: candidate against base. Blocks are paired by number and were not
// interleaved, so the same rule decides on weaker ground, and the run's notes
// say what that cannot claim. Ranked arms that both have under the same loads
// are taken; two runs of one subject each are compared whatever the names. The
// error says what the two do not share.
func Join(base, candidate *Run) (*Run, error) {
	joined := &Run{Schema: RunSchema, joined: true, Tool: candidate.Tool, Started: candidate.Started,
		Incomplete: base.Incomplete || candidate.Incomplete, Environment: candidate.Environment,
		Plan: Plan{Scenario: candidate.Plan.Scenario, Seed: candidate.Plan.Seed,
			MinEffect: candidate.Plan.MinEffect, MinEffectFrom: candidate.Plan.MinEffectFrom},
		Notes: joinNotes(base, candidate)}
	twins := commonSubjects(base, candidate)
	if len(twins) == 0 {
		return nil, fmt.Errorf("compare two runs: they share no subject; compare runs of the same phases or servers")
	}
	for _, twin := range twins {
		joined.Plan.Subjects = append(joined.Plan.Subjects, renamed(twin[0], baseSuffix), renamed(twin[1], candidateSuffix))
	}
	for _, arm := range candidate.Plan.Arms {
		other, ok := base.Plan.Arm(arm.Name)
		if !ok || !arm.Ranked || !other.Ranked || !sameLoads(arm, other) {
			continue
		}
		arm.Blocks, arm.Pairs, arm.Subjects = max(arm.Blocks, other.Blocks), nil, nil
		for _, twin := range twins {
			arm.Pairs = append(arm.Pairs, PairPlan{A: twin[0].Name + baseSuffix, B: twin[1].Name + candidateSuffix})
		}
		joined.Plan.Arms = append(joined.Plan.Arms, arm)
	}
	if len(joined.Plan.Arms) == 0 {
		return nil, fmt.Errorf("compare two runs: they share no ranked arm under the same load (clients, connections, think time, metrics)")
	}
	joined.Trials = append(suffixed(base.Trials, baseSuffix), suffixed(candidate.Trials, candidateSuffix)...)
	return joined, nil
}

func commonSubjects(base, candidate *Run) [][2]SubjectPlan {
	if len(base.Plan.Subjects) == 1 && len(candidate.Plan.Subjects) == 1 {
		return [][2]SubjectPlan{{base.Plan.Subjects[0], candidate.Plan.Subjects[0]}}
	}
	var twins [][2]SubjectPlan
	for _, s := range candidate.Plan.Subjects {
		if b, ok := base.Plan.Subject(s.Name); ok {
			twins = append(twins, [2]SubjectPlan{b, s})
		}
	}
	return twins
}

func renamed(s SubjectPlan, suffix string) SubjectPlan {
	s.Name += suffix
	s.Claim = ""
	return s
}

func suffixed(trials []*record.Record, suffix string) []*record.Record {
	out := make([]*record.Record, len(trials))
	for i, r := range trials {
		own := *r
		own.Subject.Name += suffix
		out[i] = &own
	}
	return out
}

func sameLoads(a, b ArmPlan) bool {
	return slices.EqualFunc(a.Loads, b.Loads, func(x, y record.Load) bool { return keyOf(x) == keyOf(y) })
}

// joinNotes say what is in no table of two runs: what the comparison
// cannot claim, and what else differs.
func joinNotes(base, candidate *Run) []string {
	notes := []string{"The two were not interleaved: a machine that changed its speed between them (17-30 % was measured) cannot be told from a change of the server. Play both in one run to tell: mslab run --subject base=... --subject candidate=..."}
	if base.ofLoad && candidate.ofLoad {
		notes = append(notes, "Each is one load without blocks: nothing tells a difference from chance, so the ratios stand alone. The seconds of a load are no blocks: each resembles the one before it.")
	}
	for _, side := range []struct {
		name string
		run  *Run
	}{{"base", base}, {"candidate", candidate}} {
		if side.run.Incomplete {
			notes = append(notes, fmt.Sprintf("The %s was interrupted: what it has measured is compared.", side.name))
		}
	}
	if differences := Unlike(base, candidate); len(differences) > 0 {
		notes = append(notes, "Their circumstances differ, so that a difference may be of these: "+Listed(differences)+".")
	}
	notes = append(notes, subjectChanges(base, candidate)...)
	return append(notes, calibrationNotes(base, candidate)...)
}

// subjectChanges say what was changed on purpose, as far as the plans tell.
func subjectChanges(base, candidate *Run) []string {
	var notes []string
	for _, arm := range candidate.Plan.Arms {
		other, ok := base.Plan.Arm(arm.Name)
		switch {
		case !ok:
			notes = append(notes, fmt.Sprintf("Arm %s is in the candidate alone.", arm.Name))
		case !maps.Equal(arm.Overrides, other.Overrides):
			notes = append(notes, fmt.Sprintf("Arm %s plays %s in the base, %s in the candidate.", arm.Name, overridesText(other.Overrides), overridesText(arm.Overrides)))
		}
	}
	for _, arm := range base.Plan.Arms {
		if _, ok := candidate.Plan.Arm(arm.Name); !ok {
			notes = append(notes, fmt.Sprintf("Arm %s is in the base alone.", arm.Name))
		}
	}
	if a, b := base.Tool, candidate.Tool; a != b {
		notes = append(notes, fmt.Sprintf("They were made by mslab %s (%s) and %s (%s); the generator is part of it.", a.Version, a.Commit, b.Version, b.Commit))
	}
	return notes
}

func overridesText(overrides map[string]string) string {
	if len(overrides) == 0 {
		return "no overrides"
	}
	words := make([]string, 0, len(overrides))
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		words = append(words, name+" "+overrides[name])
	}
	return strings.Join(words, ", ")
}

func calibrationNotes(base, candidate *Run) []string {
	a, b := base.calibration(), candidate.calibration()
	if a <= 0 || b <= 0 {
		return nil
	}
	note := fmt.Sprintf("Socket work took %s a round in the base, %s in the candidate", FormatNS(a), FormatNS(b))
	if apart := math.Max(a, b)/math.Min(a, b) - 1; apart >= 0.005 {
		note += fmt.Sprintf(", %s apart: an effect of that size may be the machine's", percent(apart))
	}
	return []string{note + "."}
}

func (r *Run) calibration() float64 {
	if r.Environment == nil {
		return 0
	}
	return r.Environment.CalibrationNS
}
