//go:build unix

package loadgen

import (
	"fmt"
	"math"
	"runtime/metrics"
	"syscall"

	"golang.org/x/sys/unix"
)

// usage is what the process has used.
type usage struct {
	cpu int64 // ns, user and system, all threads
	gcs int64 // completed garbage collections
}

func readUsage() usage {
	var u usage
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &ru) == nil {
		u.cpu = ru.Utime.Nano() + ru.Stime.Nano()
	}
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() == metrics.KindUint64 {
		u.gcs = int64(sample[0].Value.Uint64())
	}
	return u
}

func (u usage) since(before usage) usage {
	return usage{u.cpu - before.cpu, u.gcs - before.gcs}
}

// ownFiles is how many descriptors are left for all but the connections.
const ownFiles = 64

// checkFiles makes sure that every connection can have its socket.
func checkFiles(connections int) error {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return nil
	}
	if need := uint64(connections) + ownFiles; need > uint64(limit.Cur) {
		return fmt.Errorf("check the load: %d connections need %d file descriptors, the limit is %d; raise it with ulimit -n",
			connections, need, limit.Cur)
	}
	return nil
}

// spareFiles is how many connections the limit of descriptors leaves room for.
func spareFiles() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxInt
	}
	return int(min(max(uint64(limit.Cur), ownFiles)-ownFiles, math.MaxInt32))
}

// peerClosed looks, without taking anything from it, whether the other side of
// an idle connection has closed it. Whatever arrives on one that is not
// encrypted was not asked for, and is as bad. Under TLS there may be session
// tickets; the close is announced by an alert record (RFC 8446, section 6.1:
// content type 21).
func peerClosed(conn syscall.RawConn, encrypted bool) (closed bool) {
	const alert = 21
	err := conn.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		closed = err == nil && (n == 0 || !encrypted || b[0] == alert) || err == unix.ECONNRESET
		return true
	})
	return closed || err != nil
}
