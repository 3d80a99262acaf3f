package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mslab/results"
)

func newResultsCommand() *cobra.Command {
	return newGroup("results", "List, show and merge what was measured", newResultsListCommand(), newResultsShowCommand(), newResultsMergeCommand())
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
				if _, err := os.Stat(args[0]); err != nil {
					return fmt.Errorf("list runs in %s: %w", args[0], cause(err))
				}
			}
			return listRuns(cmd.OutOrStdout(), format, roots)
		},
	}
	addFormatFlags(cmd, &format, &asJSON, results.Formats...)
	return cmd
}

func listRuns(w io.Writer, format string, roots []string) error {
	var tables []results.Table
	for _, root := range roots {
		summaries, err := results.ListRuns(root)
		if err != nil {
			return err
		}
		t := results.RunsTable(summaries)
		t.Title = root
		if len(summaries) > 0 {
			tables = append(tables, t)
		}
	}
	if len(tables) == 0 {
		none := results.RunsTable(nil)
		none.Notes = []string{"No runs yet; mslab run first-look makes one."}
		tables = append(tables, none)
	}
	return results.Render(w, format, tables)
}

func newResultsShowCommand() *cobra.Command {
	var format string
	var asJSON, trials bool
	cmd := &cobra.Command{
		Use:   "show RUN|FILE.json",
		Short: "Print the tables of a run, or of what mslab load -o wrote, again",
		Args:  wantArgs(1, 1, "the folder of one run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&format, asJSON, results.Formats...)); err != nil {
				return err
			}
			if trials {
				return showTrials(cmd.OutOrStdout(), format, args[0])
			}
			return showResult(cmd.OutOrStdout(), format, args[0])
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return completeRuns(), cobra.ShellCompDirectiveDefault
		},
	}
	cmd.Flags().BoolVar(&trials, "trials", false, "list the trials of a run one by one, with their verdicts")
	addFormatFlags(cmd, &format, &asJSON, results.Formats...)
	return cmd
}

// showResult prints a run, or the record of one load.
func showResult(w io.Writer, format, name string) error {
	if r, err := openRecord(name); err != nil {
		return err
	} else if r != nil {
		return printLoad(w, format, r)
	}
	run, err := openRun(name)
	if err != nil {
		return err
	}
	return printRun(w, format, run, true)
}

// showTrials prints the trials of a run one by one.
func showTrials(w io.Writer, format, name string) error {
	run, err := openRun(name)
	if err != nil {
		return err
	}
	return results.Render(w, format, []results.Table{results.TrialsTable(run)})
}

// printRun draws the tables of a run by its own minimum effect; without whole,
// those that a first look needs.
func printRun(w io.Writer, format string, run *results.Run, whole bool) error {
	tables, err := results.Tables(run, runsOwn)
	if err != nil {
		return err
	}
	if !whole {
		tables = results.WithoutDetail(tables)
	}
	return results.Render(w, format, tables)
}
