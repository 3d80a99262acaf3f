package main

import (
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// startOn starts a command on one core, where there is more than one.
func startOn(cmd *exec.Cmd, core int) error {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil || before.Count() < 2 || !before.IsSet(core) {
		return cmd.Start()
	}
	runtime.LockOSThread() // the child inherits the thread's cores
	defer runtime.UnlockOSThread()
	one.Set(core)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return cmd.Start()
	}
	err := cmd.Start()
	if restore := unix.SchedSetaffinity(0, &before); restore != nil && err == nil {
		runtime.LockOSThread() // once more: the thread ends with its goroutine
	}
	return err
}
