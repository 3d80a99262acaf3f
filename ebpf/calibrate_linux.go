//go:build amd64 || arm64

package ebpf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The calibration makes this many calls in each of its rounds and believes the
// fastest round: what is slower was disturbed.
const (
	calibrationCalls  = 2000
	calibrationRounds = 9
)

// calibrationCall is the shortest system call there is; with a split by descriptor
// the shortest that takes one.
func calibrationCall(byFD bool) uint32 {
	if byFD {
		return unix.SYS_FCNTL
	}
	return unix.SYS_GETPPID
}

// calibrate measures what tracing adds to a call, in this process: untraced, turned
// away as those of any process, and traced. What was counted for it is taken away
// again.
func (t *SyscallTracer) calibrate() error {
	self, err := t.ids.first(os.Getpid())
	if err != nil {
		return err
	}
	call := calibrationCall(t.options.ByFD)
	bystander := calibrationTime(call)
	if err := t.follow(self); err != nil {
		return err
	}
	traced := calibrationTime(call)
	if err := t.follow(0); err != nil {
		return err
	}
	settle()
	t.cost.PerCall = max(traced-t.untraced, 0)
	t.cost.Bystander = max(bystander-t.untraced, 0)
	result, err := t.read(monotonic())
	if err != nil {
		return err
	}
	name := callName(call)
	for _, s := range result.Calls {
		if s.Name == name && s.Calls >= calibrationCalls {
			t.cost.Floor = s.P50()
		}
	}
	return t.reset()
}

// calibrationTime gives the CPU time of one of many equal calls: that of the
// fastest round, since others were disturbed. The clock on the wall would count
// what else the core does.
func calibrationTime(call uint32) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Duration(1<<63 - 1)
	for range calibrationRounds {
		start := threadTime()
		for range calibrationCalls {
			// Any descriptor serves fcntl: standard input.
			_, _, _ = unix.RawSyscall(uintptr(call), 0, unix.F_GETFD, 0)
		}
		best = min(best, threadTime()-start)
	}
	return best / calibrationCalls
}

// threadTime is what this thread has had of the cores.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// reset empties every table. No process is traced meanwhile.
func (t *SyscallTracer) reset() error {
	coll := t.probes.coll
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	zero := make([]syscallsStat, cpus)
	rows, err := t.usedRows()
	if err != nil {
		return err
	}
	for _, index := range rows {
		if err := coll.Maps[syscallsMapStats].Put(uint32(index), zero); err != nil {
			return fmt.Errorf("empty a row: %w", err)
		}
	}
	for reason := range dropReasons {
		if err := coll.Maps[syscallsMapDrops].Put(uint32(reason), make([]uint64, cpus)); err != nil {
			return fmt.Errorf("empty the drops: %w", err)
		}
	}
	for _, name := range []string{syscallsMapRows, syscallsMapNames, syscallsMapEnded, syscallsMapThreadCalls} {
		if err := deleteAll(coll.Maps[name]); err != nil {
			return fmt.Errorf("empty %s: %w", name, err)
		}
	}
	if program := coll.Programs[syscallsProgListCalls]; program != nil {
		if err := t.set("clearing", uint8(1)); err != nil {
			return err
		}
		if err := iterate(program, func(taskCall) {}); err != nil {
			return err
		}
		if err := t.set("clearing", uint8(0)); err != nil {
			return err
		}
	}
	return t.set("used", make([]uint8, maxSlots))
}

// deleteAll takes every entry out of a hash table.
func deleteAll(m *ebpf.Map) error {
	if m == nil {
		return nil
	}
	key := make([]byte, m.KeySize())
	for {
		err := m.NextKey(nil, key)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
}
