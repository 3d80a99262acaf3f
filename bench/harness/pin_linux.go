package harness

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Pins says whether StartPinned gives client and server a core each.
func Pins() bool {
	var allowed unix.CPUSet
	return unix.SchedGetaffinity(0, &allowed) == nil && allowed.IsSet(ClientCore) && allowed.IsSet(ServerCore)
}

// StartPinned starts a process on one core where Pins says so, else on any. A
// child inherits the cores of the thread that makes it.
func StartPinned(process *exec.Cmd, core int) (err error) {
	if !Pins() {
		return process.Start()
	}
	runtime.LockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("read the affinity: %w", err)
	}
	one.Set(core)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("pin to core %d: %w", core, err)
	}
	err = process.Start()
	if restored := unix.SchedSetaffinity(0, &all); restored != nil {
		// The thread stays locked, so that it ends with its goroutine.
		return errors.Join(err, fmt.Errorf("unpin this thread: %w", restored))
	}
	runtime.UnlockOSThread()
	return err
}
