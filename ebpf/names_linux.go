//go:build amd64 || arm64

package ebpf

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The bounds and marks of syscalls.h.
const (
	compatBit  = 1 << 31
	numbers    = 1024
	maxSlots   = 512
	slotTable  = 0x7fff
	slotFD     = 0x8000
	errnoLast  = 133
	errnoOther = errnoLast + 1 + 5
)

// descriptorFirst lists the calls whose first argument is the open file they work
// on. Calls that take a directory to start from (openat) are not among them.
var descriptorFirst = strings.Fields(`
	accept accept4 bind cachestat close connect copy_file_range dup dup2 dup3
	epoll_ctl epoll_pwait epoll_pwait2 epoll_wait fadvise64 fallocate fchdir fchmod
	fchown fcntl fcntl64 fdatasync fgetxattr finit_module flistxattr flock
	fremovexattr fsetxattr fstat fstat64 fstatfs fstatfs64 fsync ftruncate
	ftruncate64 getdents getdents64 getpeername getsockname getsockopt
	inotify_add_watch inotify_rm_watch io_uring_enter io_uring_register ioctl
	listen llseek _llseek lseek mq_getsetattr mq_notify mq_timedreceive
	mq_timedsend newfstat pidfd_getfd pidfd_send_signal pread64 preadv preadv2
	pwrite64 pwritev pwritev2 quotactl_fd read readahead readv recv recvfrom
	recvmmsg recvmsg send sendfile sendfile64 sendmmsg sendmsg sendto setns
	setsockopt shutdown signalfd signalfd4 splice sync_file_range syncfs tee
	timerfd_gettime timerfd_settime vmsplice write writev`)

// SyscallNames lists the names that SyscallOptions.Only takes, sorted: those of
// this machine, and of its 32-bit processes.
func SyscallNames() []string {
	names := map[string]bool{}
	for _, table := range []map[uint32]string{nativeCalls, compatCalls} {
		for _, name := range table {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// CheckNames says which of the names SyscallOptions.Only does not take, and what
// is nearest to it.
func CheckNames(only []string) error {
	known := SyscallNames()
	for _, name := range only {
		if _, ok := slices.BinarySearch(known, name); ok {
			continue
		}
		return fmt.Errorf("trace only %q: there is no such system call on this machine; did you mean %s?", name, nearest(name, known))
	}
	return nil
}

// nearest gives the name with the fewest edits; among equals one that begins alike.
func nearest(name string, known []string) string {
	best, bestScore := "", 0
	for _, k := range known {
		score := 4 * editDistance(name, k)
		switch {
		case strings.HasSuffix(k, name): // stat: newfstat
			score = min(score, 5)
		case strings.HasPrefix(k, name): // epoll: epoll_wait
			score = min(score, 4)
		}
		if best == "" || score < bestScore {
			best, bestScore = k, score
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements between a and b
// (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// compatMark ends the name of a call by the 32-bit table.
const compatMark = " (32-bit)"

// callName names a number as the probes keep it.
func callName(number uint32) string {
	table, mark := nativeCalls, ""
	if number&compatBit != 0 && int32(number) != -1 {
		table, mark = compatCalls, compatMark
		number &^= compatBit
	}
	if name, ok := table[number]; ok {
		return name + mark
	}
	return fmt.Sprintf("syscall_%d%s", int32(number), mark)
}

// restores tells the calls that cannot fail: what they return is the register of
// the code that a signal interrupted, which may hold an error of that code's
// (sigreturn(2)).
func restores(name string) bool {
	name = strings.TrimSuffix(name, compatMark)
	return name == "rt_sigreturn" || name == "sigreturn"
}

// slotTables says for every number where it is counted.
type slotTables struct {
	native, compat [numbers]uint16
	unknown        uint16
	byIndex        []uint32 // the number of each row of stats
}

// newSlots gives a row to every call to be traced, and to the one that is used to
// calibrate. Calls of 32-bit processes and numbers without a name share a table.
func newSlots(only []string, byFD bool, calibrate uint32) *slotTables {
	s := &slotTables{byIndex: make([]uint32, 1)}
	mark := func(name string) uint16 {
		if byFD && slices.Contains(descriptorFirst, name) {
			return slotFD
		}
		return 0
	}
	for _, number := range slices.Sorted(maps.Keys(nativeCalls)) {
		name := nativeCalls[number]
		if number >= numbers || len(s.byIndex) >= maxSlots || number != calibrate && !wanted(only, name) {
			continue
		}
		s.native[number] = uint16(len(s.byIndex)) | mark(name)
		s.byIndex = append(s.byIndex, number)
	}
	for number := range uint32(numbers) {
		name := compatCalls[number]
		if wanted(only, name) {
			s.compat[number] = slotTable | mark(name)
		}
		if s.native[number] == 0 && wanted(only, nativeCalls[number]) {
			s.native[number] = slotTable | mark(nativeCalls[number])
		}
	}
	if len(only) == 0 {
		s.unknown = slotTable
	}
	return s
}

func wanted(only []string, name string) bool {
	return len(only) == 0 || slices.Contains(only, name)
}

// kernelErrnos are those that a program never sees: the kernel restarts the call
// or makes EINTR of them (include/linux/errno.h).
var kernelErrnos = []string{"ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND", "ENOIOCTLCMD", "ERESTART_RESTARTBLOCK"}

// errnoName names an error by its place in a row.
func errnoName(index int) string {
	switch {
	case index == errnoOther:
		return "other"
	case index > errnoLast:
		return kernelErrnos[index-errnoLast-1]
	}
	if name := unix.ErrnoName(unix.Errno(index)); name != "" {
		return name
	}
	return fmt.Sprintf("errno_%d", index)
}
