package scenarios

import (
	"fmt"
	"os"
	"strings"

	"mslab/results"
	"mslab/results/record"
)

// environment describes the machine and how this run uses it.
func environment(c cores) *record.Environment {
	e := results.CaptureEnvironment()
	e.Pinning, e.Sandbox = c.String(), string(Inside())
	return &e
}

func sysctlPath(name string) string {
	return "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
}

// setSysctls writes settings of this network namespace and returns what undoes
// them.
func setSysctls(settings map[string]string) (restore func() error, err error) {
	before := map[string]string{}
	restore = func() error {
		for _, name := range sortedKeys(before) {
			if err := os.WriteFile(sysctlPath(name), []byte(before[name]), 0); err != nil {
				return fmt.Errorf("set %s back to %s: %w", name, before[name], err)
			}
		}
		return nil
	}
	for _, name := range sortedKeys(settings) {
		old, err := os.ReadFile(sysctlPath(name))
		if err == nil {
			before[name] = strings.TrimSpace(string(old))
			err = os.WriteFile(sysctlPath(name), []byte(settings[name]), 0)
		}
		if err != nil {
			_ = restore()
			return nil, fmt.Errorf("set %s to %s in the run's network namespace: %w", name, settings[name], err)
		}
	}
	return restore, nil
}
