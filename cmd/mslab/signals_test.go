package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/results/record"
)

// start starts mslab with its output kept.
func start(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("not supported on %s: the phases are built on Linux system calls", runtime.GOOS)
	}
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd = asMslab(t, dir, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdout, stderr
}

// asMslab is a command of the test binary under the name mslab, by which
// TestMain knows it, and so do the servers that it starts.
func asMslab(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	bin := filepath.Join(dir, "bin", "mslab")
	if _, err := os.Stat(bin); err != nil {
		if err := errors.Join(os.Mkdir(filepath.Dir(bin), 0o755), copyFile(bin, os.Args[0])); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bin, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
	return cmd
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// serveForTest starts a server and returns its URL. It is stopped, and its exit
// code checked, when the test ends.
func serveForTest(t *testing.T, dir string, stop syscall.Signal) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("not supported on %s: the phases are built on Linux system calls", runtime.GOOS)
	}
	cmd := asMslab(t, dir, "serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "data")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(stop)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve after %s: %v, want exit code 0", stop, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "mslab", "*")); len(left) > 0 {
			t.Errorf("serve left its registry entry: %v", left)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("read what serve says: %v", err)
	}
	fields := strings.Fields(line)
	if len(fields) != 4 || fields[0] != "listening" || fields[2] != "phase=7" || fields[3] != "name=keepalive" {
		t.Fatalf("serve says %q", line)
	}
	return fields[1]
}

// TestInterruptedLoad wants what was measured so far, marked, the outputs whole,
// and the exit code of the signal.
func TestInterruptedLoad(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			dir := t.TempDir()
			serveForTest(t, dir, signal)
			cmd, stdout, stderr := start(t, dir, "load", "-c", "2", "-d", "1m", "-o", "record.json", "--ledger", "ledger")
			waitFor(t, "the load's first progress line", func() bool { return progressed(dir) })
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its code is looked at
			if got, want := cmd.ProcessState.ExitCode(), 128+int(signal); got != want {
				t.Errorf("exit code %d, want %d; stderr: %s", got, want, stderr)
			}
			if !strings.Contains(stdout.String(), "INCOMPLETE") || !strings.Contains(stdout.String(), "p99") {
				t.Errorf("no figures that are marked incomplete:\n%s", stdout)
			}
			if !strings.HasSuffix(stderr.String(), "mslab: interrupted by "+map[syscall.Signal]string{syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM"}[signal]+"\n") {
				t.Errorf("stderr does not end with the reason: %q", stderr)
			}
			checkInterruptedRecord(t, filepath.Join(dir, "record.json"))
			if left, _ := filepath.Glob(filepath.Join(dir, ".*tmp")); len(left) > 0 {
				t.Errorf("temporary files are left: %v", left)
			}
		})
	}
}

// progressed tells whether the server has stored what the load sent.
func progressed(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "data", "metrics.jsonl"))
	return err == nil && info.Size() > 100_000
}

func checkInterruptedRecord(t *testing.T, path string) {
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
	if !r.Incomplete || r.Counts.OK == 0 {
		t.Errorf("incomplete %v with %d ok, want true and some", r.Incomplete, r.Counts.OK)
	}
	if c := r.Counts; c.Sent != c.OK+c.Failed+c.InFlight {
		t.Errorf("%d sent, but %d ok, %d failed, %d in flight", c.Sent, c.OK, c.Failed, c.InFlight)
	}
}

// TestSecondSignalKills holds that a program that does not end can be ended.
func TestSecondSignalKills(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("kill by a second signal is tested on Linux")
	}
	dir := t.TempDir()
	// The body never comes, and reading it does not look at the context.
	cmd := asMslab(t, dir, "load", "--body", "-", "http://127.0.0.1:1/")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(10 * time.Second)
	for sent := 0; ; sent++ {
		select {
		case <-ended:
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if sent < 2 || !status.Signaled() || status.Signal() != syscall.SIGINT {
				t.Errorf("ended after %d signals with status %v, want death by the second SIGINT or later", sent, status)
			}
			return
		case <-deadline:
			_ = cmd.Process.Kill()
			t.Fatal("still alive after many signals")
		case <-time.After(300 * time.Millisecond):
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
	}
}

// TestInterruptedRun wants the run folder to say that it is incomplete, and no
// server to be left.
func TestInterruptedRun(t *testing.T) {
	dir := t.TempDir()
	cmd, stdout, stderr := start(t, dir, "run", "--phases", "5,7", "-o", "out")
	waitFor(t, "the first trial", func() bool {
		trials, _ := filepath.Glob(filepath.Join(dir, "out", "trials", "*.json"))
		return len(trials) > 1
	})
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 143 {
		t.Errorf("exit code %d, want 143; stderr: %s", got, stderr)
	}
	if !strings.Contains(stdout.String(), "5 pool") {
		t.Errorf("what was measured so far is not printed:\n%s", stdout)
	}
	data, err := os.ReadFile(filepath.Join(dir, "out", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var run struct{ Incomplete bool }
	if err := json.Unmarshal(data, &run); err != nil || !run.Incomplete {
		t.Errorf("run.json is marked incomplete: %v (%v)", run.Incomplete, err)
	}
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}
