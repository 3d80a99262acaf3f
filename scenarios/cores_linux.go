package scenarios

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// allowedCores lists the cores that this process may run on.
func allowedCores() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read the cores this process may use: %w", err)
	}
	var list []int
	for i := 0; len(list) < set.Count(); i++ {
		if set.IsSet(i) {
			list = append(list, i)
		}
	}
	return list, nil
}

func cpuSet(list []int) *unix.CPUSet {
	var set unix.CPUSet
	for _, n := range list {
		set.Set(n)
	}
	return &set
}

// pinThreads moves every thread of this process but one to the given cores.
// Threads made later inherit the cores of the thread that makes them; passes
// are repeated until one finds no thread that it has not moved.
func pinThreads(list []int, except int) error {
	set := cpuSet(list)
	moved := map[string]bool{}
	for {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list the threads of this process: %w", err)
		}
		fresh := false
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil || tid == except || moved[task.Name()] {
				continue
			}
			if err := unix.SchedSetaffinity(tid, set); err != nil && err != unix.ESRCH {
				return fmt.Errorf("pin thread %d to %s: %w", tid, coreList(list), err)
			}
			moved[task.Name()], fresh = true, true
		}
		if !fresh {
			return nil
		}
	}
}

// spawner starts processes from one OS thread that lives as long as it does.
// The kernel sends a child its death signal when the THREAD that made it ends,
// and a child inherits that thread's cores.
type spawner struct {
	calls chan func()
	done  chan struct{}
	tid   int
}

// newSpawner makes the thread and pins it; no cores leaves it where it is.
func newSpawner(list []int) (*spawner, error) {
	s := &spawner{calls: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine instead of
		// going back, pinned, to the runtime.
		runtime.LockOSThread()
		defer close(s.done)
		s.tid = unix.Gettid()
		var err error
		if len(list) > 0 {
			err = unix.SchedSetaffinity(0, cpuSet(list))
		}
		ready <- err
		for call := range s.calls {
			call()
		}
	}()
	if err := <-ready; err != nil {
		s.close()
		return nil, fmt.Errorf("pin the server's thread to %s: %w", coreList(list), err)
	}
	return s, nil
}

// do runs f on the thread and waits for it.
func (s *spawner) do(f func() error) error {
	result := make(chan error, 1)
	s.calls <- func() { result <- f() }
	return <-result
}

func (s *spawner) close() {
	close(s.calls)
	<-s.done
}
