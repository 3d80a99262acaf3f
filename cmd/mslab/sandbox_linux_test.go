package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mslab/results"
	"mslab/scenarios"
)

// terminal is a pseudo-terminal with what was written to it.
type terminal struct {
	master, slave *os.File
	mu            sync.Mutex
	shown         bytes.Buffer
}

// newTerminal opens a terminal that stops programs which write from the
// background (stty tostop).
func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("open a pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		mode.Lflag |= unix.TOSTOP
		err = unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{master: master, slave: slave}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			term.mu.Lock()
			term.shown.Write(buffer[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return term
}

func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.shown.String()
}

// start runs a command as the leader of a session on the terminal.
func (term *terminal) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.slave, term.slave, term.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

func (term *terminal) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(term.text(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %q, shown is %q", text, term.text())
		}
	}
}

func (term *terminal) key(t *testing.T, key byte) {
	t.Helper()
	if _, err := term.master.Write([]byte{key}); err != nil {
		t.Fatal(err)
	}
}

const ctrlC, ctrlZ = 3, 26

func wantSandbox(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("plays for seconds: skipped by -short")
	}
	if _, err := scenarios.FindSandbox(t.Context()); err != nil {
		t.Skip(err.Error())
	}
}

// TestTerminalInterruptsASandboxOnce wants live progress from the sandbox, and
// of one Ctrl-C one end, with what was measured.
func TestTerminalInterruptsASandboxOnce(t *testing.T) {
	wantSandbox(t)
	dir, term := t.TempDir(), newTerminal(t)
	cmd := asMslab(t, dir, "run", "--phases", "5,7", "--blocks", "50", "--sandbox", "on", "-o", "out")
	term.start(t, cmd)
	term.await(t, "2 of 50") // the view writes what has changed
	term.key(t, ctrlC)
	_ = cmd.Wait() // its code is looked at
	term.await(t, "interrupted by SIGINT")
	if got := cmd.ProcessState.ExitCode(); got != 130 {
		t.Errorf("exit code %d, want 130; shown: %q", got, term.text())
	}
	if n := strings.Count(term.text(), "interrupted by SIGINT"); n != 1 || !strings.Contains(term.text(), "7 keepalive") {
		t.Errorf("the end is told %d times: %q", n, term.text())
	}
	run, err := results.OpenRun(filepath.Join(dir, "out"))
	if err != nil || !run.Incomplete || len(run.Trials) < 2 {
		t.Errorf("%v, %+v", err, run)
	}
}

// TestTerminalStopsASandbox stops a run by Ctrl-Z at a shell and continues it.
func TestTerminalStopsASandbox(t *testing.T) {
	wantSandbox(t)
	dir, term := t.TempDir(), newTerminal(t)
	run := asMslab(t, dir, "run", "--phases", "5,7", "--blocks", "50", "--sandbox", "on", "-o", "out")
	cmd := exec.Command("sh", "-mc", fmt.Sprintf(`%s; echo "paused $?"; sleep 2; echo goes on; fg; echo "ended $?"`, strings.Join(run.Args, " ")))
	cmd.Dir, cmd.Env = run.Dir, run.Env
	term.start(t, cmd)
	term.await(t, "block 1 of 50")
	term.key(t, ctrlZ)
	term.await(t, "goes on")
	_, after, _ := strings.Cut(term.text(), "paused")
	if paused, _, _ := strings.Cut(after, "goes on"); strings.Contains(paused, "block") {
		t.Errorf("the run goes on while it is stopped: %q", paused)
	}
	term.await(t, "goes on\r\n")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, on, _ := strings.Cut(term.text(), "goes on\r\n"); strings.Contains(on, "block") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the run does not go on: %q", term.text())
		}
	}
	term.key(t, ctrlC)
	term.await(t, "ended 130")
}

// TestStopWithoutAShell types Ctrl-Z where nobody could continue the run.
func TestStopWithoutAShell(t *testing.T) {
	wantSandbox(t)
	dir, term := t.TempDir(), newTerminal(t)
	cmd := asMslab(t, dir, "run", "--phases", "5,7", "--blocks", "50", "--sandbox", "on", "-o", "out")
	term.start(t, cmd)
	term.await(t, "block 1 of 50")
	term.key(t, ctrlZ)
	term.await(t, "2 of 50")
	term.key(t, ctrlC)
	_ = cmd.Wait() // its code is looked at
	if got := cmd.ProcessState.ExitCode(); got != 130 {
		t.Errorf("exit code %d, want 130; shown: %q", got, term.text())
	}
}
