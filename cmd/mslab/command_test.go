//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func startTestCommand(t *testing.T, out *bytes.Buffer, args ...string) *command {
	t.Helper()
	c, err := startCommand(args, commandStreams{out: out, err: out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// TestCommandIsHeld wants nothing of the command to run before it is let run,
// and its end and its CPU time afterwards.
func TestCommandIsHeld(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	var out bytes.Buffer
	c := startTestCommand(t, &out, "sh", "-c", `echo here; : >"$0"; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3`, mark)
	time.Sleep(50 * time.Millisecond)
	if _, err := os.Stat(mark); err == nil {
		t.Fatal("the command ran before it was let run")
	}
	end, err := c.wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mark); err != nil || out.String() != "here\n" {
		t.Errorf("the command did not run: %v; it said %q", err, &out)
	}
	if err := end.Err(); err == nil || err.Error() != "the command ended: exit status 3" {
		t.Errorf("it ended with %v, want exit status 3", err)
	}
	if end.CPU() <= 0 || end.Length <= 0 || end.Length > 10*time.Second {
		t.Errorf("CPU %s in %s", end.CPU(), end.Length)
	}
}

// TestCommandGetsTheSignal wants the signal that stops this process passed on,
// and the command's own way of ending waited for.
func TestCommandGetsTheSignal(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	var out bytes.Buffer
	c := startTestCommand(t, &out, "sh", "-c", `trap 'echo asked; exit 0' TERM; : >"$0"; while :; do sleep 0.05; done`, ready)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for {
			if _, err := os.Stat(ready); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		cancel(signalError{syscall.SIGTERM})
	}()
	end, err := c.wait(ctx)
	if err != nil || end.Err() != nil || out.String() != "asked\n" {
		t.Errorf("%v, %v; it said %q", err, end.Err(), &out)
	}
}

// TestCommandIsKilled wants nothing left of a command that is given up, held or
// running.
func TestCommandIsKilled(t *testing.T) {
	var out bytes.Buffer
	held := startTestCommand(t, &out, "sleep", "100")
	held.close()
	running := startTestCommand(t, &out, "sleep", "100")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if end, err := running.wait(ctx); err != nil || end.Err() == nil {
		t.Errorf("%v, %v; want it killed", err, end.Err())
	}
	running.close()
	for _, c := range []*command{held, running} {
		if alive(c.PID) {
			t.Errorf("process %d is left", c.PID)
		}
	}
}

func TestCommandCannotStart(t *testing.T) {
	notExecutable := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(notExecutable, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"no-such-command-here": "start no-such-command-here: executable file not found in $PATH",
		notExecutable:          "permission denied",
		t.TempDir():            "permission denied",
	} {
		c, err := startCommand([]string{name}, commandStreams{})
		if err == nil {
			c.close()
			t.Fatalf("%s started", name)
		}
		if !strings.Contains(err.Error(), want) || strings.Count(err.Error(), name) != 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// TestCommandEndsWithUs kills a process that holds a command, and wants the
// command gone too.
func TestCommandEndsWithUs(t *testing.T) {
	if os.Getenv("MSLAB_TEST_HOLDER") != "" {
		c, err := startCommand([]string{"sleep", "100"}, commandStreams{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(c.PID)
		_, _ = c.wait(t.Context())
		return
	}
	holder := exec.Command(os.Args[0], "-test.run", "^TestCommandEndsWithUs$")
	holder.Env = append(os.Environ(), "MSLAB_TEST_HOLDER=1")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	_, err = fmt.Fscan(out, &pid)
	_ = holder.Process.Kill()
	_ = holder.Wait()
	if err != nil {
		t.Fatalf("the holder says no process: %v", err)
	}
	waitFor(t, "the command to end", func() bool { return !alive(pid) })
}

// alive tells whether a process runs; one that nobody has reaped does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}
