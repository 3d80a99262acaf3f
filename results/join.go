package results

import (
	"fmt"
	"slices"

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
	}
}

// Join makes one run of two, in which each subject of both is compared with
// itself: candidate against base. Blocks are paired by number and were not
// interleaved, so the same rule decides on weaker ground, and the run's notes
// say what that cannot claim. Ranked arms that both have under the same loads
// are taken; two runs of one subject each are compared whatever the names. The
// error says what the two do not share.
func Join(base, candidate *Run) (*Run, error) {
	joined := &Run{Schema: RunSchema, Tool: candidate.Tool, Started: candidate.Started,
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

// joinNotes say what a comparison of two runs cannot claim, and what else
// differs between them.
func joinNotes(base, candidate *Run) []string {
	notes := []string{"The two were not interleaved: a machine that changed its speed between them (17-30 % was measured) cannot be told from a change of the server. Play both in one run to tell."}
	a, b := base.Environment, candidate.Environment
	if a == nil || b == nil {
		return append(notes, "The environment of at least one of the two is not known.")
	}
	for _, d := range []struct{ what, a, b string }{
		{"kernel", a.Kernel, b.Kernel}, {"CPU", a.CPU, b.CPU}, {"cores", fmt.Sprint(a.Cores), fmt.Sprint(b.Cores)},
		{"Go", a.Go, b.Go}, {"pinning", a.Pinning, b.Pinning}, {"sandbox", a.Sandbox, b.Sandbox},
		{"governor", a.Governor, b.Governor}, {"cgroup", a.Cgroup, b.Cgroup},
	} {
		if d.a != d.b {
			notes = append(notes, fmt.Sprintf("The environments differ: %s %q in the base, %q in the candidate.", d.what, d.a, d.b))
		}
	}
	if a.CalibrationNS > 0 && b.CalibrationNS > 0 {
		notes = append(notes, fmt.Sprintf("Socket work took %s a round in the base, %s in the candidate.", FormatNS(a.CalibrationNS), FormatNS(b.CalibrationNS)))
	}
	return notes
}
