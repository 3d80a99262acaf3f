package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// command is a command of the user that something looks at from its first
// instruction on: it is started, held where exec has put the new program in
// place, and let run when the look has begun.
type command struct {
	// PID is its process. It is a child of this one.
	PID int
	// atEnd, where it is set before the command is let run, is called when it has
	// ended and the kernel still has what it counted for it.
	atEnd func()

	name    string
	cmd     *exec.Cmd
	letRun  func()
	started chan error    // once it is held, or why it is not
	run     chan struct{} // closed: let it run
	ended   chan struct{} // closed: it has ended and is reaped
	begun   time.Time     // valid after ended, as are the next two
	length  time.Duration
	err     error // of letting it run
}

// startCommand starts args and holds the program before its first instruction.
// Whatever becomes of this process, the command ends with it. The caller calls
// close in the end.
func startCommand(args []string, streams commandStreams) (*command, error) {
	c := &command{
		name:    args[0],
		cmd:     exec.Command(args[0], args[1:]...),
		started: make(chan error), run: make(chan struct{}), ended: make(chan struct{}),
	}
	c.letRun = sync.OnceFunc(func() { close(c.run) })
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = streams.in, streams.out, streams.err
	// A descendant that lives on may hold a pipe open; the command has ended.
	c.cmd.WaitDelay = time.Second
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	go c.live()
	if err := <-c.started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return c, nil
}

// live is the command's life on the one thread that it belongs to: the kernel
// lets no other thread trace it, and sends the death signal when this one ends.
// The thread ends with it, since it is never unlocked.
func (c *command) live() {
	runtime.LockOSThread()
	if err := c.cmd.Start(); err != nil {
		c.started <- startError(err)
		return
	}
	defer close(c.ended)
	if err := c.held(); err != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		c.started <- err
		return
	}
	c.PID = c.cmd.Process.Pid
	c.started <- nil
	<-c.run
	c.begun = time.Now()
	if err := unix.PtraceDetach(c.PID); err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: killed while held
		c.err = fmt.Errorf("let %s run: detach from process %d: %w", c.name, c.PID, err)
		_ = c.cmd.Process.Kill()
	}
	if c.atEnd != nil && awaitEnd(c.PID) == nil {
		c.atEnd()
	}
	_ = c.cmd.Wait() // how it ended is in its state
	c.length = time.Since(c.begun)
}

// awaitEnd waits until a child has ended, and does not reap it.
func awaitEnd(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// held waits for the stop that exec makes of a traced process.
func (c *command) held() error {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(c.cmd.Process.Pid, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for its first instruction: %w", err)
		case !status.Stopped() || status.StopSignal() != unix.SIGTRAP:
			return fmt.Errorf("wait for its first instruction: it changed state otherwise (wait status %#x)", uint32(status))
		default:
			return nil
		}
	}
}

// startError says what is missing where a command cannot be held.
func startError(err error) error {
	var lookup *exec.Error
	var path *os.PathError
	switch {
	case errors.As(err, &lookup):
		return lookup.Err // the name is said already
	case !errors.As(err, &path):
		return err
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: to hold it at its first instruction takes ptrace(2), which a sandbox or kernel.yama.ptrace_scope=3 forbids", path.Err)
	}
	return path.Err
}

// wait lets the command run and waits until it ends. The signal that ends ctx
// is passed on to it, unless the terminal sent it to both; where ctx ends
// otherwise the command is killed.
func (c *command) wait(ctx context.Context) (commandEnd, error) {
	c.letRun()
	select {
	case <-c.ended:
	case <-ctx.Done():
		var s signalError
		switch {
		case !errors.As(context.Cause(ctx), &s):
			_ = c.cmd.Process.Kill()
		case s.signal != syscall.SIGINT || !inForeground():
			_ = c.cmd.Process.Signal(s.signal)
		}
		<-c.ended
	}
	return commandEnd{state: c.cmd.ProcessState, Length: c.length}, c.err
}

// inForeground tells whether the terminal sends its Ctrl-C to this process, and
// so to the command, which is of the same process group.
func inForeground() bool {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer terminal.Close()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// close ends the command where it still runs, and waits for it.
func (c *command) close() {
	select {
	case <-c.ended:
		return
	default:
	}
	_ = c.cmd.Process.Kill()
	c.letRun()
	<-c.ended
}
