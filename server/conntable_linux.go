package server

import (
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// connTable knows which descriptors are open connections, so that a stopping
// server can wake the threads that block on them. It is indexed by descriptor:
// no lock that connections could meet at, which would belong to no stage.
type connTable struct {
	slots []atomic.Uint32
}

const (
	slotFree uint32 = iota
	slotOpen
	slotWaking // shutdown(2) is under way: the descriptor must not be closed
)

func newConnTable(descriptors int) *connTable {
	return &connTable{slots: make([]atomic.Uint32, descriptors)}
}

// open notes a connection; false means that the descriptor is beyond the table.
func (t *connTable) open(fd int) bool {
	if fd >= len(t.slots) {
		return false
	}
	t.slots[fd].Store(slotOpen)
	return true
}

// close closes the descriptor once nobody is waking it.
func (t *connTable) close(fd int) {
	for !t.slots[fd].CompareAndSwap(slotOpen, slotFree) {
		runtime.Gosched()
	}
	_ = unix.Close(fd) // a TCP socket's close has nothing left to fail for us
}

// shutdown calls shutdown(2) on every open connection: SHUT_RD lets a blocked
// read return what is there and then the end; SHUT_RDWR ends writes too.
func (t *connTable) shutdown(how int) {
	for fd := range t.slots {
		if t.slots[fd].CompareAndSwap(slotOpen, slotWaking) {
			_ = unix.Shutdown(fd, how) // ENOTCONN: the client was faster
			t.slots[fd].Store(slotOpen)
		}
	}
}
