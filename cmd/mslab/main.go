// Command mslab is a performance laboratory in one binary.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"mslab/scenarios"
)

func main() { os.Exit(execute()) }

// execute runs the process' own command line and returns its exit code.
func execute() int {
	if code, probed := scenarios.AnswerProbe(os.Stderr); probed {
		return code
	}
	if code, kept := scenarios.AnswerKeeper(os.Args[1:]); kept {
		return code
	}
	cobra.EnableCommandSorting = false // the help text keeps the order of commands
	ctx, stop := withSignals(context.Background())
	defer stop()
	return run(ctx, os.Stdin, os.Stdout, os.Stderr, os.Args[1:])
}
