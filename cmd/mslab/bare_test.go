//go:build linux

package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"mslab/ebpf"
	"mslab/scenarios"
)

// bareCommand is one of the commands that work as typed, with nothing set up
// but `mslab serve` in another window.
type bareCommand struct {
	typed string
	load  bool           // another window loads the server all the while
	lacks func() string  // why it cannot work here; nil or "" where it can
	asks  [][2]string    // what it shows when it asks, and what the user types then
	wants []string       // expressions, in this order, in what is shown
	above map[string]int // an expression with one group -> the least that it stands for
}

// bareCommands are played one after the other; each list side by side.
var bareCommands = [][]bareCommand{
	{
		{
			typed: "mslab load --clients 100",
			wants: []string{`phase 7 keepalive at http://127\.0\.0\.1:8080/metrics:\s+100\s+clients`, `p99`, `verdict: valid`},
			above: map[string]int{`requests: (\d+) sent`: 1000, `sent: (\d+) ok`: 1000},
		},
		{
			typed: "mslab compare",
			wants: []string{`Run results/phases, of .* is the newest`, `server\.cpu_ns_per_request`, `pool +mutex-pool +-\d`, `faster`},
		},
	},
	{
		{
			typed: "mslab profile cpu", load: true,
			wants: []string{`cpu\s+profile\s+of\s+phase\s+7\s+keepalive`, `a request`, `exec pool`, `flat %`, `Cost of the`},
			above: map[string]int{`with\s+(\d+)\s+requests`: 1000},
		},
		{
			typed: "mslab trace syscalls", load: true,
			lacks: func() string {
				if _, err := ebpf.CheckSyscalls(""); err != nil {
					return err.Error()
				}
				return ""
			},
			wants: []string{`system\s+calls\s+of\s+phase\s+7\s+keepalive`, `calls +/req`, `nothing\s+dropped`},
			above: map[string]int{`(?m)^read +([\d,]+)`: 1000, `(?m)^write +([\d,]+)`: 1000, `(?m)^accept4 +([\d,]+)`: 1000},
		},
	},
	{
		{
			typed: "mslab chaos partition", load: true,
			lacks: func() string {
				if os.Geteuid() != 0 {
					return "a fault on this host's network needs root"
				}
				return ""
			},
			wants: []string{`partition of 127\.0\.0\.1:8080`, `healed at`, `lasted +30\.\d+s`, `verified +yes`},
		},
		{
			typed: "mslab learn 1",
			asks:  [][2]string{{`Your prediction of [^:]* phase 5 [^:]*:\n$`, "1s"}, {`Your prediction of [^:]* phase 7 [^:]*:\n$`, "2ms"}},
			wants: []string{`run folder`, `latency\.p99 +1\.00s`, `latency\.p99 +2\.00ms`, `overflows`, `To try next`},
		},
		{
			typed: "mslab doctor",
			wants: []string{`cores`, `bpf tp_btf`, `\d+ of \d+ work`},
		},
	},
}

const (
	bareWidth, bareHeight = 80, 24
	bareLimit             = 40 * time.Second
	prompt                = "$"

	// loadLine has the server make all the calls that a connection takes.
	loadLine = "mslab load --connection new --duration 5m"
)

// TestBareCommands types the commands of the README at a shell, in windows of 80
// by 24, as they stand there. The windows share a network namespace of their own
// where that can be made, since the default ports are in use elsewhere.
func TestBareCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than a minute: skipped by -short")
	}
	desk := newDesk(t)
	server := desk.open(t)
	server.enter(t, "mslab serve")
	server.await(t, `listening http://127\.0\.0\.1:8080 phase=7 name=keepalive`, 10*time.Second)
	server.await(t, `admin http://127\.0\.0\.1:6060`, 10*time.Second)
	for _, side := range bareCommands {
		desk.play(t, side)
	}
	server.interrupt(t)
	if shown, exit := server.finish(t, 0, 10*time.Second); exit != 0 {
		t.Errorf("mslab serve ends with %d after ^C, want 0:\n%s", exit, shown)
	}
	server.check(t, "mslab serve")
}

// play types commands into a window each and waits for them all.
func (d *desk) play(t *testing.T, commands []bareCommand) {
	loaded := false
	for _, c := range commands {
		loaded = loaded || c.load
	}
	if loaded {
		load := d.open(t)
		load.enter(t, loadLine)
		load.await(t, `ok \d`, 10*time.Second)
		defer func() {
			load.interrupt(t)
			if shown, exit := load.finish(t, 0, 10*time.Second); exit != 130 {
				t.Errorf("mslab load ends with %d after ^C, want 130:\n%s", exit, shown)
			}
			load.check(t, loadLine)
		}()
	}
	windows := make([]*window, len(commands))
	t.Run("", func(t *testing.T) { // waits for the parallel ones
		for i, c := range commands {
			windows[i] = d.open(t)
			t.Run(c.typed, func(t *testing.T) {
				t.Parallel()
				if c.lacks != nil {
					if why := c.lacks(); why != "" {
						t.Skip(why)
					}
				}
				windows[i].play(t, c)
			})
		}
	})
}

func (w *window) play(t *testing.T, c bareCommand) {
	started := time.Now()
	from := w.enter(t, c.typed)
	for _, ask := range c.asks {
		w.await(t, ask[0], bareLimit)
		w.enter(t, ask[1])
	}
	shown, exit := w.finish(t, from, bareLimit)
	if exit != 0 {
		t.Errorf("exit code %d, want 0", exit)
	}
	rest := shown
	for _, want := range c.wants {
		at := regexp.MustCompile(want).FindStringIndex(rest)
		if at == nil {
			t.Errorf("%s is not shown, or not in its place", want)
			continue
		}
		rest = rest[at[1]:]
	}
	for want, least := range c.above {
		match := regexp.MustCompile(want).FindStringSubmatch(shown)
		if match == nil {
			t.Errorf("%s is not shown", want)
		} else if n, err := strconv.Atoi(strings.ReplaceAll(match[1], ",", "")); err != nil || n < least {
			t.Errorf("%s is %s, want at least %d", want, match[1], least)
		}
	}
	w.check(t, c.typed)
	if t.Failed() || testing.Verbose() {
		t.Logf("%s after the user typed %s:\n%s", time.Since(started).Round(time.Millisecond), c.typed, shown)
	}
}

// desk is where a user sits: windows on one machine, in one folder.
type desk struct {
	dir     string
	bin     string                   // where the program is
	network func(func() error) error // starts what belongs to the same network
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{dir: t.TempDir(), bin: filepath.Dir(buildPlain(t)), network: ownNetwork(t)}
	reference := os.DirFS(filepath.Join("..", "..", "results", "reference", "phases"))
	if err := os.CopyFS(filepath.Join(d.dir, "results", "phases"), reference); err != nil {
		t.Fatal(err)
	}
	return d
}

// ownNetwork makes a network namespace and returns what starts processes in it.
// Where that is not allowed it is the host's, and the default ports must be free.
func ownNetwork(t *testing.T) func(func() error) error {
	t.Helper()
	type job struct {
		run  func() error
		done chan error
	}
	jobs, ready := make(chan job), make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = scenarios.LoopbackUp()
		}
		ready <- err
		for j := range jobs {
			j.done <- j.run()
		}
	}()
	t.Cleanup(func() { close(jobs) })
	switch err := <-ready; {
	case errors.Is(err, unix.EPERM):
		for _, address := range []string{"127.0.0.1:8080", "127.0.0.1:6060"} {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Skipf("a network namespace needs root, and the default address is in use: %v", err)
			}
			_ = l.Close()
		}
	case err != nil:
		t.Fatal(err)
	}
	return func(run func() error) error {
		j := job{run, make(chan error, 1)}
		jobs <- j
		return <-j.done
	}
}

// window is a terminal with a shell.
type window struct {
	tty   *os.File
	shell *exec.Cmd

	mu     sync.Mutex
	screen *screen
	raw    []byte        // all that was written
	ended  chan struct{} // closed once nothing more comes
}

// open opens a window and waits for its prompt. It is closed with the test.
func (d *desk) open(t *testing.T) *window {
	t.Helper()
	w := &window{screen: newScreen(bareWidth, bareHeight), ended: make(chan struct{})}
	w.shell = exec.Command("/bin/sh", "-i")
	w.shell.Dir = d.dir
	w.shell.Env = []string{"PATH=" + d.bin + ":" + os.Getenv("PATH"), "HOME=" + d.dir, "PS1=" + prompt + " ",
		"TERM=xterm-256color", "XDG_RUNTIME_DIR=" + d.dir, "TMPDIR=" + os.TempDir(), "LC_ALL=C.UTF-8"}
	// A shell that nohup protects along with the test would outlive its terminal.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
	err := d.network(func() (err error) {
		w.tty, err = pty.StartWithSize(w.shell, &pty.Winsize{Rows: bareHeight, Cols: bareWidth})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	go w.read()
	t.Cleanup(w.close)
	w.awaitPrompt(t, 0, 10*time.Second)
	return w
}

func (w *window) read() {
	defer close(w.ended)
	data := make([]byte, 4096)
	for {
		n, err := w.tty.Read(data)
		w.mu.Lock()
		w.raw = append(w.raw, data[:n]...)
		_, _ = w.screen.Write(data[:n])
		w.mu.Unlock()
		if err != nil {
			return // EIO where the last process has closed its end
		}
	}
}

// close hangs up: the shell ends, and with it what it still runs.
func (w *window) close() {
	_ = w.tty.Close()
	_ = syscall.Kill(-w.shell.Process.Pid, syscall.SIGKILL)
	_ = w.shell.Wait() // killed
	<-w.ended
}

// enter types a line and returns where what it shows begins.
func (w *window) enter(t *testing.T, line string) (from int) {
	t.Helper()
	w.mu.Lock()
	from = w.screen.row + 1
	w.mu.Unlock()
	if _, err := w.tty.WriteString(line + "\r"); err != nil {
		t.Fatalf("type %s: %v", line, err)
	}
	return from
}

// interrupt types Ctrl-C.
func (w *window) interrupt(t *testing.T) {
	t.Helper()
	if _, err := w.tty.Write([]byte{3}); err != nil {
		t.Fatalf("type ^C: %v", err)
	}
}

// finish waits until the shell asks again, and asks it how the command ended.
func (w *window) finish(t *testing.T, from int, within time.Duration) (shown string, exit int) {
	t.Helper()
	end := w.awaitPrompt(t, from, within)
	w.mu.Lock()
	shown = w.screen.text(from)
	w.mu.Unlock()
	shown = strings.TrimSuffix(shown, prompt+"\n")
	w.enter(t, "echo $?")
	w.awaitPrompt(t, end+1, 5*time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	exit, err := strconv.Atoi(strings.TrimSpace(string(w.screen.lines[end+1])))
	if err != nil {
		t.Fatalf("the shell says %q for the exit code of the command that showed\n%s", string(w.screen.lines[end+1]), shown)
	}
	return shown, exit
}

// awaitPrompt waits for a prompt on a line of its own, from the line from on,
// and returns where it is.
func (w *window) awaitPrompt(t *testing.T, from int, within time.Duration) (row int) {
	t.Helper()
	w.until(t, "the prompt", within, func(s *screen) bool {
		row = s.row
		line := strings.TrimSpace(strings.TrimPrefix(string(s.lines[s.row]), "^C")) // of a program that says no more
		return s.row >= from && line == prompt && s.column > 0 && s.lines[s.row][s.column-1] == ' '
	})
	return row
}

// await waits until an expression is shown.
func (w *window) await(t *testing.T, expression string, within time.Duration) {
	t.Helper()
	want := regexp.MustCompile(expression)
	w.until(t, expression, within, func(s *screen) bool { return want.MatchString(s.text(0)) })
}

func (w *window) until(t *testing.T, what string, within time.Duration, holds func(*screen) bool) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		w.mu.Lock()
		held, shown := holds(w.screen), w.screen.text(0)
		w.mu.Unlock()
		if held {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s; the window shows\n%s", within, what, shown)
		}
	}
}

// check holds against a window what a user would see as garbage.
func (w *window) check(t *testing.T, typed string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	bad := len(w.screen.wrapped) > 0 || len(w.screen.unknown) > 0
	for row := range w.screen.wrapped {
		t.Errorf("%s prints a line of more than %d columns: %s", typed, bareWidth, string(w.screen.lines[row]))
	}
	if len(w.screen.unknown) > 0 {
		t.Errorf("%s prints what a plain terminal shows as garbage: %q", typed, w.screen.unknown)
	}
	if w.screen.hidden {
		t.Errorf("%s leaves the cursor hidden", typed)
	}
	if len(w.screen.partial) > 0 {
		t.Errorf("%s ends inside of a control sequence: %q", typed, w.screen.partial)
	}
	if bad {
		t.Logf("the last that was written: %q", w.raw[max(0, len(w.raw)-2000):])
	}
}
