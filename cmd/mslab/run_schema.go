package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mslab/results"
	"mslab/scenarios"
)

// addSchemaFlag adds --schema, which takes nothing beside it.
func addSchemaFlag(cmd *cobra.Command, schema *bool) {
	cmd.Flags().BoolVar(schema, "schema", false, "print the JSON Schema of scenario files, for editors")
}

// writeSchema prints the schema; whoever asks for it asks for nothing else.
func writeSchema(cmd *cobra.Command, w io.Writer, args []string) error {
	if len(args) > 0 {
		return usagef("--schema takes no scenario; it is that of all of them")
	}
	if err := exclusive(cmd, "schema", "list", "dry-run", "format", "json", "out"); err != nil {
		return err
	}
	return scenarios.WriteSchema(w)
}

// checkAsserted is the error of a run of which an assertion does not hold. A
// run that is not valid has said so before: its figures tell nothing.
func checkAsserted(run *results.Run) error {
	breached := 0
	for _, a := range run.Asserted {
		if !a.Held() {
			breached++
		}
	}
	if breached == 0 {
		return nil
	}
	return withExit(exitThreshold, fmt.Errorf("%d of %d assertions breached", breached, len(run.Asserted)))
}
