package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mslab/results"
)

// epollPwait2 waits on an empty set.
func epollPwait2(context.Context) results.Finding {
	const wait = 100 * time.Microsecond
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return results.Fails("allow epoll, which a seccomp filter may forbid", "make an epoll instance: %v", err)
	}
	defer func() { _ = unix.Close(fd) }()
	var event unix.EpollEvent
	timeout := unix.NsecToTimespec(int64(wait))
	begin := time.Now()
	for {
		_, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(fd), uintptr(unsafe.Pointer(&event)), 1, uintptr(unsafe.Pointer(&timeout)), 0, 0)
		switch errno {
		case 0:
			return results.Works("a wait of %s took %s", wait, time.Since(begin).Round(time.Microsecond))
		case unix.EINTR:
			continue
		}
		return results.Fails("Linux has it from 5.11 on; without it mslab load waits by a timer, at the cost of system calls", "a wait of %s: %v", wait, errno)
	}
}

// uringParams is struct io_uring_params of the kernel's
// include/uapi/linux/io_uring.h, with the two offset tables as they come.
type uringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	_                                                                      [80]byte
}

// Flags of a ring that one thread uses, which runs completions when asked to.
const (
	uringSingleIssuer = 1 << 12 // IORING_SETUP_SINGLE_ISSUER, Linux 6.0
	uringDeferTaskrun = 1 << 13 // IORING_SETUP_DEFER_TASKRUN, Linux 6.1
)

// ioUring sets up a ring of one entry and closes it.
func ioUring(context.Context) results.Finding {
	disabled := readWord("/proc/sys/kernel/io_uring_disabled")
	err := setUpRing(uringSingleIssuer | uringDeferTaskrun)
	if err == nil {
		return results.Works("set up and closed a ring (SINGLE_ISSUER, DEFER_TASKRUN); io_uring_disabled is %s", disabled)
	}
	if errors.Is(err, unix.EINVAL) {
		if err = setUpRing(0); err == nil {
			return results.Works("set up and closed a plain ring; this kernel has no DEFER_TASKRUN")
		}
	}
	fix := "allow io_uring_setup, which containers' seccomp filters forbid"
	switch {
	case disabled == "2", disabled == "1" && os.Geteuid() != 0:
		fix = "sysctl -w kernel.io_uring_disabled=0"
	case errors.Is(err, unix.ENOSYS):
		fix = "use a kernel with CONFIG_IO_URING"
	}
	return results.Fails(fix, "set up a ring of one entry: %v (io_uring_disabled is %s)", err, disabled)
}

func setUpRing(flags uint32) error {
	params := uringParams{flags: flags}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

// perfSoftware counts a thread's own CPU clock: samples of it make profiles.
func perfSoftware(context.Context) results.Finding {
	paranoid := readWord("/proc/sys/kernel/perf_event_paranoid")
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK}
	err := countEvent(attr)
	if err == nil {
		return results.Works("cpu-clock counted for a thread, kernel included; perf_event_paranoid is %s", paranoid)
	}
	attr.Bits |= unix.PerfBitExcludeKernel
	if countEvent(attr) == nil {
		return results.Fails(needRoot()+", or sysctl -w kernel.perf_event_paranoid=1",
			"cpu-clock counts for a thread's user part only: %v for the kernel's; perf_event_paranoid is %s", err, paranoid)
	}
	return results.Fails(needRoot()+", or sysctl -w kernel.perf_event_paranoid=1", "count cpu-clock: %v; perf_event_paranoid is %s", err, paranoid)
}

func perfHardware(context.Context) results.Finding {
	err := countEvent(unix.PerfEventAttr{Type: unix.PERF_TYPE_HARDWARE, Config: unix.PERF_COUNT_HW_INSTRUCTIONS, Bits: unix.PerfBitExcludeKernel})
	switch {
	case err == nil:
		return results.Works("instructions of a thread were counted")
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODEV):
		return results.Fails("use bare metal, or a virtual machine that is given the counters", "count instructions: %v: no counters here, as in most virtual machines", err)
	}
	return results.Fails(needRoot()+", or sysctl -w kernel.perf_event_paranoid=1", "count instructions: %v", err)
}

// countEvent counts an event of this thread for a moment; a count of zero is an
// error.
func countEvent(attr unix.PerfEventAttr) error {
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var count [8]byte
	for begin := time.Now(); time.Since(begin) < 10*time.Millisecond; {
		if _, err := unix.Read(fd, count[:]); err != nil {
			return err
		}
		if binary.NativeEndian.Uint64(count[:]) > 0 {
			return nil
		}
	}
	return errors.New("the count stays at 0")
}

// traceFolders are where tracefs is mounted, the old place last.
func traceFolders() []string { return []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} }

// sysEnter is a tracepoint that every kernel with system call tracing has.
const sysEnter = "events/raw_syscalls/sys_enter/id"

// tracefs is only read; mounting it is not for a check to do.
func tracefs(context.Context) results.Finding {
	file, id, err := readTracepointID()
	if err == nil {
		return results.Works("read %s: %s", file, id)
	}
	if errors.Is(err, fs.ErrPermission) {
		return results.Fails(needRoot(), "read %s: %v", file, cause(err))
	}
	return results.Fails("mount -t tracefs tracefs /sys/kernel/tracing (only plain tracepoints want it)", "read %s: %v", file, cause(err))
}

// readTracepointID reads the id of sys_enter from the first folder that has it;
// else file and err are those of the folder where it should be.
func readTracepointID() (file, id string, err error) {
	for _, folder := range traceFolders() {
		file := filepath.Join(folder, sysEnter)
		if data, err := os.ReadFile(file); err == nil {
			return file, strings.TrimSpace(string(data)), nil
		}
	}
	file = filepath.Join(traceFolders()[0], sysEnter)
	_, err = os.ReadFile(file)
	return file, "", err
}

// lockdown reads the kernel's lockdown mode: confidentiality keeps BPF from
// reading the kernel's memory, and integrity does not (kernel_lockdown(7)).
func lockdown(context.Context) results.Finding {
	const folder = "/sys/kernel/security"
	switch mode := results.CaptureEnvironment().Lockdown; mode {
	case "none", "integrity":
		return results.Works("%s: tracing is allowed", mode)
	case "confidentiality":
		return results.Fails("boot without lockdown=confidentiality; mslab then shows what /proc has", "confidentiality: BPF may not read the kernel's memory")
	}
	file := filepath.Join(folder, "lockdown")
	_, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrPermission) {
		return results.Fails(needRoot(), "read %s: %v", file, cause(err))
	}
	// The list of security modules is in any securityfs.
	if _, err := os.Stat(filepath.Join(folder, "lsm")); err == nil {
		return results.Works("this kernel has no lockdown")
	}
	return results.Fails("mount -t securityfs securityfs /sys/kernel/security", "cannot tell: %s holds nothing, securityfs is not mounted", folder)
}
