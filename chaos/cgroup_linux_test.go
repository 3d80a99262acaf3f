package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testGroup makes a group below this process' own, or skips the test. It is gone
// after the test, whatever becomes of it.
func testGroup(t *testing.T) memoryGroup {
	t.Helper()
	g, _, err := chooseGroup(os.Getpid(), "test-"+strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if err == nil {
		err = g.make()
	}
	if err != nil {
		t.Skipf("needs a memory controller and the right to use it: %v", err)
	}
	t.Cleanup(func() {
		if err := g.dissolve(""); err != nil {
			t.Error(err)
		}
	})
	return g
}

// sleeper starts a process of the test's own that does nothing.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Skipf("needs sleep(1): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// groupOf is the folder of a process' present group.
func groupOf(t *testing.T, pid int) string {
	t.Helper()
	_, dir, err := chooseGroup(pid, "none")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestGroupTakesAProcessAndGivesItBack(t *testing.T) {
	g := testGroup(t)
	process := sleeper(t)
	former := groupOf(t, process.Process.Pid)
	if err := g.add(process.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if got := groupOf(t, process.Process.Pid); got != g.dir {
		t.Errorf("the process is in %s, want %s", got, g.dir)
	}
	set, err := g.setLimit(g.files.limit, 5<<20+100)
	if err != nil || set != 5<<20 {
		t.Errorf("limit of 5 MiB and 100 B: %d, %v; want it rounded down to a page", set, err)
	}
	if at, err := g.read(); err != nil || at.Usage < 0 || at.OOMKills != 0 || at.UnderOOM {
		t.Errorf("read: %+v, %v", at, err)
	}
	if err := g.dissolve(former); err != nil {
		t.Fatal(err)
	}
	if got := groupOf(t, process.Process.Pid); got != former {
		t.Errorf("the process is in %s, want %s", got, former)
	}
	if _, err := os.Stat(g.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the group is still there: %v", err)
	}
	if err := process.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process has not survived: %v", err)
	}
	if err := g.dissolve(former); err != nil {
		t.Errorf("dissolved twice: %v", err)
	}
}

// TestFormerGroupIsMadeAgain removes the group from which a process was taken, as
// session managers do with empty ones.
func TestFormerGroupIsMadeAgain(t *testing.T) {
	outer, g := testGroup(t), testGroup(t)
	former := memoryGroup{outer.files, filepath.Join(filepath.Dir(outer.dir), filepath.Base(outer.dir)+"-former")}
	if err := former.make(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = former.dissolve("") })
	process := sleeper(t)
	if err := errors.Join(former.add(process.Process.Pid), g.add(process.Process.Pid), unix.Rmdir(former.dir)); err != nil {
		t.Fatal(err)
	}
	if err := g.dissolve(former.dir); err != nil {
		t.Fatal(err)
	}
	if got, err := members(former.dir); err != nil || !slices.Equal(got, []int{process.Process.Pid}) {
		t.Errorf("processes of the former group: %v, %v, want %d", got, err, process.Process.Pid)
	}
}

// TestDissolveTouchesOnlyOurs hands over folders that are no groups of ours.
func TestDissolveTouchesOnlyOurs(t *testing.T) {
	named := filepath.Join(t.TempDir(), markOf("1"))
	if err := os.Mkdir(named, 0o700); err != nil {
		t.Fatal(err)
	}
	own := filepath.Dir(testGroup(t).dir)
	for _, dir := range []string{named, own, own + "/../" + markOf("x"), markOf("relative"), "/"} {
		if err := (memoryGroup{memoryV1, dir}).dissolve(own); err == nil {
			t.Errorf("%s was dissolved", dir)
		}
	}
	if _, err := os.Stat(named); err != nil {
		t.Error(err)
	}
}

// TestLimitBelowUsage needs version 1, which refuses; version 2 kills.
func TestLimitBelowUsage(t *testing.T) {
	g := testGroup(t)
	if g.files.version != 1 {
		t.Skip("needs the memory controller of cgroup v1")
	}
	process := exec.Command("sh", "-c", `read go; x=$(head -c 8000000 /dev/zero | tr '\0' x); echo full; read stop`)
	in, _ := process.StdinPipe()
	out, _ := process.StdoutPipe()
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		t.Skipf("needs sh(1): %v", err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	if err := g.add(process.Process.Pid); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "go")
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatal(err)
	}
	_, err := g.setLimit(g.files.limit, 1<<20)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "cannot be reclaimed") {
		t.Errorf("limit below usage: %v, want EBUSY with what is held", err)
	}
}

// TestChangesAreSeen watches cgroup.events of a group of version 2, which every
// kernel has: memory.events is told in the same way.
func TestChangesAreSeen(t *testing.T) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip(err)
	}
	mount := ""
	for _, m := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(m + "/cgroup.controllers"); err == nil {
			mount = m
		}
	}
	_, path, found := strings.Cut(string(own), "0::")
	if mount == "" || !found {
		t.Skip("needs cgroup v2")
	}
	parent := filepath.Join(mount, strings.TrimSpace(path))
	g := memoryGroup{memoryV2, filepath.Join(parent, markOf("test-"+strconv.Itoa(os.Getpid())))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Skipf("needs the right to make a group: %v", err)
	}
	t.Cleanup(func() {
		if err := g.dissolve(""); err != nil {
			t.Error(err)
		}
	})
	wake, err := watchChanges(g.dir, "cgroup.events")
	if err != nil {
		t.Fatal(err)
	}
	defer wake.Close()
	if err := g.add(sleeper(t).Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := wake.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := wake.Read(make([]byte, 256)); err != nil {
		t.Errorf("a change of cgroup.events was not seen: %v", err)
	}
}

func TestWatchEndsWithClose(t *testing.T) {
	g := testGroup(t)
	w, err := g.watchOOM()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if n := w.events.Load(); n != 0 {
		t.Errorf("%d OOM events of an empty group", n)
	}
}

// TestProcessOutOfSightStays has a group list a process of another process
// namespace, by 0: written to another group that would move the writer.
func TestProcessOutOfSightStays(t *testing.T) {
	group, former := t.TempDir(), t.TempDir()
	procs := filepath.Join(former, "cgroup.procs")
	if err := errors.Join(os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0\n"), 0o600), os.WriteFile(procs, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{former, ""} {
		if err := (memoryGroup{memoryV1, group}).empty(to); err == nil || !strings.Contains(err.Error(), "another process namespace") {
			t.Errorf("to %q: %v", to, err)
		}
	}
	if moved, err := os.ReadFile(procs); err != nil || len(moved) != 0 {
		t.Errorf("moved %q, %v", moved, err)
	}
}
