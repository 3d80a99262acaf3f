package chaos

import (
	"errors"
	"syscall"
)

// alive tells whether the process that injected still runs and is the same.
func alive(o Owner) bool {
	if o.PID <= 0 {
		return false
	}
	// EPERM: it exists, and is another user's.
	if err := syscall.Kill(o.PID, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	ticks, err := startTicks(o.PID)
	return err == nil && ticks == o.StartTicks
}
