package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pins says whether StartPinned gives client and server a core each.
func Pins() bool {
	var allowed unix.CPUSet
	return unix.SchedGetaffinity(0, &allowed) == nil && allowed.IsSet(ClientCore) && allowed.IsSet(ServerCore)
}

// PinSelf keeps this process' threads, and those that they make, to one core where
// Pins says so. unpin lets them run on those again that they had.
func PinSelf(core int) (unpin func() error, err error) {
	if !Pins() {
		return func() error { return nil }, nil
	}
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("read the affinity: %w", err)
	}
	one.Set(core)
	unpin = func() error { return setAffinity(&before) }
	if err := setAffinity(&one); err != nil {
		return nil, errors.Join(err, unpin())
	}
	return unpin, nil
}

// setAffinity is for all threads of this process.
func setAffinity(cores *unix.CPUSet) error {
	// A thread that one with the old cores makes during the first pass is met by the
	// second.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list this process' threads: %w", err)
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return fmt.Errorf("list this process' threads: %w", err)
			}
			if err := unix.SchedSetaffinity(id, cores); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("set the affinity of thread %d: %w", id, err)
			}
		}
	}
	return nil
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
