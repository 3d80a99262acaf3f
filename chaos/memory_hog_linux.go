package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hogLimitTime bounds how long a hog may take to fill its group.
const hogLimitTime = time.Minute

// hog is a child that allocates in a group of its own, while it lasts.
type hog struct {
	group memoryGroup
	asked memorySpec

	watch *oomWatch
	kills int64 // of the whole system, before it was let go
	over  chan struct{}

	pid    int
	orders *os.File // a byte lets it go; its end ends the child
	tells  *os.File
	ended  chan struct{} // closed once the child was waited for
	state  *os.ProcessState
	dead   time.Time
	begun  time.Time
	once   sync.Once
	halted error
}

// injectHog starts the child, moves it into the limited group, and lets it go.
func injectHog(ctx context.Context, w *work, m memorySpec, group memoryGroup) error {
	h := &hog{group: group, asked: m, over: make(chan struct{})}
	w.live, w.over = h, h.over
	if err := group.make(); err != nil {
		return err
	}
	if err := h.limit(); err != nil {
		return err
	}
	var err error
	if h.watch, err = group.watchOOM(); err != nil {
		return err
	}
	if err := h.begin(ctx, w.again); err != nil {
		return fmt.Errorf("start the hog: %w", err)
	}
	if err := group.add(h.pid); err != nil {
		return err
	}
	if h.kills, err = systemOOMKills(); err != nil {
		return err
	}
	return w.effect(func() error {
		h.begun = time.Now()
		_, err := h.orders.Write([]byte{hogReady})
		return err
	})
}

// limit sets the limit, and keeps the group from going to swap instead.
func (h *hog) limit() error {
	if _, err := h.group.setLimit(h.group.files.limit, h.asked.limit); err != nil {
		return err
	}
	if err := h.group.write(swapFile(h.group.files), "0"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // a kernel that does not count swap has no such file
	}
	return nil
}

// swapFile is what keeps a group from swapping, set to 0. Version 1 has a limit
// of memory and swap together, too, but does not count how often that is reached.
func swapFile(files memoryFiles) string {
	if files.version == 1 {
		return "memory.swappiness"
	}
	return "memory.swap.max"
}

// begin starts this program once more, as a hog, and returns when it waits.
func (h *hog) begin(ctx context.Context, again []string) error {
	if len(again) == 0 {
		return errors.New("no command line was given for it")
	}
	hears, orders, err := os.Pipe()
	if err != nil {
		return err
	}
	tells, says, err := os.Pipe()
	if err != nil {
		return errors.Join(err, hears.Close(), orders.Close())
	}
	h.orders, h.tells, h.ended = orders, tells, make(chan struct{})
	cmd := exec.Command(ownProgram(), append(append([]string{}, again...), hogArgument(h.asked.blocks, h.asked.blockSize))...)
	cmd.Args[0] = os.Args[0] // a program may go by the name that it was called by
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), ReaperVariable+"=1")
	cmd.Stdin, cmd.Stdout = hears, says
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go h.keep(cmd, started)
	err = <-started
	_, _ = hears.Close(), says.Close()
	if err != nil {
		return err
	}
	return h.awaitReady(ctx)
}

// keep starts the child and waits for it, on one thread: the signal at the
// parent's death is at the death of the thread that started it (prctl(2)).
func (h *hog) keep(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	defer close(h.ended)
	err := cmd.Start()
	if err == nil {
		h.pid = cmd.Process.Pid
	}
	started <- err
	if err != nil {
		return
	}
	_ = cmd.Wait()
	h.dead, h.state = time.Now(), cmd.ProcessState
}

func (h *hog) awaitReady(ctx context.Context) error {
	limit := time.Now().Add(readyLimit)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		limit = d
	}
	_ = h.tells.SetReadDeadline(limit) // a pipe has deadlines
	answer := make([]byte, 1)
	if _, err := io.ReadFull(h.tells, answer); err != nil {
		return fmt.Errorf("it did not answer: %w", err)
	}
	if answer[0] != hogReady {
		return fmt.Errorf("it answered %q, not that it is ready", answer)
	}
	return nil
}

// hogProgress is what a hog has told.
type hogProgress struct {
	blocks  int
	last    time.Time // when the last of them was complete
	refused bool
	full    bool
}

// listen reads what the hog tells until it ends.
func (h *hog) listen(until time.Time) (p hogProgress) {
	_ = h.tells.SetReadDeadline(until)
	buffer := make([]byte, 512)
	for {
		n, err := h.tells.Read(buffer)
		for _, said := range buffer[:n] {
			switch said {
			case hogBlock:
				p.blocks, p.last = p.blocks+1, time.Now()
			case hogRefused:
				p.refused = true
			case hogFull:
				p.full = true
			}
		}
		if err != nil || p.full || p.refused {
			return p
		}
	}
}

// verify lets the hog run to its end, and tells whether the OOM killer was it.
func (h *hog) verify(ctx context.Context) (bool, []Fact, error) {
	defer close(h.over)
	until := time.Now().Add(hogLimitTime)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	stopOnCancel := context.AfterFunc(ctx, func() { _ = h.tells.SetReadDeadline(time.Now()) })
	p := h.listen(until)
	stopOnCancel()
	if err := ctx.Err(); err != nil {
		return false, nil, fmt.Errorf("wait for the hog to be killed: %w", err)
	}
	if err := h.end(); err != nil {
		return false, nil, err
	}
	at, err := h.group.read()
	if err != nil {
		return false, nil, err
	}
	elsewhere, err := systemOOMKills()
	if err != nil {
		return false, nil, err
	}
	status, _ := h.state.Sys().(syscall.WaitStatus)
	killed := at.OOMKills > 0 && status.Signaled() && status.Signal() == syscall.SIGKILL
	return killed, h.facts(p, at, killed, elsewhere-h.kills-at.OOMKills), nil
}

func (h *hog) facts(p hogProgress, at memoryReading, killed bool, elsewhere int64) []Fact {
	facts := []Fact{
		{"limit_bytes", h.asked.limit, ""},
		{"blocks", p.blocks, fmt.Sprintf("it got %d of %d blocks of %s, under a limit of %s",
			p.blocks, h.asked.blocks, formatSize(h.asked.blockSize), formatSize(h.asked.limit))},
		{"limit_hits", at.Hits, "the limit was reached " + times(at.Hits)},
	}
	if first, ok := h.firstEvent(at); ok {
		after := first.Sub(h.begun)
		facts = append(facts, Fact{"oom_event_ns", after.Nanoseconds(), "out of memory after " + milliseconds(after)})
	}
	dead := h.dead.Sub(h.begun)
	words := "killed by the OOM killer after " + milliseconds(dead)
	switch {
	case killed:
	case p.refused:
		words = "not killed: the kernel refused to map a block (RLIMIT_AS, vm.overcommit_memory)"
	case p.full:
		words = "not killed: it got all its blocks"
	default:
		words = "it ended by other means: " + h.state.String()
	}
	facts = append(facts, Fact{"oom_killed", killed, words})
	if killed {
		facts = append(facts, Fact{"dead_ns", dead.Nanoseconds(), ""})
	}
	return append(facts, Fact{"oom_kills_elsewhere", elsewhere, fmt.Sprintf("processes killed elsewhere meanwhile: %d", elsewhere)})
}

// eventWithin is for an event that the kernel has sent, on a machine that is busy.
const eventWithin = time.Second

// firstEvent is when the group ran out of memory; where nobody was killed it may
// never have.
func (h *hog) firstEvent(at memoryReading) (first time.Time, ok bool) {
	if at.OOMKills == 0 {
		select {
		case first = <-h.watch.first:
			return first, true
		default:
			return first, false
		}
	}
	select {
	case first = <-h.watch.first:
		return first, true
	case <-time.After(eventWithin):
		return first, false
	}
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
}

func (h *hog) observe() (bool, []Fact) { return true, nil }

func (h *hog) settle(context.Context) []Fact { return nil }

// end ends the child where it still lives, and waits for it.
func (h *hog) end() error {
	if h.ended == nil {
		return nil
	}
	_ = h.orders.Close() // it reads this when it is not busy
	select {
	case <-h.ended:
		return nil
	case <-time.After(100 * time.Millisecond):
	}
	if h.pid > 0 {
		if err := unix.Kill(h.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end the hog: %w", err)
		}
	}
	<-h.ended
	return nil
}

func (h *hog) stop() error {
	h.once.Do(func() {
		h.halted = h.end()
		if h.tells != nil {
			h.halted = errors.Join(h.halted, h.tells.Close())
		}
		if h.watch != nil {
			h.halted = errors.Join(h.halted, h.watch.Close())
		}
	})
	return h.halted
}

// systemOOMKills is how many processes the OOM killer has ended since boot, in
// all groups. /proc/vmstat is read here since procfs does not parse it.
func systemOOMKills() (int64, error) {
	text, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0, fmt.Errorf("count OOM kills: %w", err)
	}
	return parseKeyed(string(text))["oom_kill"], nil
}

// hogMain is the hog itself: it says that it is there, waits to be let go, and
// allocates.
func hogMain(argument string, in io.Reader, out io.Writer) error {
	blocks, size, err := parseHogArgument(argument)
	if err != nil {
		return err
	}
	// Should a group around run out first, this one is to be killed. Raising it is
	// allowed to everybody; where it fails the group's own limit still holds.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	say := func(what byte) error {
		if _, err := out.Write([]byte{what}); err != nil {
			return fmt.Errorf("tell how far the hog is: %w", err)
		}
		return nil
	}
	if err := say(hogReady); err != nil {
		return err
	}
	if _, err := io.ReadFull(in, make([]byte, 1)); err != nil {
		return nil // it is not wanted any more
	}
	page := os.Getpagesize()
	for range blocks {
		block, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return errors.Join(fmt.Errorf("allocate a block: %w", err), say(hogRefused))
		}
		for at := 0; at < len(block); at += page {
			block[at] = 1
		}
		if err := say(hogBlock); err != nil {
			return err
		}
	}
	return say(hogFull)
}

func planHog(m memorySpec, g memoryGroup) Plan {
	inject, undo := plan(g), plan(g)
	inject.mkdir()
	inject.echo(strconv.FormatInt(m.limit, 10), g.files.limit)
	inject.echo("0", swapFile(g.files))
	inject.add("# start a child of mslab, CHILD")
	inject.echo("CHILD", "cgroup.procs")
	inject.add(fmt.Sprintf("# CHILD takes %d blocks of %s and writes to each page", m.blocks, formatSize(m.blockSize)))
	undo.lift()
	undo.add("kill -9 CHILD # if it lives")
	undo.rmdir()
	return Plan{Inject: inject.lines, Undo: undo.lines, Notes: []string{
		"No process but the child is in the group, so that the OOM killer has no other to choose.",
	}}
}
