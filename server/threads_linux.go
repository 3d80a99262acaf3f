package server

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// DefaultMaxThreads is how many threads for connections a server may have
// unless told otherwise; it never takes more than half of what the system
// leaves.
const DefaultMaxThreads = 4000

// threadBudget is how many threads for connections may exist at once. It is
// asked before a thread is made: once clone(2) fails, the Go runtime ends the
// process and nothing can catch that.
type threadBudget struct {
	limit int64
	used  atomic.Int64
}

// newThreadBudget allows asked threads (default 4,000), but no more than half
// of what the system leaves this process now.
func newThreadBudget(asked int) *threadBudget {
	if asked == 0 {
		asked = DefaultMaxThreads
	}
	return &threadBudget{limit: int64(max(1, min(asked, threadsLeft()/2)))}
}

func (b *threadBudget) take() bool {
	if b.used.Add(1) > b.limit {
		b.used.Add(-1)
		return false
	}
	return true
}

func (b *threadBudget) give() { b.used.Add(-1) }

// ThreadLimit is one of the system's limits on threads.
type ThreadLimit struct {
	Name string // of the setting
	Left int    // further threads that it leaves this process
}

// ThreadLimits reads the limits that bind this process: threads-max, pids.max
// of its cgroup and those around it, RLIMIT_NPROC. What cannot be read does not
// limit.
func ThreadLimits() []ThreadLimit {
	membership, _ := os.ReadFile("/proc/self/cgroup")
	limits := []ThreadLimit{
		{"kernel.threads-max", readNumber("/proc/sys/kernel/threads-max") - allThreads()},
		{"pids.max", pidsLeft("/sys/fs/cgroup", string(membership))},
	}
	var limit unix.Rlimit
	uidMap, _ := os.ReadFile("/proc/self/uid_map")
	if !superuser(unix.Geteuid(), string(uidMap)) && unix.Getrlimit(unix.RLIMIT_NPROC, &limit) == nil && limit.Cur < unlimited {
		limits = append(limits, ThreadLimit{"RLIMIT_NPROC", int(limit.Cur) - threadsOfUser(uint32(unix.Geteuid()))})
	}
	return slices.DeleteFunc(limits, func(l ThreadLimit) bool { return l.Left >= unlimited/2 })
}

// superuser tells whether the kernel exempts the user from RLIMIT_NPROC (fork(2),
// EAGAIN). That it does for root, but not for the root of a user namespace whose
// user is another one outside. uidMap is the text of /proc/self/uid_map, "" on
// kernels without user namespaces; only that of the host maps all ids to
// themselves (user_namespaces(7)).
func superuser(euid int, uidMap string) bool {
	if euid != 0 {
		return false
	}
	fields := strings.Fields(uidMap)
	return len(fields) == 0 || slices.Equal(fields, []string{"0", "0", "4294967295"})
}

// threadsLeft is how many further threads all limits together leave.
func threadsLeft() int {
	left := unlimited
	for _, l := range ThreadLimits() {
		left = min(left, l.Left)
	}
	return max(0, left)
}

const unlimited = 1 << 40

// readNumber reads a file that holds one number; unlimited where there is none.
func readNumber(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return unlimited
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return unlimited
	}
	return n
}

// pidsLeft is what pids.max leaves in this process' group and in all those
// around it, whose limits hold just as well (cgroups(7)). Membership is the text
// of /proc/self/cgroup: a line "0::PATH" of the unified hierarchy, or one that
// names pids of the older kind, mounted in a folder of that name.
func pidsLeft(root, membership string) int {
	left := unlimited
	for line := range strings.Lines(membership) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		mount := root
		if fields[1] != "" {
			mount = filepath.Join(root, fields[1])
			if !slices.Contains(strings.Split(fields[1], ","), "pids") {
				continue
			}
		}
		for group := filepath.Clean("/" + fields[2]); ; group = filepath.Dir(group) {
			folder := filepath.Join(mount, group)
			if limit := readNumber(filepath.Join(folder, "pids.max")); limit < unlimited {
				left = min(left, limit-readNumber(filepath.Join(folder, "pids.current")))
			}
			if group == "/" {
				break
			}
		}
	}
	return left
}

// allThreads is the number of threads on the system: the second part of the
// fourth field of /proc/loadavg.
func allThreads() int {
	text, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if len(fields) < 4 {
		return 0
	}
	_, total, _ := strings.Cut(fields[3], "/")
	n, _ := strconv.Atoi(total)
	return n
}

// threadsOfUser counts the threads of all processes of a user.
func threadsOfUser(uid uint32) int {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	threads := 0
	for _, process := range processes {
		var status unix.Stat_t
		if unix.Stat(process, &status) != nil || status.Uid != uid {
			continue
		}
		tasks, _ := os.ReadDir(filepath.Join(process, "task"))
		threads += len(tasks)
	}
	return threads
}
