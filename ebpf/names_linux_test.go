//go:build amd64 || arm64

package ebpf

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestNamesOfCalls(t *testing.T) {
	for _, c := range []struct {
		number uint32
		name   string
	}{
		{unix.SYS_WRITE, "write"},
		{unix.SYS_OPENAT, "openat"},
		{unix.SYS_ACCEPT4, "accept4"},
		{unix.SYS_EPOLL_PWAIT, "epoll_pwait"},
		{4 | compatBit, "write (32-bit)"}, // in both tables, of the 386 and of arm
		{999, "syscall_999"},
		{999 | compatBit, "syscall_999 (32-bit)"},
		{^uint32(0), "syscall_-1"},
	} {
		if got := callName(c.number); got != c.name {
			t.Errorf("number %#x is %q, want %q", c.number, got, c.name)
		}
	}
}

func TestEveryDescriptorCallExistsSomewhere(t *testing.T) {
	known := map[string]bool{}
	for _, name := range SyscallNames() {
		known[name] = true
	}
	for _, name := range descriptorFirst {
		switch name { // of the other machine, or younger than the table
		case "accept", "dup2", "epoll_wait", "fstat64", "fstatfs64", "ftruncate64", "getdents", "fcntl64", "llseek", "_llseek",
			"sendfile64", "signalfd", "fadvise64", "quotactl_fd", "newfstat", "cachestat", "recv", "send":
			continue
		}
		if !known[name] {
			t.Errorf("no system call is called %q", name)
		}
	}
}

func TestNearestName(t *testing.T) {
	known := SyscallNames()
	for asked, want := range map[string]string{
		"pwirte64": "pwrite64", "opentat": "openat", "futx": "futex", "epoll": "epoll_ctl",
	} {
		if got := nearest(asked, known); got != want && (asked != "epoll" || got[:5] != "epoll") {
			t.Errorf("nearest to %q is %q, want %q", asked, got, want)
		}
	}
}

func TestSlots(t *testing.T) {
	s := newSlots([]string{"write", "openat"}, true, unix.SYS_FCNTL)
	if len(s.byIndex) != 4 || s.native[unix.SYS_WRITE]&slotFD == 0 || s.native[unix.SYS_OPENAT]&slotFD != 0 ||
		s.native[unix.SYS_READ] != 0 || s.unknown != 0 {
		t.Errorf("slots %v: write %x, openat %x, read %x, unknown %x", s.byIndex, s.native[unix.SYS_WRITE],
			s.native[unix.SYS_OPENAT], s.native[unix.SYS_READ], s.unknown)
	}
	all := newSlots(nil, false, unix.SYS_GETPPID)
	if len(all.byIndex) < 300 || all.unknown != slotTable || all.native[unix.SYS_WRITE] == all.native[unix.SYS_READ] {
		t.Errorf("%d calls have a row", len(all.byIndex))
	}
}

func TestErrnoNames(t *testing.T) {
	for index, want := range map[int]string{2: "ENOENT", 11: "EAGAIN", 134: "ERESTARTSYS", 138: "ERESTART_RESTARTBLOCK", errnoOther: "other"} {
		if got := errnoName(index); got != want {
			t.Errorf("error %d is %q, want %q", index, got, want)
		}
	}
}

// TestErrorsOfRestoredCode leaves out what rt_sigreturn hands back.
func TestErrorsOfRestoredCode(t *testing.T) {
	var result Syscalls
	core := syscallsStat{Calls: 5, Errors: 2}
	core.Errnos[unix.EINTR] = 2
	tracer := &SyscallTracer{}
	for _, number := range []uint32{unix.SYS_RT_SIGRETURN, 119 | compatBit /* sigreturn, of the 386 and of arm */, unix.SYS_READ} {
		tracer.addRow(&result, syscallsKey{Number: number}, "", []syscallsStat{core, core})
	}
	for i, want := range []uint64{0, 0, 4} {
		if s := result.Calls[i]; s.Errors != want || s.Errnos["EINTR"] != want || s.Calls != 10 {
			t.Errorf("%s: %d errors (%v) of %d calls, want %d of 10", s.Name, s.Errors, s.Errnos, s.Calls, want)
		}
	}
}
