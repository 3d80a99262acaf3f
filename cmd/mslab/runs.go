package main

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"mslab/results"
	"mslab/results/record"
)

// runRoots are the folders where runs are looked for, the user's first.
func runRoots() []string { return results.WorkingHome().Roots() }

// openRun reads a run by the path of its folder or by its name in the list.
func openRun(name string) (*results.Run, error) {
	_, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) && filepath.Base(name) == name {
		for _, root := range runRoots() {
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

// openRecord reads what mslab load -o wrote; it is nil where name is no file.
func openRecord(name string) (*record.Record, error) {
	if info, err := os.Stat(name); err != nil || info.IsDir() {
		return nil, nil
	}
	r, err := record.Open(name)
	if err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("read record %s: %w", name, err)
	}
	return r, nil
}

// openResult reads a run, or the record of one load as a run of its own.
func openResult(name string) (*results.Run, error) {
	r, err := openRecord(name)
	if err != nil {
		return nil, err
	}
	if r != nil {
		return results.RunOf(r), nil
	}
	return openRun(name)
}

// recordedRuns reads the runs that play all the phases, the newest first and
// the user's own before the reference. Runs that cannot be read are passed over:
// mslab results list names them.
func recordedRuns(phases ...int) iter.Seq[*results.Run] {
	return func(yield func(*results.Run) bool) {
		for _, root := range runRoots() {
			summaries, err := results.ListRuns(root)
			if err != nil {
				continue
			}
			for _, s := range summaries {
				if s.Error != "" || !s.Plays(phases...) {
					continue
				}
				if run, err := results.OpenRun(s.Dir); err == nil && !yield(run) {
					return
				}
			}
		}
	}
}

// completeRuns completes the names of runs.
func completeRuns() []string {
	var names []string
	for _, root := range runRoots() {
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
