package scenarios

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mslab/results"
)

// playCommand plays a scenario as the user in its sandbox.
func (u sandboxUser) playCommand(t *testing.T, yaml string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	exe := mslab(t)
	dir = filepath.Join(u.folder(t), "run")
	file := filepath.Join(openFolder(t), "scenario-"+strconv.Itoa(os.Getpid())+".yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	return u.command(t, roleOuter, rolePlay, file, exe, dir), dir
}

// TestSameTrialsInASandbox plays one scenario on the host and in a sandbox,
// while somebody's accept queue overflows on the host.
func TestSameTrialsInASandbox(t *testing.T) {
	file, dir := writeScenario(t, tiny), filepath.Join(t.TempDir(), "run")
	if out, err := role(t, rolePlay, file, mslab(t), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	host, err := results.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if host.Environment.Sandbox != "none" {
		t.Errorf("the run on the host says sandbox %q", host.Environment.Sandbox)
	}
	eachSandbox(t, func(t *testing.T, u sandboxUser) {
		overflows := overflowHost(t)
		cmd, dir := u.playCommand(t, tiny)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if n := overflows(); n == 0 {
			t.Error("nothing overflowed on the host: the test shows nothing")
		}
		got, err := results.OpenRun(dir)
		if err != nil {
			t.Fatal(err)
		}
		compareRuns(t, host, got)
		if got.Environment.Sandbox != string(u.sandbox) {
			t.Errorf("the run says sandbox %q", got.Environment.Sandbox)
		}
		for _, trial := range got.Trials {
			if s := trial.Server; s.ListenOverflows != 0 || s.ListenDrops != 0 || s.SynRetransmits != 0 {
				t.Errorf("%s/%s counts what happened on the host: %+v", trial.Arm, trial.Subject.Name, s)
			}
			checkTrial(t, trial)
		}
		checkOwner(t, dir, u)
	})
}

// overflowHost fills the accept queue of a listener until stop is called, which
// returns the number of overflows.
func overflowHost(t *testing.T) (stop func() int64) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	before := rawNetstat("ListenOverflows")
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var open []int
		for {
			if c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err == nil {
				_ = unix.Connect(c, address)
				open = append(open, c)
			}
			if len(open) > 20 {
				_ = unix.Close(open[0])
				open = open[1:]
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-quit:
				for _, c := range open {
					_ = unix.Close(c)
				}
				return
			}
		}
	}()
	return func() int64 {
		close(quit)
		<-done
		_ = unix.Close(fd)
		return rawNetstat("ListenOverflows") - before
	}
}

// compareRuns wants all but the figures to be equal.
func compareRuns(t *testing.T, want, got *results.Run) {
	t.Helper()
	for _, run := range []*results.Run{want, got} {
		run.Plan.Source = nil // names the file that was read
		for i := range run.Order {
			run.Order[i].TookS = 0 // is measured
		}
	}
	if !reflect.DeepEqual(want.Plan, got.Plan) || !reflect.DeepEqual(want.Order, got.Order) {
		t.Errorf("another plan or order:\n%+v\n%+v\nwant\n%+v\n%+v", got.Plan, got.Order, want.Plan, want.Order)
	}
	if !reflect.DeepEqual(want.Environment.Sysctls, got.Environment.Sysctls) || want.Environment.Pinning != got.Environment.Pinning {
		t.Errorf("another environment:\n%+v\nwant\n%+v", got.Environment, want.Environment)
	}
	if len(want.Trials) != len(got.Trials) {
		t.Fatalf("%d trials, want %d", len(got.Trials), len(want.Trials))
	}
	for i, w := range want.Trials {
		g := got.Trials[i]
		if (g.Load.SourceAddresses > 0) != (w.Load.SourceAddresses > 0) {
			t.Errorf("trial %d came from %d addresses, want as with %d", i, g.Load.SourceAddresses, w.Load.SourceAddresses)
		}
		// What is measured.
		g.Load.DurationS, g.Load.SourceAddresses, g.Load.WarmupS = w.Load.DurationS, w.Load.SourceAddresses, w.Load.WarmupS
		if w.Arm != g.Arm || w.Block != g.Block || !reflect.DeepEqual(w.Subject, g.Subject) || !reflect.DeepEqual(w.Load, g.Load) ||
			w.Verdict.Valid != g.Verdict.Valid || len(w.Slices) != len(g.Slices) || w.Incomplete != g.Incomplete {
			t.Errorf("trial %d is\n%+v %+v %+v\nwant\n%+v %+v %+v", i, g.Subject, g.Load, g.Verdict, w.Subject, w.Load, w.Verdict)
		}
		if keys(w.Server.Counters) != keys(g.Server.Counters) {
			t.Errorf("trial %d has the counters %s, want %s", i, keys(g.Server.Counters), keys(w.Server.Counters))
		}
	}
	if !slices.ContainsFunc(want.Notes, func(n string) bool { return strings.Contains(n, "host's network namespace") }) ||
		slices.ContainsFunc(got.Notes, func(n string) bool { return strings.Contains(n, "host's") }) {
		t.Errorf("notes %q, on the host %q", got.Notes, want.Notes)
	}
}

func keys[V any](m map[string]V) string { return strings.Join(sortedKeys(m), " ") }

// checkOwner wants all in dir to be the user's.
func checkOwner(t *testing.T, dir string, u sandboxUser) {
	t.Helper()
	want := uint32(os.Geteuid())
	if u.cred != nil {
		want = u.cred.Uid
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != want {
			t.Errorf("%s is not of user %d", path, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// descendants lists the processes below pid.
func descendants(pid int) []int {
	all := childrenOfPID(pid)
	for _, child := range slices.Clone(all) {
		all = append(all, descendants(child)...)
	}
	return all
}

// startLongInside plays a run that takes minutes in a sandbox and returns the
// processes below cmd, the program inside first, once its servers are up.
func startLongInside(t *testing.T, u sandboxUser) (cmd *exec.Cmd, dir string, below []int) {
	t.Helper()
	cmd, dir = u.playCommand(t, long)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, 30*time.Second, "a program inside and two servers run", func() bool {
		below = descendants(cmd.Process.Pid)
		return len(below) == 3
	})
	return cmd, dir, below
}

func TestKilledSandboxLeavesNothing(t *testing.T) {
	eachSandbox(t, func(t *testing.T, u sandboxUser) {
		cmd, _, below := startLongInside(t, u)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 2*time.Second, "no process is left", func() bool { return gone(below) })
	})
}

func TestKilledProgramInsideLeavesNothing(t *testing.T) {
	eachSandbox(t, func(t *testing.T, u sandboxUser) {
		cmd, _, below := startLongInside(t, u)
		if err := unix.Kill(below[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 128+int(unix.SIGKILL) {
			t.Errorf("exit %d, want that of SIGKILL", cmd.ProcessState.ExitCode())
		}
		eventually(t, 2*time.Second, "no process is left", func() bool { return gone(below) })
	})
}

func TestInterruptedSandboxKeepsWhatItMeasured(t *testing.T) {
	eachSandbox(t, func(t *testing.T, u sandboxUser) {
		cmd, dir, below := startLongInside(t, u)
		trials := filepath.Join(dir, "trials", "*.json")
		eventually(t, 60*time.Second, "a block is stored", func() bool { found, _ := filepath.Glob(trials); return len(found) >= 2 })
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("exit %d, want 130", cmd.ProcessState.ExitCode())
		}
		if !gone(below) {
			t.Error("a process is left")
		}
		if run, err := results.OpenRun(dir); err != nil || !run.Incomplete || len(run.Trials) < 2 {
			t.Errorf("%v, %+v", err, run)
		}
	})
}
