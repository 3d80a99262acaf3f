package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mslab/results"
)

// Where runs are looked for, the user's own before those that come with the
// repository.
const (
	runsInRepository = "results/runs"
	runsElsewhere    = "results"
	referenceRuns    = "results/reference"
)

// runsRoot is the folder that holds the user's runs: inside the repository
// apart from the package of the same name.
func runsRoot() string {
	module, err := os.ReadFile("go.mod")
	if err == nil && strings.HasPrefix(string(module), "module mslab\n") {
		return runsInRepository
	}
	return runsElsewhere
}

// openRun reads a run by the path of its folder or by its name in the list.
func openRun(name string) (*results.Run, error) {
	info, err := os.Stat(name)
	if err == nil && !info.IsDir() {
		return nil, fmt.Errorf("read run: %s is a file; give the folder that mslab run wrote", name)
	}
	if errors.Is(err, fs.ErrNotExist) && filepath.Base(name) == name {
		for _, root := range []string{runsRoot(), referenceRuns} {
			if _, err := os.Stat(filepath.Join(root, name)); err == nil {
				return results.OpenRun(filepath.Join(root, name))
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read run %s: %w; mslab results list shows those there are", name, cause(err))
	}
	return results.OpenRun(name)
}

// completeRuns completes the names of runs.
func completeRuns() []string {
	var names []string
	for _, root := range []string{runsRoot(), referenceRuns} {
		summaries, err := results.ListRuns(root)
		if err != nil {
			continue
		}
		for _, s := range summaries {
			names = append(names, filepath.Base(s.Dir))
		}
	}
	return names
}
