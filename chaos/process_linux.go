package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// ownProgram is this very program, also where its path is not open to the user
// that runs it.
func ownProgram() string { return "/proc/self/exe" }

// startTicks is when a process started, in clock ticks since boot.
func startTicks(pid int) (uint64, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	stat, err := process.Stat()
	if err != nil {
		return 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	if stat.State == "Z" || stat.State == "X" {
		return 0, fmt.Errorf("look at process %d: %w", pid, unix.ESRCH)
	}
	return stat.Starttime, nil
}

// bootID is the kernel's id of this boot, "" where it does not tell.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// ownNetNS is the inode of this process' network namespace.
func ownNetNS() (uint64, error) { return netNSOf("self") }

func netNSOf(process string) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join("/proc", process, "ns/net"), &stat); err != nil {
		return 0, fmt.Errorf("look at the network namespace of process %s: %w", process, err)
	}
	return stat.Ino, nil
}

// namespaceHolder tells whether a network namespace lives, and where: by a
// process in it or by a mount of it. Other users' processes, which this one may
// not look at, are taken to be elsewhere; its own, which are out of sight from
// within a user namespace, to be in it.
func namespaceHolder(inode uint64) (where string, lives bool) {
	processes, err := procfs.AllProcs()
	if err != nil {
		return "where is not known: " + err.Error(), true
	}
	within := withinUserNamespace()
	for _, p := range processes {
		found, err := netNSOf(strconv.Itoa(p.PID))
		switch {
		case err == nil && found == inode:
			return fmt.Sprintf("nsenter -t %d -n", p.PID), true
		case within && errors.Is(err, unix.EACCES) && ownProcess(p.PID):
			return "outside of this user namespace", true
		}
	}
	mounts, err := procfs.GetMounts()
	if err != nil {
		return "where is not known: " + err.Error(), true
	}
	for _, m := range mounts {
		if m.FSType == "nsfs" && m.Root == fmt.Sprintf("net:[%d]", inode) {
			return "nsenter --net=" + m.MountPoint, true
		}
	}
	return "", false
}

// ownProcess tells whether a process is this user's.
func ownProcess(pid int) bool {
	var stat unix.Stat_t
	err := unix.Stat(filepath.Join("/proc", strconv.Itoa(pid)), &stat)
	return err == nil && int(stat.Uid) == os.Getuid()
}

// withinUserNamespace tells whether this process is in another user namespace than
// the first one, which maps all ids to themselves.
func withinUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
}

// outerUID is this user's id outside of the user namespace that the process may
// be in.
func outerUID() uint32 {
	uid := uint64(os.Getuid())
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return uint32(uid)
	}
	for line := range strings.Lines(string(text)) {
		var inside, outside, size uint64
		if n, _ := fmt.Sscan(line, &inside, &outside, &size); n == 3 && uid >= inside && uid < inside+size {
			return uint32(outside + uid - inside)
		}
	}
	return uint32(uid)
}

// terminate sends SIGTERM to a process, unless another one has its id by now.
func terminate(o Owner) error {
	fd, err := unix.PidfdOpen(o.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop process %d: %w", o.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if !alive(o) { // looked at after the descriptor was opened
		return nil
	}
	// One that Ctrl-Z has stopped must go on to be ended.
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGCONT} {
		if err := unix.PidfdSendSignal(fd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stop process %d: %w", o.PID, err)
		}
	}
	return nil
}

// resolve looks at the target's process: it must live, in this network
// namespace, and gets its start time.
func resolve(t Target) (Target, error) {
	if t.PID == 0 {
		return t, nil
	}
	ticks, err := startTicks(t.PID)
	if err != nil {
		return t, fmt.Errorf("there is no process %d (%w)", t.PID, err)
	}
	if t.StartTicks != 0 && t.StartTicks != ticks {
		return t, fmt.Errorf("process %d is another one by now: the one that was meant has ended", t.PID)
	}
	t.StartTicks = ticks
	own, err := ownNetNS()
	if err != nil {
		return t, err
	}
	if its, err := netNSOf(strconv.Itoa(t.PID)); err == nil && its != own {
		return t, fmt.Errorf("process %d is in another network namespace; run this in it: nsenter -t %d -n mslab chaos …", t.PID, t.PID)
	}
	return t, nil
}
