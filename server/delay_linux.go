package server

import (
	"time"

	"golang.org/x/sys/unix"
)

// delayWrite blocks the thread in the kernel, as a slow disk would; time.Sleep
// would park the goroutine and cost the Go scheduler's work on top.
func delayWrite(d time.Duration) {
	left := unix.NsecToTimespec(d.Nanoseconds())
	for unix.Nanosleep(&left, &left) == unix.EINTR {
	}
}
