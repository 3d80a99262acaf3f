package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/chaos"
	"mslab/results/record"
	"mslab/server/registry"
)

// memoryVerdict is what the tests read of mslab chaos memory --json.
type memoryVerdict struct {
	Schema     string
	Fault      string
	InjectedAt time.Time  `json:"injected_at"`
	HealedAt   *time.Time `json:"healed_at"`
	Verified   bool
	Verdict    struct {
		Healed       bool
		Cgroup       string
		LimitBytes   int64   `json:"limit_bytes"`
		LimitHits    int64   `json:"limit_hits"`
		LimitReached bool    `json:"limit_reached"`
		UsagePeak    int64   `json:"usage_peak_bytes"`
		BySecond     []int64 `json:"usage_by_second_bytes"`
		OOMKilled    bool    `json:"oom_killed"`
		Survived     bool
		Blocks       int
		OOMEventNS   int64 `json:"oom_event_ns"`
		DeadNS       int64 `json:"dead_ns"`
		Elsewhere    int64 `json:"oom_kills_elsewhere"`
	}
}

// chaosMemory runs mslab chaos memory --json and returns its exit code too.
func chaosMemory(t *testing.T, dir string, args ...string) (v memoryVerdict, code int, stderr string) {
	t.Helper()
	cmd := asMslab(t, dir, append([]string{"chaos", "memory", "--json"}, args...)...)
	cmd.Env = append(cmd.Env, "GORACE="+noExitSleep)
	stdout, said := &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, said
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		code = exit.ExitCode()
	}
	if stdout.Len() == 0 {
		return v, code, said.String()
	}
	if err := json.Unmarshal(stdout.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if v.Schema != "mslab.chaos/v1" || v.Fault != "memory" || v.HealedAt == nil || !v.Verdict.Healed {
		t.Errorf("%+v", v)
	}
	if v.Verdict.Cgroup != "" {
		if _, err := os.Stat(v.Verdict.Cgroup); !os.IsNotExist(err) {
			t.Errorf("cgroup %s is left: %v", v.Verdict.Cgroup, err)
		}
	}
	return v, code, said.String()
}

// needMemoryFault skips where no group can be made.
func needMemoryFault(t *testing.T) {
	t.Helper()
	f, err := chaos.Find("memory")
	if err == nil {
		err = f.Try(t.Context(), chaos.Spec{Fault: "memory"})
	}
	if err != nil {
		t.Skip(err)
	}
}

// memoryGroupOf is a process' place in the hierarchies.
func memoryGroupOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSqueezeOfALiveServer squeezes a server under load and when idle. It lives,
// is where it was, and serves as before.
func TestSqueezeOfALiveServer(t *testing.T) {
	needMemoryFault(t)
	dir := t.TempDir()
	// As its users have it: the race detector's own memory would be squeezed too.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o755), os.Rename(buildPlain(t), filepath.Join(dir, "bin", "mslab"))); err != nil {
		t.Fatal(err)
	}
	serveForTest(t, dir, syscall.SIGTERM)
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Join(dir, "mslab", "chaos")) })
	entries, err := registry.List(filepath.Join(dir, "mslab"))
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	pid := entries[0].PID
	former := memoryGroupOf(t, pid)
	warm := func() *record.Record {
		t.Helper()
		cmd, _, stderr := start(t, dir, "load", "-c", "4", "-d", "1s", "--metrics", "200", "-o", "record.json")
		// On a machine that is busy the measurement may be invalid, which is no matter
		// here.
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != exitInvalid {
			t.Fatalf("load: %v: %s", err, stderr)
		}
		return readRecordFile(t, filepath.Join(dir, "record.json"))
	}
	warm()

	// What is written to disk is kept in memory, and counts: the limit is reached,
	// and the kernel reclaims without anybody running out.
	duration := 2 * time.Second
	squeeze := func() (memoryVerdict, int, string) {
		t.Helper()
		load, _, _ := start(t, dir, "load", "-c", "4", "-d", (duration + 2*time.Second).String(), "--metrics", "200")
		defer func() { _ = load.Wait() }() // how it fares is the fault's business
		time.Sleep(300 * time.Millisecond)
		return chaosMemory(t, dir, "--duration", duration.String(), "--headroom", "24MiB")
	}
	v, code, stderr := squeeze()
	for tries := 1; tries < 3 && !v.Verdict.LimitReached; tries++ {
		t.Logf("a machine too busy for a load that fills memory within %s: %+v", duration, v.Verdict)
		duration *= 3
		v, code, stderr = squeeze()
	}
	if code != 0 || !v.Verified || !v.Verdict.LimitReached || v.Verdict.LimitHits == 0 || !v.Verdict.Survived || v.Verdict.OOMKilled {
		t.Errorf("under load: exit code %d, %+v, %s", code, v, stderr)
	}
	if len(v.Verdict.BySecond) < 2 || v.Verdict.UsagePeak < 23<<20 {
		t.Errorf("usage: %+v", v.Verdict)
	}
	if lasted := v.HealedAt.Sub(v.InjectedAt); lasted < duration || lasted > duration+5*time.Second {
		t.Errorf("lasted %s, want %s", lasted, duration)
	}
	if got := memoryGroupOf(t, pid); got != former {
		t.Errorf("the server is in\n%swant\n%s", got, former)
	}
	if r := warm(); r.Counts.OK == 0 || r.Counts.Failed != 0 {
		t.Errorf("after healing: %+v", r.Counts)
	}

	v, code, stderr = chaosMemory(t, dir, "--duration", "200ms", "--limit", "1GiB", "--pid", strconv.Itoa(pid))
	if code != 1 || v.Verified || v.Verdict.LimitReached || v.Verdict.LimitBytes != 1<<30 || !strings.Contains(stderr, "did not bite") {
		t.Errorf("idle: exit code %d, %+v, %s", code, v, stderr)
	}
	if got := memoryGroupOf(t, pid); got != former {
		t.Errorf("the server is in\n%swant\n%s", got, former)
	}
}

// TestHogFromTheCommandLine needs no server.
func TestHogFromTheCommandLine(t *testing.T) {
	needMemoryFault(t)
	v, code, stderr := chaosMemory(t, t.TempDir(), "--mode", "hog")
	d := v.Verdict
	if code != 0 || !v.Verified || !d.OOMKilled || d.Blocks < 3 || d.Blocks > 6 || d.DeadNS <= 0 || d.LimitBytes != 64<<20 {
		t.Errorf("exit code %d, %+v, %s", code, v, stderr)
	}
}

// TestMemoryNamesWhatIsWrong wants one line and the exit code.
func TestMemoryNamesWhatIsWrong(t *testing.T) {
	needMemoryFault(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{}, 1, "none is running"},
		{[]string{"--pid", strconv.Itoa(os.Getpid())}, 1, "is no server"},
		{[]string{"--pid", "1"}, 1, "is no server"},
		{[]string{"--mode", "hog", "--blocks", "1"}, 2, "fit into a limit"},
		{[]string{"--mode", "hog", "--limit", "some"}, 2, "read size"},
		{[]string{"--mode", "hog", "--oom", "never"}, 2, "want one of pause, kill"},
	} {
		cmd, stdout, stderr := start(t, t.TempDir(), append([]string{"chaos", "memory"}, c.args...)...)
		_ = cmd.Wait() // its code is looked at
		line := stderr.String()
		if got := cmd.ProcessState.ExitCode(); got != c.code || !strings.Contains(line, c.says) || strings.Count(line, "\n") != 1 || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d, %q, stdout %q; want %d, %q", c.args, got, line, stdout, c.code, c.says)
		}
	}
}

func readRecordFile(t *testing.T, path string) *record.Record {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := record.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
