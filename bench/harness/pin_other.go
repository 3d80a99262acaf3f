//go:build !linux

package harness

import "os/exec"

// Pins says whether StartPinned gives client and server a core each.
func Pins() bool { return false }

// StartPinned starts a process on any core.
func StartPinned(process *exec.Cmd, _ int) error { return process.Start() }

// PinSelf keeps this process to one core where Pins says so.
func PinSelf(int) (unpin func() error, err error) { return func() error { return nil }, nil }
