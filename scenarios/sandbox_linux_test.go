package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
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

const nobody = 65534

// sandboxUser is somebody who plays in a sandbox.
type sandboxUser struct {
	name    string
	sandbox Sandbox // that this user gets
	cred    *syscall.Credential
}

func wantSandbox(t *testing.T) Sandbox {
	t.Helper()
	if Inside() != NoSandbox {
		t.Skip("inside a sandbox already")
	}
	s, err := FindSandbox(t.Context())
	if err != nil {
		t.Skip(err.Error())
	}
	return s
}

// eachSandbox tests as root and as nobody, or, without root, as this user.
func eachSandbox(t *testing.T, test func(t *testing.T, u sandboxUser)) {
	users := []sandboxUser{{name: "user", sandbox: UserSandbox}}
	if os.Geteuid() == 0 {
		users = []sandboxUser{
			{name: "root", sandbox: NetworkSandbox},
			asNobody(),
		}
	}
	for _, u := range users {
		t.Run(u.name, func(t *testing.T) {
			u.want(t)
			test(t, u)
		})
	}
}

func asNobody() sandboxUser {
	return sandboxUser{name: "nobody", sandbox: UserSandbox, cred: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// want skips the test where the user gets no sandbox.
func (u sandboxUser) want(t *testing.T) {
	t.Helper()
	if out, err := u.command(t, roleOuter, roleInside, "exit", "0").CombinedOutput(); err != nil {
		t.Skipf("no sandbox as %s: %v %s", u.name, err, out)
	}
}

// command plays a role as the user, in a working folder of the user's own.
func (u sandboxUser) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(openBinary(t), args...)
	cmd.Dir = u.folder(t)
	cmd.Env = append(os.Environ(), roleEnv+"="+name, "TMPDIR="+u.folder(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.cred}
	return cmd
}

// folder makes one of the user's own, which nobody else can read.
func (u sandboxUser) folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(openFolder(t), "of-"+u.name+"-")
	if err == nil && u.cred != nil {
		err = os.Chown(dir, int(u.cred.Uid), int(u.cred.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// outerRole plays the role args[0] with the other args in a sandbox. Before
// that it sets the sysctls among them, NAME=VALUE.
func outerRole(args []string) int {
	for ; strings.Contains(args[0], "="); args = args[1:] {
		name, value, _ := strings.Cut(args[0], "=")
		if _, err := setSysctls(map[string]string{name: value}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	ctx := context.Background()
	sandbox, err := FindSandbox(ctx)
	if err == nil {
		err = os.Setenv(roleEnv, args[0])
	}
	var exit int
	if err == nil {
		exit, err = sandbox.Run(ctx, args[1:], Stdio{Out: os.Stdout, Err: os.Stderr})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return exit
}

// runInside plays a role of the test binary in a sandbox of this user.
func runInside(t *testing.T, ctx context.Context, name string, args ...string) (exit int, out string) {
	t.Helper()
	sandbox := wantSandbox(t)
	t.Setenv(roleEnv, name)
	t.Setenv("TMPDIR", t.TempDir())
	var stdout, stderr bytes.Buffer
	exit, err := sandbox.Run(ctx, args, Stdio{Out: &stdout, Err: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	if stderr.Len() > 0 {
		t.Logf("stderr: %s", stderr.String())
	}
	return exit, stdout.String()
}

type insideReport struct {
	Inside     Sandbox
	Interfaces []string
	Loopback   bool // a listener on loopback can be connected to
	Abort      string
	Steered    string
	Restored   string
	Backlog    string // net.core.somaxconn
	Covered    bool   // there is a tmpfs over /run
	Lock       string // why iptables could not lock there
	Notes      []string
}

const abortOnOverflow = "net.ipv4.tcp_abort_on_overflow"

// insideRole reports on the sandbox; with "exit N" it ends so, with "wait" it
// waits for a signal, and with "files PATH..." it first writes a file in each.
func insideRole(args []string) int {
	var keep []string
	switch args[0] {
	case "exit":
		n, _ := strconv.Atoi(args[1])
		return n
	case "wait":
		_ = os.WriteFile(args[1], []byte(strconv.Itoa(os.Getpid())), 0o600)
		time.Sleep(time.Minute)
		return 9
	case "files":
		keep = args[1:]
	}
	report, err := lookInside(keep)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return printJSON(report)
}

func lookInside(keep []string) (report insideReport, err error) {
	report.Inside = Inside()
	if report.Notes, err = furnish(keep...); err != nil {
		return report, err
	}
	for _, dir := range keep {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return report, err
		}
		if err := os.WriteFile(filepath.Join(dir, "written"), []byte("inside"), 0o600); err != nil {
			return report, err
		}
	}
	_, err = os.Lstat(filepath.Join(runFolder, runMarker))
	report.Covered = err == nil
	if f, err := os.OpenFile(filepath.Join(runFolder, "xtables.lock"), os.O_CREATE, 0o600); err != nil {
		report.Lock = err.Error()
	} else {
		_ = f.Close()
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		report.Interfaces = append(report.Interfaces, i.Name)
	}
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		c, err := net.DialTimeout("tcp", l.Addr().String(), time.Second)
		if report.Loopback = err == nil; err == nil {
			_ = c.Close()
		}
		_ = l.Close()
	}
	report.Backlog = readFile(sysctlPath("net.core.somaxconn"))
	restore, err := setSysctls(map[string]string{abortOnOverflow: "1"})
	if err != nil {
		return report, err
	}
	report.Abort = readFile(sysctlPath(abortOnOverflow))
	unsteer, err := steerReceive([]int{0})
	if err != nil {
		report.Steered = err.Error()
	} else {
		if mounted, _ := filepath.Glob(filepath.Join(sandboxFolder(), "mslab-sys-*/class/net/lo/queues/rx-0/rps_cpus")); len(mounted) == 1 {
			report.Steered = readFile(mounted[0])
		}
		if err := unsteer(); err != nil {
			return report, err
		}
	}
	err = restore()
	report.Restored = readFile(sysctlPath(abortOnOverflow))
	return report, err
}

func readFile(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}

// report runs a command that prints a report.
func report(t *testing.T, cmd *exec.Cmd) (got insideReport) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, stderr.String())
	}
	return got
}

func TestSandboxIsItsOwn(t *testing.T) {
	eachSandbox(t, func(t *testing.T, u sandboxUser) {
		host := readFile(sysctlPath(abortOnOverflow))
		cmd := u.command(t, roleOuter, roleInside, "report")
		got := report(t, cmd)
		if got.Inside != u.sandbox || !got.Loopback || len(got.Interfaces) == 0 || got.Abort != "1" || got.Restored != "0" || len(got.Notes) > 0 {
			t.Errorf("inside: %+v", got)
		}
		if !got.Covered || got.Lock != "" {
			t.Errorf("a tmpfs over /run: %v; lock there: %s", got.Covered, got.Lock)
		}
		// What devices do is the host's to say: no user namespace may steer.
		if u.sandbox == NetworkSandbox && !strings.HasSuffix(got.Steered, "1") {
			t.Errorf("packets are steered to the cores %q, want core 0", got.Steered)
		}
		if after := readFile(sysctlPath(abortOnOverflow)); after != host {
			t.Errorf("the host's tcp_abort_on_overflow was %s and is %s", host, after)
		}
		for _, dir := range []string{cmd.Dir, os.TempDir()} {
			if left, _ := filepath.Glob(filepath.Join(dir, "mslab-sys-*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	})
}

// TestSandboxPassesExitCodesOn runs a program that only its user may read, in a
// folder that only its user may enter.
func TestSandboxPassesExitCodesOn(t *testing.T) {
	eachSandbox(t, func(t *testing.T, u sandboxUser) {
		cmd := u.command(t, roleOuter, roleInside, "exit", "42")
		private := filepath.Join(cmd.Dir, "private")
		if err := copyProgram(private, cmd.Path); err != nil {
			t.Fatal(err)
		}
		if u.cred != nil {
			if err := os.Chown(private, int(u.cred.Uid), int(u.cred.Gid)); err != nil {
				t.Fatal(err)
			}
		}
		cmd.Path = private
		if _ = cmd.Run(); cmd.ProcessState.ExitCode() != 42 {
			t.Errorf("exit %d, want 42", cmd.ProcessState.ExitCode())
		}
	})
}

func TestSandboxEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "pid")
	go func() {
		for readFile(file) == "" || strings.Contains(readFile(file), "no such") {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	if exit, _ := runInside(t, ctx, roleInside, "wait", file); exit != 128+int(unix.SIGTERM) {
		t.Errorf("exit %d, want that of SIGTERM", exit)
	}
}

// TestSandboxHangsUpAsItsUserWants closes the terminal of a run, and of one that
// nohup protects.
func TestSandboxHangsUpAsItsUserWants(t *testing.T) {
	wantSandbox(t)
	for _, c := range []struct {
		name, prefix string
		exit         int
	}{
		{"alone", "", 128 + int(unix.SIGHUP)},
		{"nohup", "trap '' HUP; ", 128 + int(unix.SIGTERM)},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			inner := role(t, roleOuter, roleInside, "wait", file)
			cmd := exec.Command("sh", append([]string{"-c", c.prefix + `exec "$0" "$@"`}, inner.Args...)...)
			cmd.Env = inner.Env
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			eventually(t, 10*time.Second, "the program inside waits", func() bool { _, err := strconv.Atoi(readFile(file)); return err == nil })
			if err := cmd.Process.Signal(unix.SIGHUP); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
			_ = cmd.Process.Signal(unix.SIGTERM)
			if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != c.exit {
				t.Errorf("exit %d, want %d", cmd.ProcessState.ExitCode(), c.exit)
			}
		})
	}
}

func TestFindSandboxEndsWithItsContext(t *testing.T) {
	wantSandbox(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := FindSandbox(ctx); s != NoSandbox || !errors.Is(err, context.Canceled) {
		t.Errorf("found %s, %v", s, err)
	}
}

// TestNoSandboxSaysWhy forbids both sandboxes by settings that a user namespace
// has of its own.
func TestNoSandboxSaysWhy(t *testing.T) {
	wantSandbox(t)
	cmd := role(t, roleOuter, "user.max_net_namespaces=0", roleInside, "exit", "0")
	cmd.SysProcAttr = UserSandbox.SysProcAttr()
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "takes root") || !strings.Contains(string(out), "sysctl -w user.max_net_namespaces=10000") ||
		strings.Count(string(out), "\n") != 1 || strings.Contains(string(out), "fork/exec") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestSandboxHasTheHostsSettings sets the one of a host that is a namespace
// itself.
func TestSandboxHasTheHostsSettings(t *testing.T) {
	sandbox := wantSandbox(t)
	cmd := role(t, roleOuter, "net.core.somaxconn=1234", roleInside, "report")
	cmd.SysProcAttr = sandbox.SysProcAttr()
	if got := report(t, cmd); got.Backlog != "1234" || got.Inside == NoSandbox {
		t.Errorf("inside %s somaxconn is %s, outside 1234", got.Inside, got.Backlog)
	}
}

func TestMarkAloneIsNotInside(t *testing.T) {
	own, err := netns()
	if err != nil {
		t.Skip(err.Error())
	}
	for _, mark := range []string{"", own, `{"sandbox":"` + string(NetworkSandbox) + `","outer":"` + own + `"}`, `{"outer":"net:[1]"}`} {
		t.Setenv(SandboxVariable, mark)
		if got := Inside(); got != NoSandbox {
			t.Errorf("inside %s by the mark %q", got, mark)
		}
	}
	s, err := Find("overflow")
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Run(t.Context(), p, Play{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "namespace of its own") {
		t.Errorf("a run that sets sysctls outside a namespace: %v", err)
	}
}

// TestProbeDoesNothingOnTheHost marks a probe that is not in a namespace.
func TestProbeDoesNothingOnTheHost(t *testing.T) {
	own, err := netns()
	if err != nil {
		t.Skip(err.Error())
	}
	text, _ := json.Marshal(mark{Sandbox: NetworkSandbox, Outer: own, Probe: true})
	t.Setenv(SandboxVariable, string(text))
	before := readFile("/proc/self/mountinfo")
	var said bytes.Buffer
	if exit, probed := AnswerProbe(&said); exit != 1 || !probed || !strings.Contains(said.String(), "nothing is done") {
		t.Errorf("exit %d, %v: %s", exit, probed, said.String())
	}
	if after := readFile("/proc/self/mountinfo"); after != before {
		t.Error("something was mounted on the host")
	}
}

// layoutRole lays out a /run of its own mount namespace as systemd does, plays
// a report in a sandbox as nobody, and checks what was written there. args are
// the working folder and the others to write to.
func layoutRole(args []string) int {
	if err := layOut(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command("/proc/self/exe", append([]string{roleInside, "files"}, args...)...)
	cmd.Env = append(os.Environ(), roleEnv+"="+roleOuter)
	cmd.Dir, cmd.Stdout, cmd.Stderr = args[0], os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, dir := range args {
		file := filepath.Join(dir, "written")
		info, err := os.Stat(file)
		if err != nil || readFile(file) != "inside" || info.Sys().(*syscall.Stat_t).Uid != nobody {
			fmt.Fprintf(os.Stderr, "%s is not what was written inside: %v, %v\n", file, info, err)
			return 1
		}
	}
	return 0
}

func layOut() error {
	own := filepath.Join(runFolder, "user", strconv.Itoa(nobody))
	err := unix.Mount("tmpfs", runFolder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	if err == nil {
		err = os.MkdirAll(own, 0o755)
	}
	if err == nil {
		err = unix.Mount("tmpfs", own, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700,uid="+strconv.Itoa(nobody))
	}
	for _, dir := range []string{"lock", "secret"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(runFolder, dir), 0o700))
	}
	return errors.Join(err, os.Chmod(filepath.Join(runFolder, "lock"), 0o1777), os.Symlink("lock", filepath.Join(runFolder, "link")),
		unix.Mkfifo(filepath.Join(runFolder, "fifo"), 0o600), os.WriteFile(filepath.Join(runFolder, "xtables.lock"), nil, 0o600))
}

// TestSandboxKeepsWhatLiesInRun writes to folders in /run as nobody.
func TestSandboxKeepsWhatLiesInRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root to lay out /run")
	}
	own := "/run/user/" + strconv.Itoa(nobody)
	for _, c := range []struct {
		name    string
		folders []string
		covered bool
	}{
		{"user folder", []string{own, own + "/mslab", own + "/new/out"}, true},
		{"other folders", []string{"/run/lock", "/run/link/out"}, true},
		{"working folder is run", []string{"/run"}, false},
		{"new folder in run", []string{"/run/lock", "/run/out"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := asNobody()
			u.want(t)
			cmd := u.command(t, roleLayout, c.folders...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
			got := report(t, cmd)
			// The lock of the layout is root's, and cannot be had there.
			if got.Inside != UserSandbox || got.Covered != c.covered || c.covered != (got.Lock == "") {
				t.Errorf("covered %v, want %v; lock: %q", got.Covered, c.covered, got.Lock)
			}
		})
	}
}

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
		g.Load.DurationS = w.Load.DurationS // is measured
		if w.Arm != g.Arm || w.Block != g.Block || !reflect.DeepEqual(w.Subject, g.Subject) || !reflect.DeepEqual(w.Load, g.Load) ||
			w.Verdict.Valid != g.Verdict.Valid || len(w.Slices) != len(g.Slices) || w.Incomplete != g.Incomplete {
			t.Errorf("trial %d is\n%+v %+v\nwant\n%+v %+v", i, g.Subject, g.Verdict, w.Subject, w.Verdict)
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
	eventually(t, 10*time.Second, "a program inside and two servers run", func() bool {
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
		eventually(t, 20*time.Second, "a block is stored", func() bool { found, _ := filepath.Glob(trials); return len(found) >= 2 })
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

func TestCPUMask(t *testing.T) {
	for want, list := range map[string][]int{"00000001": {0}, "00000006": {1, 2}, "00000002,80000001": {0, 31, 33}} {
		if got := cpuMask(list); got != want {
			t.Errorf("mask of %v: %s, want %s", list, got, want)
		}
	}
}
