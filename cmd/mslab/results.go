package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mslab/results"
)

func newResultsCommand() *cobra.Command {
	return newGroup("results", "List and show runs", newResultsListCommand(), newResultsShowCommand())
}

func newResultsListCommand() *cobra.Command {
	var format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [FOLDER]",
		Short: "List the runs, the newest first",
		Args:  wantArgs(0, 1, "one folder of runs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&format, asJSON, results.Formats...)); err != nil {
				return err
			}
			roots := runRoots()
			if len(args) == 1 {
				roots = args
			}
			return listRuns(cmd.OutOrStdout(), format, roots)
		},
	}
	addFormatFlags(cmd, &format, &asJSON, results.Formats...)
	return cmd
}

func listRuns(w io.Writer, format string, roots []string) error {
	t := results.Table{Columns: []results.Column{
		{Key: "dir", Title: "folder", Left: true},
		{Key: "scenario", Title: "scenario", Left: true},
		{Key: "started", Title: "started", Left: true},
		{Key: "subjects", Title: "subjects"},
		{Key: "blocks", Title: "blocks"},
		{Key: "trials", Title: "trials"},
		{Key: "note", Title: "", Left: true},
	}}
	for _, root := range roots {
		summaries, err := results.ListRuns(root)
		if err != nil {
			return err
		}
		for _, s := range summaries {
			t.Rows = append(t.Rows, summaryRow(s))
		}
	}
	if len(t.Rows) == 0 {
		t.Notes = []string{"No runs yet; mslab run first-look makes one."}
	}
	return results.Render(w, format, []results.Table{t})
}

func summaryRow(s results.Summary) []results.Cell {
	note, started := s.Error, ""
	if s.Incomplete {
		note = "interrupted"
	}
	if !s.Started.IsZero() {
		started = s.Started.UTC().Format(time.DateTime) + " UTC"
	}
	count := func(n int) results.Cell {
		return results.FigureCell(float64(n), func(v float64) string { return fmt.Sprintf("%.0f", v) })
	}
	return []results.Cell{
		results.TextCell(s.Dir), results.TextCell(s.Scenario), results.TextCell(started),
		count(s.Subjects), count(s.Blocks), count(s.Trials), results.TextCell(note),
	}
}

func newResultsShowCommand() *cobra.Command {
	var format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "Print the tables of a run again",
		Args:  wantArgs(1, 1, "the folder of one run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&format, asJSON, results.Formats...)); err != nil {
				return err
			}
			run, err := openRun(args[0])
			if err != nil {
				return err
			}
			return printRun(cmd.OutOrStdout(), format, run)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return completeRuns(), cobra.ShellCompDirectiveDefault
		},
	}
	addFormatFlags(cmd, &format, &asJSON, results.Formats...)
	return cmd
}

// printRun draws the tables of a run by its own minimum effect.
func printRun(w io.Writer, format string, run *results.Run) error {
	tables, err := results.Tables(run, runsOwn)
	if err != nil {
		return err
	}
	return results.Render(w, format, tables)
}
