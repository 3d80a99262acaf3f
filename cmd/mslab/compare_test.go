package main

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var updateGolden = flag.Bool("update", false, "write what compare prints of the committed runs into its scripts")

// TestCompareScripts plays the scripts that compare the committed runs of
// results/testdata, whose path they find in RUNS.
func TestCompareScripts(t *testing.T) {
	runs, err := filepath.Abs(filepath.Join("..", "..", "results", "testdata", "runs"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/compare",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *updateGolden,
		Setup: func(env *testscript.Env) error {
			env.Setenv("RUNS", runs)
			env.Setenv("GORACE", noExitSleep)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "fails": fails},
	})
}
