//go:build !linux

package chaos

import (
	"context"
	"io"
)

// memoryGroup stands in for a cgroup, which only Linux has.
type memoryGroup struct {
	files memoryFiles
	dir   string
}

func planMemory(context.Context, Spec) (Plan, error) { return Plan{}, errNotSupported() }
func tryMemory(context.Context, Spec) error          { return errNotSupported() }
func prepareMemory(context.Context, *work) error     { return errNotSupported() }
func injectMemory(context.Context, *work) error      { return errNotSupported() }
func undoMemory(context.Context, *work) error        { return errNotSupported() }
func sweepMemory(context.Context, string) error      { return errNotSupported() }

func hogMain(string, io.Reader, io.Writer) error { return errNotSupported() }
