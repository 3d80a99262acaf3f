package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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

// runInside plays a role of the test binary inside a namespace.
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
}

// insideRole reports on the namespace; with "exit N" it ends so, with "wait" it
// waits for a signal.
func insideRole(args []string) int {
	switch args[0] {
	case "exit":
		n, _ := strconv.Atoi(args[1])
		return n
	case "wait":
		_ = os.WriteFile(args[1], []byte(strconv.Itoa(os.Getpid())), 0o600)
		time.Sleep(time.Minute)
		return 9
	}
	report := insideReport{Inside: Inside()}
	if err := loopbackUp(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
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
	file := sysctlPath("net.ipv4.tcp_abort_on_overflow")
	restore, err := setSysctls(map[string]string{"net.ipv4.tcp_abort_on_overflow": "1"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	report.Abort = readFile(file)
	unsteer, err := steerReceive([]int{0})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	mounted, _ := filepath.Glob(filepath.Join(os.TempDir(), "mslab-sys-*/class/net/lo/queues/rx-0/rps_cpus"))
	if len(mounted) == 1 {
		report.Steered = readFile(mounted[0])
	}
	if err := unsteer(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := restore(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	report.Restored = readFile(file)
	return printJSON(report)
}

func readFile(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}

func TestNamespaceIsItsOwn(t *testing.T) {
	sandbox := wantSandbox(t)
	host := readFile(sysctlPath("net.ipv4.tcp_abort_on_overflow"))
	exit, out := runInside(t, t.Context(), roleInside, "report")
	var got insideReport
	if err := json.Unmarshal([]byte(out), &got); err != nil || exit != 0 {
		t.Fatalf("exit %d, %v: %s", exit, err, out)
	}
	if got.Inside != sandbox || !got.Loopback || len(got.Interfaces) == 0 || got.Abort != "1" || got.Restored != "0" {
		t.Errorf("inside: %+v", got)
	}
	if !strings.HasSuffix(got.Steered, "1") {
		t.Errorf("packets are steered to the cores %q, want core 0", got.Steered)
	}
	if after := readFile(sysctlPath("net.ipv4.tcp_abort_on_overflow")); after != host {
		t.Errorf("the host's tcp_abort_on_overflow was %s and is %s", host, after)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNamespacePassesExitCodesOn(t *testing.T) {
	if exit, _ := runInside(t, t.Context(), roleInside, "exit", "42"); exit != 42 {
		t.Errorf("exit %d, want 42", exit)
	}
}

func TestNamespaceEndsWithItsContext(t *testing.T) {
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

func TestCPUMask(t *testing.T) {
	for want, list := range map[string][]int{"00000001": {0}, "00000006": {1, 2}, "00000002,80000001": {0, 31, 33}} {
		if got := cpuMask(list); got != want {
			t.Errorf("mask of %v: %s, want %s", list, got, want)
		}
	}
}
