package ebpf

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// int80 is machine code: mov eax, 20; int 0x80; ret. Number 20 is getpid in the
// table of 32-bit calls, and writev in that of 64-bit ones.
var int80 = []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3}

// helpCompat makes 32-bit calls, as a program of old could.
func helpCompat([]string) error {
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	copy(page, int80)
	if err := unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		return err
	}
	code := unsafe.Pointer(&page[0])
	closure := unsafe.Pointer(&code) // a func is a pointer to where its code is noted
	call := *(*func())(unsafe.Pointer(&closure))
	if err := announce(); err != nil {
		return err
	}
	for range 50 {
		call()
	}
	return announce()
}

func TestCompatCallsAreApart(t *testing.T) {
	for _, rung := range []Rung{TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			c := startHelper(t, "compat")
			tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), Rung: rung})
			c.goOn()
			c.line()
			result := stop(t, tracer)
			if n := find(result, "writev").Calls; n != 0 {
				t.Errorf("%d writev: 32-bit calls were taken for others", n)
			}
			own := find(result, "getpid (32-bit)")
			if own.Calls != 50 {
				t.Errorf("%d 32-bit getpid, want 50", own.Calls)
			}
		})
	}
}
