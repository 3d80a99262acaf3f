package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"mslab/results"
)

// bpfName is what a BPF program is attached to: every system call's entry, for
// the moment of the check.
const bpfName = "sys_enter"

// btf looks up the type that the best kind of attachment needs.
func btf(context.Context) results.Finding {
	id, err := sysEnterType()
	switch {
	case err == nil:
		return results.Works("found btf_trace_%s, type %d, in %s", bpfName, id, btfFile)
	case errors.Is(err, fs.ErrPermission):
		return results.Fails(needRoot(), "read %s: %v", btfFile, cause(err))
	}
	return results.Fails("use a kernel with CONFIG_DEBUG_INFO_BTF, as distributions have; without it no program of ours loads", "look for btf_trace_%s in %s: %v", bpfName, btfFile, cause(err))
}

// bpfMap makes an array of one entry and closes it, which frees it.
func bpfMap(context.Context) results.Finding {
	attr := struct{ mapType, keySize, valueSize, maxEntries uint32 }{unix.BPF_MAP_TYPE_ARRAY, 4, 8, 1}
	fd, err := bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return bpfFails("make a map of one entry", err)
	}
	_ = unix.Close(fd)
	return results.Works("made and closed a map of one entry")
}

// bpfTypedTracepoint is the first rung of tracing: typed arguments.
func bpfTypedTracepoint(context.Context) results.Finding {
	id, err := sysEnterType()
	if err != nil {
		return results.Fails("see btf", "it needs the kernel's types: %v", cause(err))
	}
	return bpfAttach(programAttr{kind: unix.BPF_PROG_TYPE_TRACING, expectedAttach: unix.BPF_TRACE_RAW_TP, attachBTF: id}, func(program int) error {
		return openRawTracepoint(program, nil) // it knows where it belongs
	})
}

// bpfRawTracepoint is the second rung: raw arguments.
func bpfRawTracepoint(context.Context) results.Finding {
	return bpfAttach(programAttr{kind: unix.BPF_PROG_TYPE_RAW_TRACEPOINT}, func(program int) error {
		return openRawTracepoint(program, append([]byte(bpfName), 0))
	})
}

// bpfTracepoint is the third rung, which goes by way of perf and tracefs.
func bpfTracepoint(context.Context) results.Finding {
	file, text, err := readTracepointID()
	if err != nil {
		return results.Fails("see tracefs; the rungs above do without it", "it needs %s: %v", file, cause(err))
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return results.Fails("see tracefs", "%s holds %q, which is no number", file, text)
	}
	return bpfAttach(programAttr{kind: unix.BPF_PROG_TYPE_TRACEPOINT}, func(program int) error {
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample: 1, Wakeup: 1}
		attr.Size = uint32(unsafe.Sizeof(attr))
		event, err := unix.PerfEventOpen(&attr, -1, firstCPU(), -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(event) }()
		if err := unix.IoctlSetInt(event, unix.PERF_EVENT_IOC_SET_BPF, program); err != nil {
			return err
		}
		return unix.IoctlSetInt(event, unix.PERF_EVENT_IOC_ENABLE, 0)
	})
}

func firstCPU() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0
	}
	for i := range 8 * int(unsafe.Sizeof(set)) {
		if set.IsSet(i) {
			return i
		}
	}
	return 0
}

// bpfAttach loads a program that returns at once, attaches it and takes both
// back.
func bpfAttach(attr programAttr, attach func(program int) error) results.Finding {
	program, err := attr.load()
	if err != nil {
		return bpfFails("load a program that returns at once", err)
	}
	defer func() { _ = unix.Close(program) }()
	if err := attach(program); err != nil {
		return bpfFails("loaded a program; attach it to "+bpfName, err)
	}
	return results.Works("loaded a program, attached it to %s, took it off again", bpfName)
}

// openRawTracepoint attaches a program and detaches it at once.
func openRawTracepoint(program int, name []byte) error {
	var pins runtime.Pinner
	defer pins.Unpin()
	var attr struct {
		name    uint64 // the address of a C string
		program uint32
		_       uint32
	}
	if len(name) > 0 {
		pins.Pin(&name[0])
		attr.name = uint64(uintptr(unsafe.Pointer(&name[0])))
	}
	attr.program = uint32(program)
	link, err := bpf(unix.BPF_RAW_TRACEPOINT_OPEN, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return err
	}
	return unix.Close(link)
}

// programAttr is what of a program differs between the rungs.
type programAttr struct {
	kind, expectedAttach, attachBTF uint32
}

// load loads the program `return 0` and returns its descriptor. The attributes
// are laid out as union bpf_attr of the kernel's include/uapi/linux/bpf.h.
func (p programAttr) load() (fd int, err error) {
	program := []byte{
		unix.BPF_ALU64 | unix.BPF_MOV, 0, 0, 0, 0, 0, 0, 0, // r0 = 0
		unix.BPF_JMP | unix.BPF_EXIT, 0, 0, 0, 0, 0, 0, 0,
	}
	license := []byte("GPL\x00")
	var pins runtime.Pinner
	defer pins.Unpin()
	pins.Pin(&program[0])
	pins.Pin(&license[0])
	attr := struct {
		kind, instructions      uint32
		program, license        uint64
		_                       [44]byte // log, kernel version, flags, name, interface
		expectedAttach          uint32
		_                       [36]byte // debugging information
		attachBTF, attachTarget uint32
		_                       uint32
	}{
		kind: p.kind, instructions: uint32(len(program) / 8),
		program:        uint64(uintptr(unsafe.Pointer(&program[0]))),
		license:        uint64(uintptr(unsafe.Pointer(&license[0]))),
		expectedAttach: p.expectedAttach, attachBTF: p.attachBTF,
	}
	return bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

func bpf(command uintptr, attr unsafe.Pointer, size uintptr) (fd int, err error) {
	result, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
	if errno != 0 {
		return -1, errno
	}
	return int(result), nil
}

func bpfFails(what string, err error) results.Finding {
	fix := "mslab then shows what /proc has; look for the reason in dmesg"
	switch {
	case errors.Is(err, unix.ENOSYS):
		fix = "use a kernel with CONFIG_BPF_SYSCALL"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		if fix = "run mslab with sudo"; os.Geteuid() == 0 {
			fix = "give this root CAP_BPF and CAP_PERFMON; a container's seccomp filter may forbid bpf too"
		}
	}
	return results.Fails(fix, "%s: %v", what, err)
}
