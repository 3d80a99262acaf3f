package scenarios

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// supervisor runs a program that has a process group of its own, and hands
// signals on to it.
type supervisor struct {
	cmd     *exec.Cmd
	signals chan os.Signal
	passed  bool // a signal to end by was handed on
}

// supervise runs the program and returns its exit code.
func supervise(ctx context.Context, cmd *exec.Cmd) (exit int, err error) {
	// The death signal comes when the thread that started the program ends.
	sp, err := newSpawner(nil)
	if err != nil {
		return 0, err
	}
	defer sp.close()
	s := &supervisor{cmd: cmd, signals: make(chan os.Signal, 8)}
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGTSTP} {
		// What this process ignores, as nohup makes it do, the program ignores
		// too; to listen for it would end that.
		if !signal.Ignored(sig) {
			signal.Notify(s.signals, sig)
		}
	}
	defer signal.Stop(s.signals)
	if err := sp.do(cmd.Start); err != nil {
		return 0, fmt.Errorf("run in a sandbox: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return s.forward(ctx, ended)
}

// forward hands signals on until the program ends.
func (s *supervisor) forward(ctx context.Context, ended <-chan error) (int, error) {
	done := ctx.Done()
	for {
		select {
		case sig := <-s.signals:
			s.pass(sig)
		case <-done:
			done = nil
			// The signal that ended ctx may be on its way here: it is the one
			// to hand on, once.
			select {
			case sig := <-s.signals:
				s.pass(sig)
			case <-time.After(100 * time.Millisecond):
			}
			if !s.passed {
				s.pass(unix.SIGTERM)
			}
		case err := <-ended:
			return exitCode(err)
		}
	}
}

func (s *supervisor) pass(sig os.Signal) {
	if sig == unix.SIGTSTP {
		s.pause()
		return
	}
	s.passed = true
	_ = s.cmd.Process.Signal(sig)
}

// pause does what the terminal's stop asks for: this process stops, and the
// program, which is in another group, with it. As the kernel does with SIGTSTP,
// nothing is stopped that nobody could continue.
func (s *supervisor) pause() {
	if orphaned() {
		return
	}
	_ = s.cmd.Process.Signal(unix.SIGSTOP)
	// The runtime does not give SIGTSTP its default effect back. This goes to
	// the very thread, which does not go on before it was continued.
	runtime.LockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP)
	runtime.UnlockOSThread()
	_ = s.cmd.Process.Signal(unix.SIGCONT)
}

// orphaned tells whether this process' group has no shell above it in its
// session that could continue it (POSIX.1, orphaned process group).
func orphaned() bool {
	for pid, group := os.Getpid(), unix.Getpgrp(); ; {
		process, err := procfs.NewProc(pid)
		if err != nil {
			return true
		}
		stat, err := process.Stat()
		if err != nil || stat.PPID == 0 {
			return true
		}
		pid = stat.PPID
		if above, err := unix.Getpgid(pid); err != nil || above != group {
			own, _ := unix.Getsid(0)
			theirs, err := unix.Getsid(pid)
			return err != nil || theirs != own
		}
	}
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 0, fmt.Errorf("run in a sandbox: %w", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
