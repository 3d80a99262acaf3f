package results

import (
	"math"
	"strings"

	"mslab/results/record"
)

// Scene is one arm of a run under one of its loads: what a report draws
// together.
type Scene struct {
	Arm       ArmPlan
	Load      record.Load
	LoadIndex int
	LoadTitle string // "20 clients, new connections"
	Standings []Standing
	// Changes are the comparisons of CPU per request, in the order of the plan;
	// none where the arm is not ranked.
	Changes []Comparison
	// The tables as Tables draws them; those that do not apply have no rows.
	Rank, Kernel, Success, Tail, Waits Table
	Syscalls                           []Table
	Seconds                            []Table // by trial; of arms with faults
	Notes                              []string

	rows []summary
}

// Standing is a subject in a scene, summed up over all blocks.
type Standing struct {
	Subject SubjectPlan
	// CPU is the server's CPU time per request in ns: the geometric mean of the
	// blocks; not a number where it is not known.
	CPU float64
	// All adds up everything that is valid, Timed what is comparable too. Where
	// nothing is, they add up what counts for nothing, AllStruck and TimedStruck
	// say so; nil where there is no trial.
	All, Timed             *record.Record
	AllStruck, TimedStruck bool
	Trials                 []Trial // by block
}

// Trial is a trial with what may be used of it.
type Trial struct {
	*record.Record
	// CPU is the geometric mean of its slices in ns; not a number where it is not
	// known.
	CPU float64
	// Struck is why nothing of it may be used, Untimed why its rates and
	// latencies may not; "" where they may.
	Struck, Untimed string
}

// Scenes sums up a run for a report: each arm under each of its loads, in the
// order of the plan, but for arms of which no block was planned. minEffect < 0
// takes the plan's.
func Scenes(run *Run, minEffect float64) ([]Scene, error) {
	if minEffect < 0 {
		minEffect = run.Plan.MinEffect
	}
	comparisons, err := Compare(run, MetricCPU, run.Pairs(), minEffect)
	if err != nil {
		return nil, err
	}
	trials := indexTrials(run)
	var scenes []Scene
	for _, arm := range run.Plan.Arms {
		if arm.Ranked && arm.Blocks == 0 {
			continue
		}
		for load := range max(1, len(arm.Loads)) {
			v := view{run: run, arm: arm, load: loadOf(arm, load), loadIndex: load, trials: trials}
			if err := v.sumUp(load); err != nil {
				return nil, err
			}
			scenes = append(scenes, v.scene(comparisons, minEffect))
		}
	}
	return scenes, nil
}

func (v *view) scene(all []Comparison, minEffect float64) Scene {
	s := Scene{Arm: v.arm, Load: v.load, LoadIndex: v.loadIndex, LoadTitle: loadTitle(v.load), rows: v.rows,
		Kernel: v.kernelTable(), Success: v.successTable(), Waits: v.waitTable()}
	for _, row := range v.rows {
		s.Standings = append(s.Standings, v.standing(row))
	}
	if !v.arm.Ranked {
		s.Tail, s.Notes = v.tailTable(), v.faultNotes()
		if len(v.arm.Faults) > 0 {
			s.Seconds = v.secondTables()
		}
		return s
	}
	for i, pair := range v.run.Pairs() {
		if pair.Arm == v.arm.Name && pair.Load == v.loadIndex {
			s.Changes = append(s.Changes, all[i])
		}
	}
	s.Rank = v.rankTable(ofCell(all, v.run.Pairs(), v.arm.Name, v.loadIndex), minEffect)
	s.Notes = s.Rank.Notes
	s.Syscalls = SyscallTables(v.run, v.arm, v.loadIndex)
	return s
}

func (v *view) standing(row summary) Standing {
	s := Standing{Subject: row.subject, CPU: row.cpu, All: row.all, Timed: row.timed,
		AllStruck: row.allStruck, TimedStruck: row.timedStruck}
	cpu, _ := parseMetric(MetricCPU)
	rps, _ := parseMetric(MetricRPS)
	for _, r := range v.trials.trials(v.arm, row.subject.Name, v.loadIndex) {
		s.Trials = append(s.Trials, Trial{Record: r, CPU: geometricMean(positive(cpu.values(r))),
			Struck: cpu.unusable(r), Untimed: rps.unusable(r)})
	}
	return s
}

// AllTraced are the traced trials of a scene, in the order of its subjects, nil
// for each that was not traced.
func (r *Run) AllTraced(s Scene) []*TracedSyscalls {
	out := make([]*TracedSyscalls, len(s.Standings))
	for i, standing := range s.Standings {
		if t, ok := r.Syscalls(s.Arm.Name, standing.Subject.Name, s.LoadIndex); ok {
			out[i] = t
		}
	}
	return out
}

// Rates are the calls a request makes of each syscall, by name.
func (t *TracedSyscalls) Rates() map[string]float64 {
	rates := map[string]float64{}
	for _, c := range t.Syscalls {
		rates[c.Name] = t.rate(series{c.Name, false}).Mean
	}
	return rates
}

// CannotShowPairs are the pairs of the ranked arms that the machine cannot bring out,
// each with its comparison's verdict.
func CannotShowPairs(run *Run) []Comparison {
	var out []Comparison
	for _, pair := range run.Pairs() {
		if pair.CannotShow == "" {
			continue
		}
		// It is not tested, so that it changes no other's correction.
		if c, err := Compare(run, MetricCPU, []Pair{pair}, 0); err == nil {
			out = append(out, c...)
		}
	}
	return out
}

// OverviewTable has a row for each comparison of a run with several ranked arms;
// ok is false for other runs. minEffect < 0 takes the plan's.
func OverviewTable(run *Run, minEffect float64) (t Table, ok bool, err error) {
	if rankedArms(run) < 2 {
		return Table{}, false, nil
	}
	if minEffect < 0 {
		minEffect = run.Plan.MinEffect
	}
	comparisons, err := Compare(run, MetricCPU, run.Pairs(), minEffect)
	if err != nil {
		return Table{}, false, err
	}
	t, err = overviewTable(run, indexTrials(run), comparisons, minEffect)
	return t, err == nil, err
}

// FaultsTable says what each fault of a run did; ok is false where there was
// none.
func FaultsTable(run *Run) (Table, bool) { return faultTable(run, indexTrials(run)) }

// ClaimsTable puts what the original's authors claimed beside what was measured,
// as the run's scenes have summed it up; ok is false where nothing was claimed.
func ClaimsTable(run *Run, scenes []Scene) (Table, bool, error) {
	trials := indexTrials(run)
	return claimsTable(run, func(arm ArmPlan, subject SubjectPlan, load int) (summary, error) {
		for _, scene := range scenes {
			for _, row := range scene.rows {
				if scene.Arm.Name == arm.Name && scene.LoadIndex == load && row.subject.Name == subject.Name {
					return row, nil
				}
			}
		}
		return trials.summarize(arm, subject, load)
	})
}

// RunNotes are what a reader must know of a run as a whole, but for its
// environment.
func RunNotes(run *Run) []string {
	var notes []string
	for _, note := range runNotes(run) {
		if !strings.HasPrefix(note, "Environment: ") {
			notes = append(notes, note)
		}
	}
	return notes
}

// LoadTitle names a load: "20 clients, new connections".
func LoadTitle(l record.Load) string { return loadTitle(l) }

// FormatFigure prints three significant digits without an exponent.
func FormatFigure(v float64) string { return significant(v) }

// FormatChange prints a ratio as a signed percentage: 1.031 is "+3.1 %".
func FormatChange(ratio float64) string { return formatChange(ratio) }

// LevelInterval is the 95 % interval of the level that positive values have in
// common, such as a subject's blocks: the sign-flip interval of their
// logarithms. It is not ok where too few values, under 6, bound it.
func LevelInterval(values []float64) (low, high float64, ok bool) {
	logs := make([]float64, 0, len(values))
	for _, v := range values {
		if v > 0 {
			logs = append(logs, math.Log(v))
		}
	}
	low, high = SignFlipInterval(logs)
	if math.IsInf(low, 0) || math.IsInf(high, 0) {
		return math.NaN(), math.NaN(), false
	}
	return math.Exp(low), math.Exp(high), true
}
