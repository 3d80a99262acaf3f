package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
)

// guardProcess refuses what must never run short of memory by us: the first
// process, this one, those above it, threads of the kernel. That the process is a
// server of ours or a child is for the caller to see to.
func guardProcess(pid int) error {
	if pid <= 1 {
		return usagef("squeeze process %d: it holds the system together; give the id of a server", pid)
	}
	above, err := ancestry(os.Getpid())
	if err != nil {
		return fmt.Errorf("squeeze process %d: %w", pid, err)
	}
	if slices.Contains(above, pid) {
		return usagef("squeeze process %d: mslab itself runs in it or below it; give the id of a server", pid)
	}
	// A thread of the kernel has no program.
	if _, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe")); errors.Is(err, fs.ErrNotExist) && sameProcess(pid, 0) {
		return usagef("squeeze process %d: it is a thread of the kernel; give the id of a server", pid)
	}
	return nil
}

// ancestry is a process and those above it.
func ancestry(pid int) ([]int, error) {
	var line []int
	for pid > 0 && !slices.Contains(line, pid) {
		line = append(line, pid)
		process, err := procfs.NewProc(pid)
		if err != nil {
			return nil, fmt.Errorf("read the ancestors of process %d: %w", line[0], cause(err))
		}
		stat, err := process.Stat()
		if err != nil {
			return nil, fmt.Errorf("read the ancestors of process %d: %w", line[0], cause(err))
		}
		pid = stat.PPID
	}
	return line, nil
}

// sameProcess tells whether the process lives that started then, in clock ticks
// since boot; 0 is any.
func sameProcess(pid int, start uint64) bool {
	ticks, err := startTicks(pid)
	return err == nil && (start == 0 || ticks == start)
}
