//go:build amd64 || arm64

package ebpf

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

//go:generate go run ./generate objects syscalls
//go:generate go run ./generate numbers

// SyscallTracer counts the system calls of a process in the kernel. Its methods may
// be called from several goroutines.
type SyscallTracer struct {
	options SyscallOptions
	slots   *slotTables
	ids     *ids
	cost    Cost
	// untraced is the time of the call that calibrates, before anything is attached.
	untraced time.Duration

	mu      sync.Mutex
	probes  *probes
	sampler *sampler // nil where the kernel does not time probes for us
	started time.Duration
	ended   time.Duration
	final   *Syscalls
	closed  bool
}

// rowBudget bounds the memory of rows that are split, in bytes on all cores.
const rowBudget = 64 << 20

// TraceSyscalls loads and attaches the probes; when it returns, calls are counted.
// The error is a *Missing where the machine does not allow it.
func TraceSyscalls(o SyscallOptions) (*SyscallTracer, error) {
	if err := checkPID(o.PID, o.Rung, false); err != nil {
		return nil, err
	}
	t, err := openTracer(o)
	if err != nil {
		return nil, err
	}
	if err := t.start(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// CheckSyscalls tries whether system calls can be traced here, by loading and
// attaching and taking it back, and gives the rung that works: the best, or the
// one that is asked for.
func CheckSyscalls(rung Rung) (Rung, error) {
	t, err := openTracer(SyscallOptions{Rung: rung})
	if err != nil {
		return "", err
	}
	return t.probes.rung, t.Close()
}

// openTracer loads and attaches the best way; no process is traced yet.
func openTracer(o SyscallOptions) (*SyscallTracer, error) { return openTracerBy(o, climb) }

// openTracerBy is openTracer by a way that open decides on.
func openTracerBy(o SyscallOptions, open func(SyscallOptions, prepareFunc) (*probes, error)) (*SyscallTracer, error) {
	if err := CheckNames(o.Only); err != nil {
		return nil, err
	}
	if _, err := ParseRung(string(o.Rung)); err != nil {
		return nil, err
	}
	t := &SyscallTracer{options: o, slots: newSlots(o.Only, o.ByFD, calibrationCall(o.ByFD))}
	t.untraced = calibrationTime(calibrationCall(o.ByFD))
	probes, err := open(o, t.prepare)
	if err != nil {
		return nil, err
	}
	t.probes = probes
	t.cost.Rung = probes.rung
	return t, nil
}

// prepare sets the constants and the sizes of tables.
func (t *SyscallTracer) prepare(spec *ebpf.CollectionSpec) error {
	for name, value := range map[string]any{
		"slots":        t.slots.native,
		"compat_slots": t.slots.compat,
		"unknown_slot": t.slots.unknown,
		"by_fd":        t.options.ByFD,
		"by_thread":    t.options.ByThread,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s of the probes: %w", name, err)
		}
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count the cores: %w", err)
	}
	rows := spec.Maps[syscallsMapRows]
	spec.Maps[syscallsMapStats].MaxEntries = uint32(len(t.slots.byIndex))
	rows.MaxEntries = 64
	if t.options.ByFD || t.options.ByThread {
		rows.MaxEntries = uint32(min(max(rowBudget/cpus/int(rows.ValueSize), 512), 4096))
	}
	if !t.options.ByFD {
		spec.Maps[syscallsMapNames].MaxEntries = 1
	}
	return nil
}

// start calibrates, and begins to trace the process.
func (t *SyscallTracer) start() error {
	known, err := readIDs()
	if err != nil {
		return err
	}
	t.ids = known
	target, err := known.first(t.options.PID)
	if err != nil {
		return fmt.Errorf("trace process %d: %w", t.options.PID, err)
	}
	if err := checkPID(t.options.PID, t.probes.rung, t.probes.plain); err != nil {
		return err
	}
	if err := t.calibrate(); err != nil {
		return fmt.Errorf("calibrate the probes: %w", err)
	}
	if t.options.ByFD {
		if err := t.noteListeners(target); err != nil {
			return err
		}
	}
	t.sampler = startSampler()
	if err := t.set("processes", uint64(1)); err != nil {
		return err
	}
	t.started = monotonic()
	if err := t.follow(target); err != nil {
		return err
	}
	// A process that ended before its bit was set would leave it to the next one
	// of that id.
	if err := unix.Kill(t.options.PID, 0); errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("trace process %d: it has ended", t.options.PID)
	}
	return nil
}

// set writes one of the probes' variables.
func (t *SyscallTracer) set(name string, value any) error {
	if err := t.probes.coll.Variables[name].Set(value); err != nil {
		return fmt.Errorf("set %s of the probes: %w", name, err)
	}
	return nil
}

// follow makes one process, by its id in the first pid namespace, the traced one;
// 0 for none.
func (t *SyscallTracer) follow(id uint32) error {
	words := make([]uint64, 1<<22/64)
	if id != 0 {
		words[id/64] = 1 << (id % 64)
	}
	return t.set("followed", words)
}

// Read gives the totals since the start while the tracer runs; after Stop, the
// final ones.
func (t *SyscallTracer) Read() (Syscalls, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.final != nil {
		return *t.final, nil
	}
	if t.closed {
		return Syscalls{}, errors.New("read the traced system calls: the tracer is closed")
	}
	return t.read(monotonic())
}

// Stop detaches the probes and gives the final totals. A second Stop gives them again.
func (t *SyscallTracer) Stop() (Syscalls, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.final != nil {
		return *t.final, nil
	}
	if t.closed {
		return Syscalls{}, errors.New("stop tracing system calls: the tracer is closed")
	}
	err := t.probes.detach()
	t.ended = monotonic()
	settle()
	result, readErr := t.read(t.ended)
	if err := errors.Join(err, readErr); err != nil {
		return Syscalls{}, fmt.Errorf("stop tracing system calls: %w", err)
	}
	t.final = &result
	return result, t.closeLocked()
}

// Close detaches the probes and frees what the tracer holds. It may be called more
// than once.
func (t *SyscallTracer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closeLocked()
}

func (t *SyscallTracer) closeLocked() error {
	if t.closed {
		return nil
	}
	t.closed = true
	err := t.probes.close()
	if t.sampler != nil {
		t.sampler.close()
	}
	if err != nil {
		return fmt.Errorf("take the probes off: %w", err)
	}
	return nil
}

// monotonic is the clock of bpf_ktime_get_ns.
func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// settle waits until no probe that was running runs any more: the kernel's
// MEMBARRIER_CMD_GLOBAL waits until every core has passed a point where none can.
func settle() {
	const global = 1 << 0 // include/uapi/linux/membarrier.h
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(20 * time.Millisecond)
	}
}
