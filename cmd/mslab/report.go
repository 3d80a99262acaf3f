package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/results/report"
	"mslab/server"
)

// reportFile is the report's name in a run's folder, and that of a report which
// was given none.
const reportFile = "report.html"

type reportOptions struct {
	out string
	svg string
}

func newReportCommand() *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report [RUN]...",
		Short: "Draw runs as one page that needs nothing else",
		Long: `report draws runs, or what mslab load -o wrote, as one HTML page with plots and
tables inside: it needs no network and no other file, and can be sent as it is.

RUN is the folder that mslab run wrote, or its name in mslab results list. With
several the page has a section for each. Without RUN it is the newest one. A run
that cannot be read leaves no page, and one from before as it was.`,
		Example: `  mslab report                          the newest run, as ./report.html
  mslab report phases aa -o both.html   two runs on one page
  mslab report phases --svg plots       each plot as a file too`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return drawReport(cmd.Context(), cmd.ErrOrStderr(), o, args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return completeRuns(), cobra.ShellCompDirectiveDefault
		},
	}
	cmd.Flags().StringVarP(&o.out, "out", "o", reportFile, "write the page to this file")
	cmd.Flags().StringVar(&o.svg, "svg", "", "write each plot as an SVG file into this folder too")
	return cmd
}

// drawReport reads and draws everything before a file is touched.
func drawReport(ctx context.Context, stderr io.Writer, o reportOptions, names []string) error {
	if o.out == "" {
		return usagef("report: -o needs the name of a file")
	}
	runs, err := openReported(stderr, names)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	out, err := createOut(o.out)
	if err != nil {
		return err
	}
	defer out.Abort()
	if err := report.Write(out, runs, reportTexts()); err != nil {
		return err
	}
	if o.svg != "" {
		files, err := report.WriteSVG(o.svg, runs, reportTexts())
		if err != nil {
			return err
		}
		fmt.Fprintf(stderr, "plots: %d in %s\n", len(files), o.svg)
	}
	if err := out.Commit(); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "report: %s\n", out.target())
	return nil
}

// openReported reads the runs; which one it takes where none is named it says on
// stderr.
func openReported(stderr io.Writer, names []string) ([]*results.Run, error) {
	if len(names) == 0 {
		for run := range recordedRuns() {
			if len(run.Trials) == 0 {
				continue
			}
			_, err := fmt.Fprintf(stderr, "%s\n", results.Wrap(fmt.Sprintf("Run %s, of %s, is the newest.",
				run.Dir, run.Started.UTC().Format("2006-01-02 15:04 UTC"))))
			return []*results.Run{run}, err
		}
		return nil, usagef("report: there is no run yet; mslab run first-look makes one")
	}
	var runs []*results.Run
	for _, name := range names {
		run, err := openResult(name)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// reportTexts are the server's own words for its phases.
func reportTexts() report.Options {
	texts := map[int]report.PhaseText{}
	for _, p := range server.Phases() {
		texts[p.Number] = report.PhaseText{About: p.About}
	}
	return report.Options{Phases: texts}
}

// storeReport draws a run into its folder and returns the page's name. A report
// that cannot be drawn costs no run: it is said, and the rest stands.
func storeReport(stderr io.Writer, dir string, run *results.Run) string {
	name := filepath.Join(dir, reportFile)
	out, err := createOut(name)
	if err == nil {
		defer out.Abort()
		err = report.Write(out, []*results.Run{run}, reportTexts())
	}
	if err == nil {
		err = out.Commit()
	}
	if err != nil {
		fmt.Fprintf(stderr, "no report was drawn: %v; mslab report %s tries again\n", err, dir)
		return ""
	}
	return name
}
