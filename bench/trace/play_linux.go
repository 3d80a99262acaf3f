package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mslab/bench/harness"
	"mslab/profile"
	"mslab/scenarios"
)

// subjects are the phases, with what makes a stretch of theirs comparable: at a
// backlog of 10 the kernel's SYN timer would set the rate.
func subjects() []scenarios.Loaded {
	return []scenarios.Loaded{
		{Phase: "5", Overrides: map[string]string{"listen": "backlog1024"}},
		{Phase: "7"},
	}
}

// playBlock starts each phase anew and watches it with each tool in turn, next to
// a stretch without; then it does the same with a fresh loop of writes for each.
// The order of the tools is drawn, and turned round in every other block, as is
// that of the two stretches, so that a drift of the machine falls on all alike.
func playBlock(ctx context.Context, o options, mslab string, tools []tool, m *measurement, block int) error {
	for i, subject := range subjects() {
		subject.Executable = mslab
		_, err := scenarios.UnderLoad(ctx, subject, func(ctx context.Context, s scenarios.LoadedServer) error {
			admin, err := profile.OpenAdmin(ctx, s.Admin)
			if err != nil {
				return err
			}
			defer admin.Close()
			for _, n := range harness.Order(len(tools), block) {
				p, err := pairOf(block, tools[n], func(t tool) (reading, error) { return phaseUnder(ctx, o, t, s.PID, admin) })
				if err != nil {
					return fmt.Errorf("phase %s under %s: %w", subject.Phase, tools[n].name, err)
				}
				m.add(i, n, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, n := range harness.Order(len(tools), block) {
		p, err := pairOf(block, tools[n], func(t tool) (reading, error) {
			ns, err := loopUnder(ctx, o, t)
			return reading{cost: ns}, err
		})
		if err != nil {
			return fmt.Errorf("loop of writes under %s: %w", tools[n].name, err)
		}
		m.add(len(subjects()), n, p)
	}
	return nil
}

// pairOf plays a stretch under a tool and one under none.
func pairOf(block int, t tool, play func(tool) (reading, error)) (p pair, err error) {
	for i := range 2 {
		if (i == 0) == (block%2 == 0) {
			p.without, err = play(tool{})
		} else {
			p.with, err = play(t)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// phaseUnder watches a server under load for one stretch.
func phaseUnder(ctx context.Context, o options, t tool, pid int, admin *profile.Admin) (reading, error) {
	var window profile.Window
	err := t.while(ctx, pid, func() (err error) {
		window, err = admin.Watch(ctx, o.slice)
		return err
	})
	switch {
	case err != nil:
		return reading{}, err
	case window.Requests == 0:
		return reading{}, fmt.Errorf("it served no request in %s", o.slice)
	}
	return reading{
		cost: float64(window.CPU) / float64(window.Requests),
		rate: float64(window.Requests) / window.Length.Seconds(),
	}, nil
}

// Limits of a tool's own time.
const (
	toolStart = 10 * time.Second
	toolStop  = 10 * time.Second
)

// while runs a tool on a process, calls f once it watches, and ends it.
func (t tool) while(ctx context.Context, pid int, f func() error) error {
	if t.command == nil {
		return f()
	}
	line := t.command(pid)
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if t.tracepoints && !tracefsMounted() {
		line, attributes.Unshareflags = withTracefs(line), unix.CLONE_NEWNS
	}
	// The death signal follows the thread that starts the tool.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	said := &output{ready: t.ready, found: make(chan struct{})}
	command := exec.Command(line[0], line[1:]...)
	command.Stdout, command.Stderr, command.SysProcAttr = said, said, attributes
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", line[0], err)
	}
	unpin(command.Process.Pid)
	ended := make(chan struct{})
	go func() {
		_ = command.Wait() // a tool that SIGINT ends exits as it likes
		close(ended)
	}()
	err := t.await(ctx, said, ended)
	if err == nil {
		err = f()
	}
	whole := t.end(command.Process, ended)
	if err == nil && whole && !t.said(said.text()) {
		err = fmt.Errorf("it saw no call; it said: %s", said.text())
	}
	return err
}

// end interrupts a tool and waits for it. whole is false where it had to be
// killed and may not have printed what it saw: detaching takes some of them very
// long on a busy machine, and the stretch that they watched is over.
func (t tool) end(process *os.Process, ended <-chan struct{}) (whole bool) {
	_ = process.Signal(syscall.SIGINT)
	select {
	case <-ended:
		return true
	case <-time.After(toolStop):
		_ = process.Kill()
		<-ended
		return false
	}
}

func (t tool) await(ctx context.Context, said *output, ended <-chan struct{}) error {
	if t.ready != "" {
		select {
		case <-said.found:
		case <-ended:
			return fmt.Errorf("it ended at once; it said: %s", said.text())
		case <-time.After(toolStart):
			return fmt.Errorf("it does not watch after %s; it said: %s", toolStart, said.text())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-time.After(t.settle):
		return nil
	case <-ended:
		return fmt.Errorf("it ended at once; it said: %s", said.text())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unpin lets a tool run on any core: its own work is no part of what is
// measured, and this process is pinned to the generator's cores.
func unpin(pid int) {
	var all unix.CPUSet
	for i := range runtime.NumCPU() {
		all.Set(i)
	}
	// It has ended where this fails, which is found out at once.
	_ = unix.SchedSetaffinity(pid, &all)
}

// output keeps what a tool says and waits for a word in it.
type output struct {
	ready string

	mu    sync.Mutex
	data  strings.Builder
	found chan struct{}
	seen  bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = o.data.Write(p)
	if !o.seen && o.ready != "" && strings.Contains(o.data.String(), o.ready) {
		o.seen = true
		close(o.found)
	}
	return len(p), nil
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.String()
}

// loopUnder starts a loop of writes, watches it, and returns the ns of a write.
func loopUnder(ctx context.Context, o options, t tool) (ns float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find the program to run again: %w", err)
	}
	loop := exec.CommandContext(ctx, self, loopArgument, o.loop.String())
	in, err := loop.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := loop.StdoutPipe()
	if err != nil {
		return 0, err
	}
	loop.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := loop.Start(); err != nil {
		return 0, fmt.Errorf("start the loop: %w", err)
	}
	answer := bufio.NewScanner(out)
	answer.Scan() // it stands
	err = t.while(ctx, loop.Process.Pid, func() error {
		if _, err := io.WriteString(in, "go\n"); err != nil {
			return err
		}
		if !answer.Scan() {
			return errors.New("the loop ended without a figure")
		}
		ns, err = strconv.ParseFloat(answer.Text(), 64)
		return err
	})
	_ = in.Close()
	return ns, errors.Join(err, loop.Wait())
}

// writeLoop is the child: it says that it stands, waits for a line, writes a byte
// to /dev/null for the given time, and prints the ns of a write.
func writeLoop(stdin io.Reader, stdout io.Writer, length string) int {
	d, err := time.ParseDuration(length)
	if err != nil {
		return 2
	}
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 1
	}
	runtime.LockOSThread()
	fmt.Fprintln(stdout, "stands")
	lines := bufio.NewScanner(stdin)
	if !lines.Scan() {
		return 1
	}
	const batch = 64 // between two looks at the clock
	buffer := []byte{0}
	writes, begin, elapsed := 0, time.Now(), time.Duration(0)
	for ; elapsed < d; elapsed = time.Since(begin) {
		for range batch {
			if _, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(null), uintptr(unsafe.Pointer(&buffer[0])), 1); errno != 0 {
				return 1
			}
		}
		writes += batch
	}
	fmt.Fprintf(stdout, "%.1f\n", float64(elapsed.Nanoseconds())/float64(writes))
	lines.Scan() // stays until the tool has gone
	return 0
}
