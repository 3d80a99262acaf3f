package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays several parts.
const (
	roleEnv    = "MSLAB_TEST_ROLE"
	roleReaper = "reaper"
	roleTool   = "tool" // injects, and waits to be killed
	// insideEnv holds the network namespace that a test came from.
	insideEnv = "MSLAB_TEST_OUTER_NETNS"
)

func TestMain(m *testing.M) {
	args := os.Args[1:]
	// With the race detector a program sleeps for a second before it ends.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		os.Exit(exitOf(err))
	}
	switch {
	case os.Getenv(ReaperVariable) != "":
		if len(args) != 2 || args[0] != roleReaper {
			fmt.Fprintln(os.Stderr, "refuse to test: this is a reaper")
			os.Exit(2)
		}
		os.Exit(exitOf(Reap(args[1])))
	case os.Getenv(roleEnv) == roleTool:
		os.Exit(exitOf(toolRole(args)))
	}
	os.Exit(m.Run())
}

func exitOf(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// options are those of the tests: the journal in dir, this binary as reaper.
func options(dir string) Options {
	return Options{Dir: dir, Reaper: []string{roleReaper}}
}

// toolRole injects a partition as the tool does: DIR PORT DURATION NAME=VALUE...
// It says when it has injected.
func toolRole(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	port, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	duration, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	s := Spec{Fault: "partition", Target: Target{Port: port}, Duration: duration, Options: map[string]string{}}
	for _, o := range args[3:] {
		name, value, _ := strings.Cut(o, "=")
		s.Options[name] = value
	}
	i, err := Inject(ctx, s, options(args[0]))
	if err != nil {
		return err
	}
	fmt.Println("injected", i.Status().ID)
	<-i.Done()
	return i.Heal(context.Background())
}

// inNamespace runs the calling test once more in a network and mount namespace
// of its own, without root in a user namespace too, and returns whether this is
// that run. Outside it skips where no namespace can be made.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if inside(t) {
		return true
	}
	t.Parallel()           // what it does it does in there, and mostly waits
	runtime.LockOSThread() // its death would kill the child
	defer runtime.UnlockOSThread()
	cmd := again(t, "/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Unshareflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	relay(t, cmd)
	return false
}

// inUserNamespace does the same as an unprivileged user, who is root in a user
// namespace of its own.
func inUserNamespace(t *testing.T) bool {
	t.Helper()
	if inside(t) {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("takes root, to become another user")
	}
	t.Parallel()
	for _, tool := range []string{"setpriv", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	exe := openCopy(t)
	unprivileged := []string{"--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Urnm", "--kill-child", "--fork"}
	if out, err := exec.Command("setpriv", append(unprivileged, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no user namespaces for this user: %v: %s", err, out)
	}
	cmd := again(t, exe)
	cmd.Args = append(append([]string{"setpriv"}, unprivileged...), append([]string{exe}, cmd.Args[1:]...)...)
	cmd.Path, _ = exec.LookPath("setpriv")
	cmd.Env = append(cmd.Env, "TMPDIR="+filepath.Dir(exe), "XDG_RUNTIME_DIR=")
	cmd.Dir = "/"
	relay(t, cmd)
	return false
}

// openCopy copies this binary to where every user can run it and write.
func openCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "chaos.test")
	if err := os.WriteFile(exe, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return exe
}

// inside tells whether this is the run in the namespace, and readies it.
func inside(t *testing.T) bool {
	t.Helper()
	outer := os.Getenv(insideEnv)
	if outer == "" {
		return false
	}
	own, err := ownNetNS()
	if err != nil || strconv.FormatUint(own, 10) == outer {
		t.Fatalf("not in a network namespace of its own (%v): nothing is tried", err)
	}
	if err := loopbackUp(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m"); err != nil {
		t.Fatal(err)
	}
	return true
}

func again(t *testing.T, exe string) *exec.Cmd {
	t.Helper()
	own, err := ownNetNS()
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	if testing.Short() {
		cmd.Args = append(cmd.Args, "-test.short")
	}
	cmd.Env = append(os.Environ(), insideEnv+"="+strconv.FormatUint(own, 10))
	return cmd
}

// relay runs the test in the namespace and takes over how it ended.
func relay(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	t.Logf("in a namespace:\n%s", out)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSPC): // user.max_user_namespaces
		t.Skipf("no namespace can be made: %v", err)
	case err != nil:
		t.Fatal(err)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		t.Skip("skipped in the namespace")
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")):
		t.Fatal("the test did not run in the namespace")
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return err
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// listen starts a server that answers each line, and returns its port.
func listen(t *testing.T, address string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// connects tells whether a connection to the port is made at once, reaches
// whether it is made at all on a machine that is busy.
func connects(address string, port int) bool { return dials(address, port, 100*time.Millisecond) }
func reaches(address string, port int) bool  { return dials(address, port, 3*time.Second) }

func dials(address string, port int, within time.Duration) bool {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(address, strconv.Itoa(port)), within)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// needTools skips where a program is missing.
func needTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := findTool(tool); err != nil {
			t.Skip(err)
		}
	}
}

// nft runs the command; ruleset is what it lists.
func nft(t *testing.T, input string, args ...string) string {
	t.Helper()
	path, err := findTool("nft")
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("nft %v: %v: %s", args, err, exit.Stderr)
		}
		t.Fatalf("nft %v: %v", args, err)
	}
	return string(out)
}

func ruleset(t *testing.T) string { t.Helper(); return nft(t, "", "list", "ruleset") }

// journal is a folder for the tests, as private as it must be.
func journal(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mslab", "chaos")
	if err := openFolder(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// entriesIn are the names of all in the journal but its lock.
func entriesIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if f.Name() != "lock" && f.Name() != "xtables.lock" {
			names = append(names, f.Name())
		}
	}
	return names
}

func eventually(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(within); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// tool starts the tool; its output is read by the caller.
func tool(t *testing.T, dir string, port int, duration string, options ...string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{dir, strconv.Itoa(port), duration}, options...)...)
	cmd.Env = append(os.Environ(), roleEnv+"="+roleTool)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}
