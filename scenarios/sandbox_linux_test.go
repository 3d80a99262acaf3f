package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	// A signal that is caught is not ignored in children, as it would be where
	// nohup protects the test itself.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, unix.SIGHUP)
	defer signal.Stop(hangups)
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
			eventually(t, 30*time.Second, "the program inside waits", func() bool { _, err := strconv.Atoi(readFile(file)); return err == nil })
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

func TestCPUMask(t *testing.T) {
	for want, list := range map[string][]int{"00000001": {0}, "00000006": {1, 2}, "00000002,80000001": {0, 31, 33}} {
		if got := cpuMask(list); got != want {
			t.Errorf("mask of %v: %s, want %s", list, got, want)
		}
	}
}
