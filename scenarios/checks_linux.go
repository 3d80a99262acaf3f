package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// TryPinning moves a thread of its own to the cores that a run gives its
// servers, asks the kernel where that thread may run, moves it back, and returns
// who would run where. No other thread is moved.
func TryPinning() (pinning string, err error) {
	allowed, err := allowedCores()
	if err != nil {
		return "", err
	}
	c := splitCores(allowed)
	wanted := c.server
	if !c.pinned() {
		wanted = c.all
	}
	sp, err := newSpawner(wanted)
	if err != nil {
		return "", err
	}
	defer sp.close()
	err = sp.do(func() error {
		got, err := allowedCores() // of this thread
		if err == nil && !slices.Equal(got, wanted) {
			err = fmt.Errorf("a thread pinned to %s may run on %s", coreList(wanted), coreList(got))
		}
		// The runtime keeps this thread where it is the process' first.
		return errors.Join(err, unix.SchedSetaffinity(0, cpuSet(allowed)))
	})
	return c.String(), err
}

// ReadCPU reads a process' CPU clock: user and system time of all its threads.
func ReadCPU(pid int) (time.Duration, error) { return readCPU(pid) }

// LoopbackUp brings up the loopback device of this network namespace.
func LoopbackUp() error { return loopbackUp() }

// Disturbance is what kept this process from its cores while it wanted all of
// them.
type Disturbance struct {
	Cores     int
	Stolen    float64 // share of the cores' time that other virtual machines took, 0 to 1
	Struck    bool    // Stolen would strike out a trial
	Throttled int64   // periods in which the cgroup's quota ran out
}

// WatchDisturbance keeps all cores of this process busy for d and says what got
// in the way; idle cores are not stolen from, and not throttled.
func WatchDisturbance(d time.Duration) (Disturbance, error) {
	allowed, err := allowedCores()
	if err != nil {
		return Disturbance{}, err
	}
	before, begin := readDisturbance(), time.Now()
	stop := begin.Add(d)
	done := make(chan struct{})
	for range allowed {
		go func() {
			for time.Now().Before(stop) {
			}
			done <- struct{}{}
		}()
	}
	for range allowed {
		<-done
	}
	taken, total := readDisturbance().since(before), time.Since(begin).Seconds()*float64(len(allowed))
	return Disturbance{
		Cores: len(allowed), Stolen: taken.steal / total,
		Struck:    taken.steal > stealLimit*total && taken.steal > 1.5*stealTick,
		Throttled: taken.throttled,
	}, nil
}
