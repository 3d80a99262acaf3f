package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"mslab/results/record"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  wantArgs(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printVersion(cmd.OutOrStdout(), toolVersion())
		},
	}
}

func printVersion(w io.Writer, tool record.Tool) error {
	_, err := fmt.Fprintf(w, "mslab %s commit %s %s %s/%s\n", tool.Version, tool.Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// toolVersion is what the build knows of itself: "devel" and "unknown" where it
// was not built from a version or a repository.
func toolVersion() record.Tool {
	tool := record.Tool{Version: "devel", Commit: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return tool
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		tool.Version = v
	}
	var dirty bool
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			tool.Commit = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty {
		tool.Commit += "+dirty"
	}
	return tool
}
