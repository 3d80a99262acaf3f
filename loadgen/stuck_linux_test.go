package loadgen

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// stuckListener returns a listener that never accepts, and a function that
// fills its queue of one.
func stuckListener(t *testing.T) (url string, fill func()) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	t.Cleanup(func() { unix.Close(fd) })
	must(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(unix.Listen(fd, 1))
	name, err := unix.Getsockname(fd)
	must(err)
	to := name.(*unix.SockaddrInet4)
	fill = func() {
		for range 4 {
			c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			must(err)
			t.Cleanup(func() { unix.Close(c) })
			_ = unix.Connect(c, to)
		}
	}
	return fmt.Sprintf("http://127.0.0.1:%d/", to.Port), fill
}
