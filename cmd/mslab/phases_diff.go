package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/server"
)

const phasesDiffSchema = "mslab.phases.diff/v1"

// phasesDiff is what tells two phases apart.
type phasesDiff struct {
	Schema   string              `json:"schema"`
	A        string              `json:"a"`
	B        string              `json:"b"`
	Stages   []stageDiff         `json:"stages"`
	Sources  []sourceDiff        `json:"sources"`
	Evidence *results.Comparison `json:"evidence"` // null where no run has both
	Run      string              `json:"run,omitempty"`
	Syscalls *syscallsDiff       `json:"syscalls"` // null where no run has traced both
}

// syscallsDiff is what the newest run that has traced both phases says.
type syscallsDiff struct {
	Run         string                      `json:"run"`
	Arm         string                      `json:"arm"`
	Clients     int                         `json:"clients"`
	Requests    [2]int64                    `json:"requests"` // traced of A and of B
	Lost        int64                       `json:"lost"`     // calls that the tracer could not count
	Differences []results.SyscallDifference `json:"differences"`
	a, b        results.SubjectPlan
}

type stageDiff struct {
	Stage server.Stage `json:"stage"`
	A     string       `json:"a"`
	B     string       `json:"b"`
	About string       `json:"about"`
}

type sourceDiff struct {
	A    string `json:"a"`
	B    string `json:"b"`
	Diff string `json:"diff"` // empty where both are decided in one file
}

func newPhasesDiffCommand() *cobra.Command {
	var format string
	var asJSON bool
	formats := []string{formatText, formatJSON}
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show what tells two phases apart: recipe, source, evidence",
		Args:  wantArgs(2, 2, "two phases by number or name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&format, asJSON, formats...)); err != nil {
				return err
			}
			d, err := diffPhases(args[0], args[1])
			if err != nil {
				return err
			}
			if format == formatJSON {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(d)
			}
			return d.print(cmd.OutOrStdout())
		},
		ValidArgsFunction: cobra.FixedCompletions(phaseNames(), cobra.ShellCompDirectiveNoFileComp),
	}
	addFormatFlags(cmd, &format, &asJSON, formats...)
	return cmd
}

func diffPhases(nameA, nameB string) (*phasesDiff, error) {
	a, err := server.FindPhase(nameA)
	if err != nil {
		return nil, usage(err)
	}
	b, err := server.FindPhase(nameB)
	if err != nil {
		return nil, usage(err)
	}
	d := &phasesDiff{Schema: phasesDiffSchema, A: phaseTitle(a), B: phaseTitle(b), Stages: []stageDiff{}, Sources: []sourceDiff{}}
	seen := map[[2]string]bool{}
	for _, stage := range a.Recipe.Diff(b.Recipe) {
		va, vb := a.Recipe.Get(stage), b.Recipe.Get(stage)
		d.Stages = append(d.Stages, stageDiff{stage, va, vb, aboutStage(b.Recipe, stage, vb)})
		files := [2]string{server.Source(stage, va), server.Source(stage, vb)}
		if files[0] == "" || files[1] == "" || seen[files] {
			continue
		}
		seen[files] = true
		s, err := diffSource(files[0], files[1])
		if err != nil {
			return nil, err
		}
		d.Sources = append(d.Sources, s)
	}
	d.Stages = append(d.Stages, consequences(a.Recipe, b.Recipe)...)
	d.join(a.Number, b.Number)
	return d, nil
}

// consequences are the stages that neither recipe sets and that come out
// differently all the same: part of what tells the two apart.
func consequences(a, b server.Recipe) []stageDiff {
	var follow []stageDiff
	for _, info := range server.Stages() {
		va, vb := a.Settled(info.Stage), b.Settled(info.Stage)
		if a.Get(info.Stage) != b.Get(info.Stage) || va == vb {
			continue
		}
		follow = append(follow, stageDiff{
			info.Stage, a.Get(info.Stage) + ": " + va, b.Get(info.Stage) + ": " + vb, info.About + "; follows from the above",
		})
	}
	return follow
}

func phaseTitle(p server.Phase) string { return fmt.Sprintf("%d %s", p.Number, p.Name) }

func aboutStage(r server.Recipe, stage server.Stage, variant string) string {
	for _, info := range server.Stages() {
		if info.Stage == stage {
			return aboutVariant(r, info, variant)
		}
	}
	return ""
}

func diffSource(a, b string) (sourceDiff, error) {
	textA, err := server.SourceFile(a)
	if err != nil {
		return sourceDiff{}, err
	}
	textB, err := server.SourceFile(b)
	if err != nil {
		return sourceDiff{}, err
	}
	a, b = "server/"+a, "server/"+b
	return sourceDiff{a, b, string(diff.Diff(a, textA, b, textB))}, nil
}

// join takes what is recorded of both phases from the newest run that has it,
// the user's own before the reference: CPU per request, and syscalls per
// request, which fewer runs have.
func (d *phasesDiff) join(a, b int) {
	for run := range recordedRuns(a, b) {
		if d.Evidence == nil {
			if c := compareIn(run, a, b); c != nil {
				d.Evidence, d.Run = c, run.Dir
			}
		}
		if d.Syscalls == nil {
			d.Syscalls = tracedIn(run, a, b)
		}
		if d.Evidence != nil && d.Syscalls != nil {
			return
		}
	}
}

// subjectsIn finds two phases among an arm's subjects; a phase that plays twice
// is two subjects.
func subjectsIn(run *results.Run, arm results.ArmPlan, a, b int) (subjectA, subjectB results.SubjectPlan, ok bool) {
	for _, s := range run.Plan.SubjectsOf(arm) {
		switch {
		case s.Phase == nil:
		case *s.Phase == a && subjectA.Name == "":
			subjectA = s
		case *s.Phase == b:
			subjectB = s
		}
	}
	return subjectA, subjectB, subjectA.Name != "" && subjectB.Name != ""
}

// tracedIn compares the syscalls of two phases in the first arm of the run in
// which both were traced.
func tracedIn(run *results.Run, a, b int) *syscallsDiff {
	for _, arm := range run.Plan.Arms {
		subjectA, subjectB, ok := subjectsIn(run, arm, a, b)
		if !ok {
			continue
		}
		for load := range max(1, len(arm.Loads)) {
			tracedA, okA := run.Syscalls(arm.Name, subjectA.Name, load)
			tracedB, okB := run.Syscalls(arm.Name, subjectB.Name, load)
			if !okA || !okB {
				continue
			}
			d := &syscallsDiff{Run: run.Dir, Arm: arm.Name, a: subjectA, b: subjectB,
				Requests:    [2]int64{tracedA.Served(), tracedB.Served()},
				Lost:        tracedA.Self.Lost() + tracedB.Self.Lost(),
				Differences: results.DiffSyscalls(tracedA, tracedB)}
			if load < len(arm.Loads) {
				d.Clients = arm.Loads[load].Clients
			}
			return d
		}
	}
	return nil
}

// compareIn compares two phases in the first ranked arm of the run that has
// them both.
func compareIn(run *results.Run, a, b int) *results.Comparison {
	for _, arm := range run.Plan.Arms {
		subjectA, subjectB, ok := subjectsIn(run, arm, a, b)
		if !arm.Ranked || !ok {
			continue
		}
		pair := results.Pair{Arm: arm.Name, PairPlan: results.PairPlan{A: subjectA.Name, B: subjectB.Name}}
		comparisons, err := results.Compare(run, results.MetricCPU, []results.Pair{pair}, run.Plan.MinEffect)
		if err == nil && comparisons[0].Blocks > 0 {
			return &comparisons[0]
		}
	}
	return nil
}

func (d *phasesDiff) print(w io.Writer) error {
	t := results.Table{
		Title: fmt.Sprintf("Phase %s and phase %s", d.A, d.B),
		Columns: []results.Column{
			{Key: "stage", Title: "stage", Left: true}, {Key: "a", Title: d.A, Left: true},
			{Key: "b", Title: d.B, Left: true}, {Key: "about", Title: "what that does", Left: true},
		},
	}
	for _, s := range d.Stages {
		t.Rows = append(t.Rows, []results.Cell{
			results.TextCell(string(s.Stage)), results.TextCell(s.A), results.TextCell(s.B), results.TextCell(s.About),
		})
	}
	if len(d.Stages) == 0 {
		t.Notes = []string{"The recipes are the same."}
	}
	if err := results.Render(w, formatTable, []results.Table{t}); err != nil {
		return err
	}
	for _, s := range d.Sources {
		text := s.Diff
		if text == "" {
			text = fmt.Sprintf("%s decides both by the recipe's value.\n", s.A)
		}
		if _, err := fmt.Fprintf(w, "\n%s", text); err != nil {
			return err
		}
	}
	if err := d.printEvidence(w); err != nil {
		return err
	}
	return d.printSyscalls(w)
}

func (d *phasesDiff) printEvidence(w io.Writer) error {
	if d.Evidence == nil {
		_, err := fmt.Fprintf(w, "\nNo recorded run has both phases; mslab run phases makes one.\n")
		return err
	}
	if _, err := fmt.Fprintf(w, "\nRecorded in %s:\n\n", d.Run); err != nil {
		return err
	}
	return results.Render(w, formatTable, results.CompareTables([]results.Comparison{*d.Evidence}))
}

func (d *phasesDiff) printSyscalls(w io.Writer) error {
	if len(d.Stages) == 0 {
		return nil // a phase and itself
	}
	if d.Syscalls == nil {
		_, err := fmt.Fprintf(w, "\n%s\n", results.Wrap(fmt.Sprintf("No recorded run has traced the syscalls of both; mslab run --phases %s,%s does where eBPF works (mslab doctor tells).",
			firstWord(d.A), firstWord(d.B))))
		return err
	}
	s := d.Syscalls
	if s.Run != d.Run {
		if _, err := fmt.Fprintf(w, "\nRecorded in %s:\n", s.Run); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	t := results.SyscallDiffTable("syscalls per request in arm "+s.Arm, s.a, s.b, s.Differences)
	t.Notes = append(t.Notes, fmt.Sprintf("One traced trial of each (%d and %d requests, %d clients); the interval knows the spread of its slices, not that of processes.",
		s.Requests[0], s.Requests[1], s.Clients))
	if s.Lost > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("The tracer lost %d calls: these rates are too low.", s.Lost))
	}
	return results.Render(w, formatTable, []results.Table{t})
}

// firstWord is the number in a phase's title.
func firstWord(title string) string {
	word, _, _ := strings.Cut(title, " ")
	return word
}
