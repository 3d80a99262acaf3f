//go:build !linux

package loadgen

import (
	"runtime"
	"time"
)

// coarse is what the Go runtime's timers round up to.
const coarse = time.Millisecond

// sharpTimer sleeps until just before a time, and spins for the rest.
type sharpTimer struct{}

func newSharpTimer() sharpTimer { return sharpTimer{} }

func (sharpTimer) close() {}

// sleepUntil sleeps until at, ns after base, and is awake for its last
// moments.
func (sharpTimer) sleepUntil(base time.Time, at int64) {
	if d := time.Duration(at) - time.Since(base) - coarse - spinFor; d > 0 {
		time.Sleep(d)
	}
	for time.Since(base) < time.Duration(at) {
		runtime.Gosched()
	}
}
