package scenarios

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mslab/results"
	"mslab/results/record"
)

// Play is how a plan is played: where, by which program, and who watches.
type Play struct {
	// Executable is the mslab program whose `serve` is started; "" is the one
	// that runs.
	Executable string
	// Dir is the run's folder. "" makes one where results.WorkingHome keeps
	// runs, named by the scenario and the time.
	Dir  string
	Tool record.Tool
	// Reaper is the command line, without the program, of the hidden command that
	// heals the faults of a run that was killed; see chaos.Options. Plans without
	// faults do without.
	Reaper []string
	// Predictions are stored with the run before its first trial is played.
	Predictions []results.Prediction
	// Progress is told how the run goes, one event at a time; nil is silent. The
	// run waits for it, so it must return at once.
	Progress func(Event)
	// SampleEvery is how often Progress gets a Sample of the load: 10 ms or more;
	// 0 is never.
	SampleEvery time.Duration
}

func (p Play) executable() (string, error) {
	if p.Executable != "" {
		return filepath.Abs(p.Executable)
	}
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the program to start servers with: %w", err)
	}
	return exe, nil
}

// paths are where a run reads and writes besides its working folder's own
// files: all that must lead to the same places in a sandbox.
func (p Play) paths(exe string) []string {
	runs := p.Dir
	if runs == "" {
		runs = results.WorkingHome().Runs
	}
	paths := []string{".", runs, os.TempDir(), exe}
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" {
		paths = append(paths, runtime)
	}
	return paths
}

// newStore makes the run's folder. A second run in the same second gets a
// folder of its own.
func (p Play) newStore(scenario string, started time.Time) (*results.Store, error) {
	if p.Dir != "" {
		return results.CreateStore(p.Dir)
	}
	base := filepath.Join(results.WorkingHome().Runs, results.RunDirName(scenario, started))
	dir := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(dir); os.IsNotExist(err) || n > 1000 {
			return results.CreateStore(dir)
		}
		dir = fmt.Sprintf("%s-%d", base, n)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
