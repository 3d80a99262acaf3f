package loadgen

import (
	"os"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// threadClock is what the kernel says of the calling thread, in ns.
type threadClock struct {
	cpu  int64 // it ran
	wait int64 // it could have run, but other threads had the core
	ok   bool
}

func readThreadClock() threadClock {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return threadClock{}
	}
	c := threadClock{cpu: ts.Nano(), ok: true}
	// Without /proc, or without CONFIG_SCHED_INFO, the wait stays 0.
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return c
	}
	thread, err := fs.Thread(os.Getpid(), unix.Gettid())
	if err != nil {
		return c
	}
	if stat, err := thread.Schedstat(); err == nil {
		c.wait = int64(stat.WaitingNanoseconds)
	}
	return c
}

// load is the fraction of a core that the thread used, and the fraction of the
// time that it waited for one.
func (c threadClock) load(before threadClock, wall int64) (busy, waiting float64) {
	if !c.ok || !before.ok || wall <= 0 {
		return 0, 0
	}
	return float64(c.cpu-before.cpu) / float64(wall), float64(c.wait-before.wait) / float64(wall)
}
