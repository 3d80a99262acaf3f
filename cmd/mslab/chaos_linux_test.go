package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"mslab/chaos"
	"mslab/results/record"
	"mslab/scenarios"
	"mslab/server/registry"
)

// chaosInside holds the network namespace that a test came from.
const chaosInside = "MSLAB_TEST_OUTER_NETNS"

// inNamespace runs the calling test once more in a network and mount namespace
// of its own, and returns whether this is that run.
func inNamespace(t *testing.T) bool {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Skip(err)
	}
	if outer := os.Getenv(chaosInside); outer != "" {
		if own == outer {
			t.Fatal("not in a network namespace of its own: nothing is tried")
		}
		if err := scenarios.LoopbackUp(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("takes root, to make a network namespace")
	}
	runtime.LockOSThread() // its death would kill the child
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), chaosInside+"="+own, "XDG_RUNTIME_DIR="+t.TempDir(), "GORACE="+noExitSleep)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("in a namespace:\n%s", out)
	switch {
	case err != nil:
		t.Fatal(err)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		t.Skip("skipped in the namespace")
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")):
		t.Fatal("the test did not run in the namespace")
	}
	return false
}

// serveInside starts a server that registers, and returns when it listens.
func serveInside(t *testing.T, exe string) {
	t.Helper()
	cmd := exec.Command(exe, "serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if entries, err := registry.List(registry.Dir()); err == nil && len(entries) == 1 {
			return
		}
		if time.Now().After(limit) {
			t.Fatal("the server did not register")
		}
	}
}

type chaosReport struct {
	Schema, Fault string
	InjectedAt    time.Time  `json:"injected_at"`
	HealedAt      *time.Time `json:"healed_at"`
	Verified      bool
	Verdict       map[string]any
}

func readReport(t *testing.T, out []byte) chaosReport {
	t.Helper()
	var r chaosReport
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if r.Schema != chaosSchema || r.Fault != "partition" || !r.Verified || r.HealedAt == nil || r.Verdict["healed"] != true {
		t.Errorf("%+v", r)
	}
	return r
}

// TestPartitionTiming holds the time of a partition against what the clients of
// a server saw: the first request that missed its deadline was sent when the
// partition took effect.
func TestPartitionTiming(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	exe := openCopy(t)
	serveInside(t, exe)
	const attempts = 3 // another program may make a request miss its deadline
	var why string
	for range attempts {
		if why = partitionTiming(t, exe); why == "" {
			return
		}
		t.Log(why)
	}
	t.Error(why)
}

// What the times may differ by: 4 clients without a pause between them send a
// request every millisecond at the least.
const (
	timingGap   = time.Millisecond
	timingSlack = 10 * time.Millisecond
	deadline    = 250 * time.Millisecond
)

func partitionTiming(t *testing.T, exe string) (wrong string) {
	t.Helper()
	ledger := filepath.Join(t.TempDir(), "ledger.jsonl")
	load := exec.Command(exe, "load", "-d", "3s", "-c", "4", "--deadline", deadline.String(), "--ledger", ledger)
	load.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	load.Stderr = &said
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	out, err := exec.Command(exe, "chaos", "partition", "--duration", "500ms", "--json").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_ = load.Wait() // its own verdict is not asked for
	report := readReport(t, out)
	file, err := os.Open(ledger)
	if err != nil {
		t.Fatalf("%v; the load said: %s", err, &said)
	}
	defer file.Close()
	first := int64(math.MaxInt64) // Unix time in ns
	for b, err := range record.ReadLedger(file) {
		if err != nil {
			t.Fatal(err)
		}
		if b.Outcome != record.BatchOK || b.AnsweredNS-b.SentNS > deadline.Nanoseconds() {
			first = min(first, b.SentNS)
		}
	}
	if first == math.MaxInt64 {
		return "no request missed its deadline"
	}
	after := time.Unix(0, first).Sub(report.InjectedAt)
	t.Logf("the first request to miss its deadline was sent %s after injected_at (known within %v ns)", after, report.Verdict["injected_within_ns"])
	if after < -timingSlack || after > timingSlack+timingGap {
		return fmt.Sprintf("sent %s after injected_at, want between %s and %s", after, -timingSlack, timingSlack+timingGap)
	}
	return ""
}

// TestPartitionIsInterrupted sends Ctrl-C: it heals, prints what was, and exits
// as interrupted.
func TestPartitionIsInterrupted(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	exe := openCopy(t)
	serveInside(t, exe)
	cmd := exec.Command(exe, "chaos", "partition")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "is in force") {
		t.Fatalf("%q, %v", line, err)
	}
	status, err := exec.Command(exe, "chaos", "status").Output()
	if err != nil || !bytes.Contains(status, []byte("partition ")) {
		t.Errorf("%s, %v", status, err)
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	rest, _ := io.ReadAll(lines)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || string(rest) != "mslab: interrupted by SIGINT\n" {
		t.Errorf("exit %d, %q", code, rest)
	}
	for line := range strings.Lines(stdout.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(stdout.String(), "packets dropped") {
		t.Errorf("printed:\n%s", &stdout)
	}
	if out, err := exec.Command(exe, "chaos", "heal").Output(); err != nil || string(out) != "Nothing is left.\n" {
		t.Errorf("%s, %v", out, err)
	}
}

// TestPartitionIsKilled holds that the program as users have it heals after kill
// -9, and leaves neither a rule nor a process.
func TestPartitionIsKilled(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	exe := openCopy(t)
	serveInside(t, exe)
	entries, err := registry.List(registry.Dir())
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	address := strings.TrimPrefix(entries[0].URL, "http://")
	for _, via := range []string{"nft", "nft-lease", "iptables"} {
		if via == "iptables" {
			if _, err := exec.LookPath(via); err != nil {
				t.Skip(err)
			}
		}
		cmd := exec.Command(exe, "chaos", "partition", "--via", via)
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stderr).ReadString('\n'); err != nil {
			t.Fatalf("%s: %q, %v", via, line, err)
		}
		active, _, err := chaos.List(chaos.Dir())
		if err != nil || len(active) != 1 {
			t.Fatalf("%s: %v, %v", via, active, err)
		}
		_ = cmd.Process.Kill()
		killed := time.Now()
		_ = cmd.Wait()
		for {
			c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
			if err == nil {
				_ = c.Close()
				break
			}
			if time.Since(killed) > 2*time.Second {
				t.Fatalf("%s: still cut off %s after kill -9", via, time.Since(killed))
			}
		}
		t.Logf("%s: connected %s after kill -9", via, time.Since(killed))
		for {
			left, _, err := chaos.List(chaos.Dir())
			if err == nil && len(left) == 0 && !running(active[0].Reaper.PID) {
				break
			}
			if time.Since(killed) > 2*time.Second {
				t.Fatalf("%s: left %v, %v; the reaper runs: %v", via, left, err, running(active[0].Reaper.PID))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// running tells whether there is a process of this id that has not ended; in a
// container nobody may wait for one whose parent was killed.
func running(pid int) bool {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return false
	}
	stat, err := process.Stat()
	return err == nil && stat.State != "Z"
}

// TestPartitionAsNobody holds that an unprivileged user is told what is missing,
// in a line, and that nothing is left.
func TestPartitionAsNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root, to become another user")
	}
	exe, dir := openCopy(t), t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	var stderr bytes.Buffer
	cmd := exec.Command(exe, "chaos", "partition", "--port", "1")
	cmd.Dir, cmd.Stderr = "/", &stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "GORACE=" + noExitSleep}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 1 || len(out) > 0 {
		t.Errorf("exit %d (%v), stdout %q", code, err, out)
	}
	line := stderr.String()
	if strings.Count(line, "\n") != 1 || !strings.Contains(line, "CAP_NET_ADMIN") || !strings.Contains(line, "mslab run partition") {
		t.Errorf("stderr: %q", line)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestFaultsFitTheTerminal lists the faults where nothing works, for reasons with
// long words in them.
func TestFaultsFitTheTerminal(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root, to become another user")
	}
	cmd := exec.Command(openCopy(t), "chaos", "list")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "GORACE="+noExitSleep)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if words := strings.Fields(line); len(words) > 1 && utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 80 { // a word alone cannot be broken
			t.Errorf("over 80 columns: %s", line)
		}
	}
	for _, fault := range []string{"partition", "memory"} {
		if !strings.Contains(string(out), fmt.Sprintf("\n%s: ", fault)) {
			t.Errorf("no reason for %s in\n%s", fault, out)
		}
	}
}
