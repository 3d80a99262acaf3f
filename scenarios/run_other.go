//go:build !linux

package scenarios

import (
	"context"
	"fmt"
	"runtime"

	"mslab/results"
	"mslab/results/record"
)

// Run plays a plan; it needs Linux.
func Run(context.Context, *Plan, Play) (dir string, run *results.Run, err error) {
	return "", nil, fmt.Errorf("play a run: not supported on %s: it reads the servers' cost from the Linux kernel", runtime.GOOS)
}

// Inside says whether this process runs in a namespace that InNamespace made.
func Inside() bool { return false }

// ProbeNamespace says in one line what is missing for InNamespace.
func ProbeNamespace() error {
	return fmt.Errorf("make a network namespace: not supported on %s", runtime.GOOS)
}

// InNamespace runs this program in namespaces of its own; it needs Linux.
func InNamespace(context.Context, []string, Stdio) (exit int, err error) {
	return 0, ProbeNamespace()
}

// UnderLoad puts a phase under load while something looks; it needs Linux.
func UnderLoad(context.Context, Loaded, Look) (*record.Record, error) {
	return nil, fmt.Errorf("put a phase under load: not supported on %s: the phases are built on Linux system calls", runtime.GOOS)
}
