package main

import (
	"encoding/json"
	"fmt"
	"io"

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
	d.Evidence, d.Run = evidence(a.Number, b.Number)
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

// evidence compares the phases' CPU per request in the newest run that has
// both: the user's own, else the reference. It is nil where there is none; runs
// that cannot be read are passed over, mslab results list names them.
func evidence(a, b int) (*results.Comparison, string) {
	for _, root := range runRoots() {
		summaries, err := results.ListRuns(root)
		if err != nil {
			continue
		}
		for _, s := range summaries {
			if s.Error != "" {
				continue
			}
			run, err := results.OpenRun(s.Dir)
			if err != nil {
				continue
			}
			if c := compareIn(run, a, b); c != nil {
				return c, s.Dir
			}
		}
	}
	return nil, ""
}

// compareIn compares two phases in the first ranked arm of the run that has
// them both.
func compareIn(run *results.Run, a, b int) *results.Comparison {
	for _, arm := range run.Plan.Arms {
		if !arm.Ranked {
			continue
		}
		var nameA, nameB string
		for _, s := range run.Plan.SubjectsOf(arm) {
			switch {
			case s.Phase == nil:
			case *s.Phase == a && nameA == "":
				nameA = s.Name
			case *s.Phase == b:
				nameB = s.Name
			}
		}
		if nameA == "" || nameB == "" {
			continue
		}
		pair := results.Pair{Arm: arm.Name, PairPlan: results.PairPlan{A: nameA, B: nameB}}
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
	return d.printEvidence(w)
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
