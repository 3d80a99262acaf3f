package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// liveScenario takes about 5 s.
const liveScenario = `name: tiny
matrix: {subject: [5, 7], clients: [4]}
arms:
  sliced: {ranked: false}
load: {connection: keep, slice: 400ms, warmup: 100ms}
repeat: {blocks: 2, slices: 3}
`

// drawnLive is what a live view shows and a table does not.
const drawnLive = `[▁▂▃▄▅▆▇]|no errors|\d left`

// liveDesk is a desk with a server, and a window that is small enough to be seen
// to be filled.
func liveDesk(t *testing.T) *desk {
	t.Helper()
	if testing.Short() {
		t.Skip("takes half a minute: skipped by -short")
	}
	d := newDesk(t)
	if err := os.WriteFile(filepath.Join(d.dir, "tiny.yaml"), []byte(liveScenario), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) serve(t *testing.T) {
	t.Helper()
	w := d.open(t)
	w.enter(t, "mslab serve")
	w.await(t, `admin http://127\.0\.0\.1:6060`, 20*time.Second)
}

// checkMode fails where a terminal does not echo, collect lines and make signals
// of keys, as a shell needs it.
func (w *window) checkMode(t *testing.T) {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(w.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if want := uint32(unix.ECHO | unix.ICANON | unix.ISIG); mode.Lflag&want != want {
		t.Errorf("the terminal's local mode is %#o, without %#o", mode.Lflag, want&^mode.Lflag)
	}
}

// printedCourse is what a load prints of its seconds in the end.
var printedCourse = regexp.MustCompile(`(?m)^ok/s .* max \S+   p99 .* max \S+(   \(\w+ each\))?$`)

// checkGone fails where something of a live view is left.
func checkGone(t *testing.T, shown string) {
	t.Helper()
	shown = printedCourse.ReplaceAllString(shown, "")
	if left := regexp.MustCompile(drawnLive).FindString(shown); left != "" {
		t.Errorf("%q is left of the live view:\n%s", left, shown)
	}
}

// resize gives the window another size, as its user would.
func (w *window) resize(t *testing.T, width, height int) {
	t.Helper()
	w.mu.Lock()
	w.screen.width, w.screen.height = width, height
	w.mu.Unlock()
	if err := pty.Setsize(w.tty, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)}); err != nil {
		t.Fatal(err)
	}
}

// said is all that has been written to the window.
func (w *window) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.raw)
}

func TestLiveLoad(t *testing.T) {
	d := liveDesk(t)
	d.serve(t)
	w := d.open(t)

	t.Run("to its end", func(t *testing.T) {
		from := w.enter(t, "mslab load -d 3s -c 20 --warmup 300ms")
		w.await(t, `(?s)7 keepalive  20 clients.*\ds left\n█.*ok/s +[▁▂▃▄▅▆▇█].*p99 +[▁▂▃▄▅▆▇█].*sent [\d,]+  ok [\d,]+.*no errors`, 10*time.Second)
		w.checkMode(t)
		shown, exit := w.finish(t, from, 20*time.Second)
		if exit != 0 || !strings.HasPrefix(shown, "phase 7 keepalive at http") || !strings.Contains(shown, "verdict: valid") {
			t.Errorf("exit %d, and below the command:\n%s", exit, shown)
		}
		if !printedCourse.MatchString(shown) || !strings.Contains(shown, "≤ ") {
			t.Errorf("no histogram and seconds below the command:\n%s", shown)
		}
		checkGone(t, shown)
	})
	t.Run("interrupted", func(t *testing.T) {
		from := w.enter(t, "mslab load -d 1m")
		w.await(t, `(?s)10 clients.*\ds left\n█`, 10*time.Second)
		w.interrupt(t)
		shown, exit := w.finish(t, from, 10*time.Second)
		if exit != 130 || !strings.Contains(shown, "INCOMPLETE") || !strings.HasSuffix(shown, "mslab: interrupted by SIGINT\n") {
			t.Errorf("exit %d:\n%s", exit, shown)
		}
		checkGone(t, strings.ReplaceAll(shown, "^C", ""))
		w.checkMode(t)
	})
	t.Run("to a file", func(t *testing.T) {
		from := w.enter(t, "mslab load -d 1500ms --json >record.json")
		w.await(t, `ok/s +[▁▂▃▄▅▆▇█]`, 10*time.Second)
		shown, exit := w.finish(t, from, 10*time.Second)
		if data, err := os.ReadFile(filepath.Join(d.dir, "record.json")); exit != 0 || shown != "" || err != nil || !strings.HasPrefix(string(data), "{") {
			t.Errorf("exit %d, shown %q, file %.20q, %v", exit, shown, data, err)
		}
	})
	w.check(t, "mslab load")
}

func TestLiveRun(t *testing.T) {
	d := liveDesk(t)
	w := d.open(t)
	from := w.enter(t, "mslab run tiny.yaml -o whole")
	w.await(t, `(?s)tiny  block 1 of 2.*s left\n█.*measuring [57] \w+, slice \d of 3.*ok/s.*[▁▂▃▄▅▆▇█].*▶  [57] \w+`, 20*time.Second)
	w.checkMode(t)
	w.await(t, `(?s)block 2 of 2.*5 pool +[\d.]+µs +[\d.]+ %`, 20*time.Second)
	w.resize(t, 60, 12)
	w.await(t, fmt.Sprintf(`(?m)^tiny  block 2 of 2.{%d}s left$`, 60-len("tiny  block 2 of 2s left")), 5*time.Second)
	w.mu.Lock()
	clear(w.screen.wrapped) // of a frame that was on its way to the larger window
	w.mu.Unlock()
	w.resize(t, bareWidth, bareHeight)
	shown, exit := w.finish(t, from, 30*time.Second)
	if exit != 0 || !regexp.MustCompile(`(?s)^tiny: about \d+s\n.*7 keepalive.*run folder: whole`).MatchString(shown) {
		t.Errorf("exit %d:\n%s", exit, shown)
	}
	w.check(t, "mslab run")

	w = d.open(t) // what a terminal makes of lines in a window that shrinks is its own
	from = w.enter(t, "mslab run tiny.yaml -o cut")
	w.await(t, `measuring`, 20*time.Second)
	w.interrupt(t)
	shown, exit = w.finish(t, from, 20*time.Second)
	if exit != 130 || !strings.Contains(shown, "run folder: cut") || !strings.HasSuffix(shown, "mslab: interrupted by SIGINT\n") {
		t.Errorf("exit %d:\n%s", exit, shown)
	}
	checkGone(t, shown)
	w.checkMode(t)

	// Stopped and continued, it is drawn anew below what was written since.
	from = w.enter(t, "mslab run tiny.yaml -o paused")
	w.await(t, `measuring [57] \w+, slice 2`, 20*time.Second)
	if _, err := w.tty.Write([]byte{'Z' & 0x1f}); err != nil {
		t.Fatal(err)
	}
	stopped := w.awaitPrompt(t, from, 10*time.Second)
	w.enter(t, "fg")
	w.until(t, "the view below", 10*time.Second, func(s *screen) bool { return strings.Contains(s.text(stopped+1), "s left\n█") })
	shown, exit = w.finish(t, stopped+1, 30*time.Second)
	if exit != 0 || !strings.Contains(shown, "run folder: paused") {
		t.Errorf("exit %d after fg:\n%s", exit, shown)
	}
	checkGone(t, shown)
	w.check(t, "mslab run")
}

// TestLiveRunKilled kills the program inside of the sandbox, and all of it.
func TestLiveRunKilled(t *testing.T) {
	d := liveDesk(t)
	w := d.open(t)
	w.enter(t, "mslab run tiny.yaml -o killed & wait; echo en''ded")
	w.await(t, `ended`, 40*time.Second) // in the background it leaves the terminal alone
	if said := w.said(); strings.Contains(said, "\x1b") || !strings.Contains(said, "block 1 of 2 done") {
		t.Errorf("a run in the background writes %q", said)
	}
	w.enter(t, "sh -c 'echo pid=$$; exec mslab run tiny.yaml -o killed2'")
	w.await(t, `measuring`, 20*time.Second)
	w.checkMode(t)
	id := regexp.MustCompile(`pid=(\d+)\r`).FindStringSubmatch(w.said())
	if id == nil {
		t.Fatalf("the shell does not say its number: %q", w.said())
	}
	pid, err := strconv.Atoi(id[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.await(t, `Killed`, 10*time.Second)
	w.checkMode(t)
	w.check(t, "mslab run") // the cursor is there
}

// TestProgressModes is on a terminal, too.
func TestProgressModes(t *testing.T) {
	d := liveDesk(t)
	d.serve(t)
	w := d.open(t)
	const load = "mslab load -d 1200ms"
	for _, c := range []struct {
		typed string
		want  string // an expression that what is shown matches
		lines bool   // with plain lines
	}{
		{load + " --progress plain", `^   1s +\d+ requests/s  p99 \S+  ok \d+  failed 0`, true},
		{load + " --progress none", `^phase 7 keepalive at`, false},
		{"TERM=dumb " + load, `^   1s +\d+ requests/s`, true},
		{"mslab run tiny.yaml -o plain --progress plain", `^tiny: about \d+s\nsliced: block 1 of 2 done, \ds left\nsliced: block 2 of 2 done, 0s left\n`, true},
		{"mslab run tiny.yaml -o none --progress none", `^sliced: `, false},
	} {
		before := len(w.said())
		from := w.enter(t, c.typed)
		shown, exit := w.finish(t, from, 40*time.Second)
		if exit != 0 || !regexp.MustCompile(c.want).MatchString(shown) {
			t.Errorf("%s: exit %d, shown:\n%s", c.typed, exit, shown)
		}
		if said := w.said()[before:]; strings.Contains(said, "\x1b") {
			t.Errorf("%s writes control sequences: %q", c.typed, said)
		}
	}
	before := len(w.said())
	from := w.enter(t, "NO_COLOR=1 mslab load -d 1500ms")
	w.await(t, `(?s)s left.*ok/s +[▁▂▃▄▅▆▇█]`, 10*time.Second)
	w.finish(t, from, 20*time.Second)
	if colour := regexp.MustCompile(`\x1b\[[0-9;]*(3[0-7]|38|9[0-7])[0-9;]*m`).FindString(w.said()[before:]); colour != "" {
		t.Errorf("NO_COLOR=1 and it is coloured: %q", colour)
	}
	w.resize(t, 39, 24)
	from = w.enter(t, load)
	if shown, _ := w.finish(t, from, 20*time.Second); !strings.Contains(shown, "requests/s") {
		t.Errorf("in a window of 39 columns:\n%s", shown)
	}
	w.resize(t, bareWidth, bareHeight)
	for _, typed := range []string{"mslab load --progress live", "mslab run first-look --progress ''"} {
		from := w.enter(t, typed)
		if shown, exit := w.finish(t, from, 20*time.Second); exit != 2 || !regexp.MustCompile(`want\s+auto,\s+plain\s+or\s+none`).MatchString(shown) {
			t.Errorf("%s: exit %d:\n%s", typed, exit, shown)
		}
	}
}
