//go:build amd64 || arm64

package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// firstPIDNamespace is the inode of the machine's first pid namespace
// (PROC_PID_INIT_INO, include/linux/proc_ns.h), whose ids the probes see.
const firstPIDNamespace = "pid:[4026531836]"

// ids translates between the ids of this process' pid namespace and those of the
// first one. Its zero value is for a process that is in the first one.
type ids struct {
	nested   bool
	outside  map[int32]uint32 // process here -> first namespace
	process  map[uint32]int32 // first namespace -> here
	threadOf map[uint32]int32
}

// taskIDs is struct task_ids of syscalls.h.
type taskIDs struct {
	Process, Thread         uint32
	ProcessHere, ThreadHere int32
}

// readIDs asks the kernel for the ids of all tasks, where they differ from ours.
func readIDs() (*ids, error) {
	at, err := os.Readlink("/proc/self/ns/pid")
	if err != nil || at == firstPIDNamespace {
		return &ids{}, nil
	}
	spec, err := loadSyscalls()
	if err != nil {
		return nil, err
	}
	for name := range spec.Programs {
		if name != syscallsProgListIds {
			delete(spec.Programs, name)
		}
	}
	for name := range spec.Maps {
		if !strings.HasPrefix(name, ".") { // what variables live in stays
			delete(spec.Maps, name)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("find the process from inside a pid namespace: %w", cleanError(err))
	}
	defer coll.Close()
	i := &ids{nested: true, outside: map[int32]uint32{}, process: map[uint32]int32{}, threadOf: map[uint32]int32{}}
	err = iterate(coll.Programs[syscallsProgListIds], func(t taskIDs) {
		if t.ProcessHere != 0 {
			i.outside[t.ProcessHere] = t.Process
			i.process[t.Process] = t.ProcessHere
		}
		if t.ThreadHere != 0 {
			i.threadOf[t.Thread] = t.ThreadHere
		}
	})
	return i, err
}

// first gives the id in the first pid namespace of a process as seen from here.
func (i *ids) first(pid int) (uint32, error) {
	if !i.nested {
		return uint32(pid), nil
	}
	id, ok := i.outside[int32(pid)]
	if !ok {
		return 0, unix.ESRCH
	}
	return id, nil
}

// here gives the ids that this process sees; those of a thread that is gone, or
// not to be seen from here, stay as the kernel has them.
func (i *ids) here(process, thread uint32) (p, t int32) {
	p, t = int32(process), int32(thread)
	if id, ok := i.process[process]; ok {
		p = id
	}
	if id, ok := i.threadOf[thread]; ok {
		t = id
	}
	return p, t
}

// iterate runs an iterator program and calls f for each record that it writes.
func iterate[T any](program *ebpf.Program, f func(T)) error {
	it, err := link.AttachIter(link.IterOptions{Program: program})
	if err != nil {
		return fmt.Errorf("walk the tasks: %w", err)
	}
	defer it.Close()
	r, err := it.Open()
	if err != nil {
		return fmt.Errorf("walk the tasks: %w", err)
	}
	defer r.Close()
	for {
		var record T
		err := binary.Read(r, binary.NativeEndian, &record)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("walk the tasks: %w", err)
		}
		f(record)
	}
}

// checkPID says what is wrong with a process that is to be traced.
func checkPID(pid int, rung Rung, plain bool) error {
	if pid <= 0 {
		return fmt.Errorf("trace process %d: want the id of a process", pid)
	}
	if err := unix.Kill(pid, 0); errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("trace process %d: no such process", pid)
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil // hidden or just gone: the probes will say
	}
	for line := range strings.Lines(string(data)) {
		value, ok := strings.CutPrefix(line, "Tgid:")
		if !ok {
			continue
		}
		if leader, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && leader != pid {
			return fmt.Errorf("trace process %d: that is a thread of process %d; give that one", pid, leader)
		}
	}
	if rung == Tracepoint && plain && is32bit(pid) {
		return fmt.Errorf("trace process %d: it is a 32-bit program, whose calls this kernel's tracepoints do not tell from others without BTF", pid)
	}
	return nil
}

// is32bit tells whether a process' program is a 32-bit one, by its ELF class.
func is32bit(pid int) bool {
	f, err := os.Open(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false
	}
	defer f.Close()
	var head [5]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:4]) == "\x7fELF" && head[4] == 1
}
