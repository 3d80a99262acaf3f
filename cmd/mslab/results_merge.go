package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/results/record"
)

type mergeOptions struct {
	outFile string
	format  string
	json    bool
}

func newResultsMergeCommand() *cobra.Command {
	var o mergeOptions
	cmd := &cobra.Command{
		Use:   "merge A.json B.json...",
		Short: "Add up what mslab load -o wrote on several machines that loaded one server",
		Long: `merge makes one record of those of several machines that loaded the same server
together. Counts are summed and histograms added up, so that percentiles are of
all requests; none is averaged. Rates are over the time in which at least one
machine measured, by the machines' own clocks: mslab load --start-at starts them
together. The largest scheduling lag counts, and a record that is not valid makes
the sum not valid (exit 5).

The loads must be of the same URL, request and shape. How many clients, requests
or requests a second each machine offered may differ: they add up.`,
		Example: `  mslab results merge one.json two.json three.json -o all.json`,
		Args:    wantArgs(2, maxMerged, "the records of two machines or more"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := firstError(exclusive(cmd, "json", "format"), checkFormat(&o.format, o.json, results.Formats...)); err != nil {
				return err
			}
			return mergeResults(cmd.OutOrStdout(), o, args)
		},
	}
	cmd.Flags().StringVarP(&o.outFile, "out", "o", "", "write the merged record to this file")
	addFormatFlags(cmd, &o.format, &o.json, results.Formats...)
	return cmd
}

// maxMerged is how many records are merged at most: all are held in memory.
const maxMerged = 1000

func mergeResults(stdout io.Writer, o mergeOptions, names []string) error {
	parts, err := openParts(names)
	if err != nil {
		return err
	}
	sum, err := results.MergeLoads(parts...)
	if errors.Is(err, results.ErrTwice) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	var out *outFile
	if o.outFile != "" {
		if out, err = createOut(o.outFile); err != nil {
			return err
		}
	}
	defer out.Abort()
	if err := errors.Join(printLoad(stdout, o.format, sum), keepLoad(sum, nil, out)); err != nil {
		return err
	}
	if !sum.Verdict.Valid {
		return withExit(exitInvalid, fmt.Errorf("the merged record is invalid: %s", strings.Join(sum.Verdict.Reasons, "; ")))
	}
	return nil
}

// openParts reads the records of the machines, each once.
func openParts(names []string) ([]record.Part, error) {
	parts, files := make([]record.Part, len(names)), make([]os.FileInfo, len(names))
	for i, name := range names {
		file, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, cause(err))
		}
		for j, before := range files[:i] {
			if os.SameFile(before, file) {
				return nil, usagef("merge %s: it is the same file as %s; give each once", name, names[j])
			}
		}
		r, err := record.Open(name)
		if err != nil {
			return nil, err
		}
		files[i], parts[i] = file, record.Part{File: name, Record: r}
	}
	return parts, nil
}
