package loadgen

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// sharpTimer sleeps to the microsecond, which the Go runtime's timers do not:
// they round up to a millisecond. It belongs to the goroutine that made it,
// which it locks to its thread.
type sharpTimer struct{}

func newSharpTimer() sharpTimer {
	runtime.LockOSThread()
	sharpenTimers(true)
	return sharpTimer{}
}

func (sharpTimer) close() {
	sharpenTimers(false)
	runtime.UnlockOSThread()
}

// sleepUntil sleeps until at, ns after base, and is awake for its last
// moments.
func (sharpTimer) sleepUntil(base time.Time, at int64) {
	if d := time.Duration(at) - time.Since(base) - spinFor; d > 0 {
		ts := unix.NsecToTimespec(int64(d))
		// Interrupted by a signal it has slept less, which the caller sees.
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
	}
	for d := time.Duration(at) - time.Since(base); d > 0 && d <= spinFor; d = time.Duration(at) - time.Since(base) {
		runtime.Gosched()
	}
}
