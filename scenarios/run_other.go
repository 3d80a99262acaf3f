//go:build !linux

package scenarios

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"mslab/results"
	"mslab/results/record"
)

// Run plays a plan; it needs Linux.
func Run(context.Context, *Plan, Play) (dir string, run *results.Run, err error) {
	return "", nil, fmt.Errorf("play a run: not supported on %s: it reads the servers' cost from the Linux kernel", runtime.GOOS)
}

// Inside says in which sandbox this process runs.
func Inside() Sandbox { return NoSandbox }

// FindSandbox says which sandbox works here; all need Linux.
func FindSandbox(context.Context) (Sandbox, error) {
	return NoSandbox, fmt.Errorf("make a network namespace: not supported on %s", runtime.GOOS)
}

// AnswerProbe is the other end of FindSandbox's trials, of which there are none.
func AnswerProbe(io.Writer) (exit int, probed bool) { return 0, false }

// KeeperVariable is set for a program that keeps a foreign subject's command.
const KeeperVariable = "MSLAB_KEEPER"

// AnswerKeeper is the other end of a foreign subject's start, which there is
// none of.
func AnswerKeeper([]string) (exit int, kept bool) { return 0, false }

// Run runs this program once more in the sandbox; it needs Linux.
func (s Sandbox) Run(ctx context.Context, _ []string, _ Stdio) (exit int, err error) {
	_, err = FindSandbox(ctx)
	return 0, err
}

// UnderLoad puts a phase under load while something looks; it needs Linux.
func UnderLoad(context.Context, Loaded, Look) (*record.Record, error) {
	return nil, fmt.Errorf("put a phase under load: not supported on %s: the phases are built on Linux system calls", runtime.GOOS)
}
