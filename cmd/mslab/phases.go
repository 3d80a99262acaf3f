package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/server"
)

func newPhasesCommand() *cobra.Command {
	return newGroup("phases", "List, show and compare the phases", newPhasesListCommand(), newPhasesShowCommand(), newPhasesDiffCommand())
}

func newPhasesListCommand() *cobra.Command {
	var format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the phases and what each changes",
		Args:  wantArgs(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&format, asJSON, results.Formats...)); err != nil {
				return err
			}
			return results.Render(cmd.OutOrStdout(), format, []results.Table{phasesTable()})
		},
	}
	addFormatFlags(cmd, &format, &asJSON, results.Formats...)
	return cmd
}

func phasesTable() results.Table {
	t := results.Table{
		Columns: []results.Column{
			{Key: "phase", Title: "phase"},
			{Key: "name", Title: "name", Left: true},
			{Key: "changes", Title: "changes", Left: true},
			{Key: "about", Title: "what", Left: true},
			{Key: "claim", Title: "claimed by the original", Left: true},
		},
		Notes: []string{"Claims are the original document's figures, not measured here; mslab run phases measures."},
	}
	for _, p := range server.Phases() {
		t.Rows = append(t.Rows, []results.Cell{
			results.FigureCell(float64(p.Number), func(v float64) string { return fmt.Sprint(int(v)) }),
			results.TextCell(p.Name), results.TextCell(changesOf(p)), results.TextCell(p.About), results.TextCell(p.Claim),
		})
	}
	return t
}

// changesOf is what a phase sets anew, as the flags would.
func changesOf(p server.Phase) string {
	var changes []string
	for _, stage := range p.Changes {
		changes = append(changes, string(stage)+"="+p.Recipe.Get(stage))
	}
	return strings.Join(changes, " ")
}

func newPhasesShowCommand() *cobra.Command {
	var format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show N|NAME",
		Short: "Show the recipe of a phase",
		Args:  wantArgs(1, 1, "a phase by number or name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&format, asJSON, results.Formats...)); err != nil {
				return err
			}
			return showPhase(cmd.OutOrStdout(), format, args[0])
		},
		ValidArgsFunction: cobra.FixedCompletions(phaseNames(), cobra.ShellCompDirectiveNoFileComp),
	}
	addFormatFlags(cmd, &format, &asJSON, results.Formats...)
	return cmd
}

func showPhase(w io.Writer, format, name string) error {
	p, err := server.FindPhase(name)
	if err != nil {
		return usage(err)
	}
	return results.Render(w, format, []results.Table{recipeTable(p)})
}

func recipeTable(p server.Phase) results.Table {
	t := results.Table{
		Title: fmt.Sprintf("Phase %d %s: %s", p.Number, p.Name, p.About),
		Columns: []results.Column{
			{Key: "stage", Title: "stage", Left: true},
			{Key: "variant", Title: "variant", Left: true},
			{Key: "changed", Title: "", Left: true},
			{Key: "about", Title: "what it does", Left: true},
			{Key: "source", Title: "source", Left: true},
		},
	}
	changed := map[server.Stage]bool{}
	for _, stage := range p.Changes {
		changed[stage] = true
	}
	for _, info := range server.Stages() {
		variant, mark, source := p.Recipe.Get(info.Stage), "", ""
		if changed[info.Stage] {
			mark = "new"
		}
		if file := server.Source(info.Stage, variant); file != "" {
			source = "server/" + file
		}
		t.Rows = append(t.Rows, []results.Cell{
			results.TextCell(string(info.Stage)), results.TextCell(variant), results.TextCell(mark),
			results.TextCell(aboutVariant(p.Recipe, info, variant)),
			results.TextCell(source),
		})
	}
	t.Notes = phaseNotes(p)
	return t
}

// aboutVariant describes a variant; where the recipe leaves the value open, what
// comes of that.
func aboutVariant(r server.Recipe, info server.StageInfo, variant string) string {
	for _, v := range info.Variants {
		if v.Name == variant {
			return v.About
		}
	}
	switch info.Stage {
	case server.StageGOMAXPROCS:
		return fmt.Sprintf("%s: %d", info.About, r.Processors())
	case server.StageGOGC:
		if percent, ok := r.GCPercent(); ok && percent > 0 {
			return fmt.Sprintf("%s: %d %%", info.About, percent)
		}
	case server.StageAck:
		return info.About + ": " + r.AckLevel()
	}
	return info.About
}

func phaseNotes(p server.Phase) []string {
	var notes []string
	if p.Base >= 0 {
		notes = append(notes, fmt.Sprintf("Changes phase %d in: %s.", p.Base, changesOf(p)))
	}
	if p.Shows.Why != "" {
		notes = append(notes, fmt.Sprintf("Shows under: %s (%s).", showsLoad(p.Shows), p.Shows.Why))
	}
	notes = append(notes, "Each stage is a flag of mslab serve: --STAGE VARIANT.")
	if p.Claim != "" {
		notes = append(notes, fmt.Sprintf("Claimed by the original's document: %s.", p.Claim))
	}
	return notes
}

// showsLoad lists what a phase asks of the load that brings out its change.
func showsLoad(s server.Shows) string {
	var parts []string
	add := func(wanted bool, format string, args ...any) {
		if wanted {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(s.Clients > 0, "%d clients", s.Clients)
	add(s.Metrics > 0, "%d metrics a body", s.Metrics)
	add(s.SinkDelay > 0, "%s slept in the file write", s.SinkDelay.Round(time.Microsecond))
	add(s.RateLimit > 0, "a limit of %d requests/s a client", s.RateLimit)
	add(s.SameClient, "all connections one client")
	add(s.Keep, "kept connections")
	add(s.ServerCores > 1, "%d cores or more for the server", s.ServerCores)
	if len(parts) == 0 {
		return "the scenario's own load"
	}
	return strings.Join(parts, ", ")
}
