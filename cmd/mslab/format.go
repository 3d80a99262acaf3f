package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// The output formats. Not every command has all of them.
const (
	formatText      = "text"
	formatTable     = "table"
	formatMarkdown  = "markdown"
	formatCSV       = "csv"
	formatJSON      = "json"
	formatBenchstat = "benchstat"
)

// addFormatFlags adds --format with the given values, the first being the
// default, and --json.
func addFormatFlags(cmd *cobra.Command, format *string, asJSON *bool, formats ...string) {
	cmd.Flags().StringVar(format, "format", formats[0], "output format ("+strings.Join(formats, ", ")+")")
	cmd.Flags().BoolVar(asJSON, "json", false, "short for --format json")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// checkFormat settles --format and --json; "text" is taken for the table where
// a command prints tables.
func checkFormat(format *string, asJSON bool, formats ...string) error {
	if asJSON {
		*format = formatJSON
	}
	if *format == formatText && !slices.Contains(formats, formatText) {
		*format = formatTable
	}
	if !slices.Contains(formats, *format) {
		return usagef("--format %s: want one of %s", *format, strings.Join(formats, ", "))
	}
	return nil
}
