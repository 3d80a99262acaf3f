package scenarios

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervise runs a program that has a process group of its own, hands signals
// on to it, and returns its exit code.
func supervise(ctx context.Context, cmd *exec.Cmd) (exit int, err error) {
	// The death signal comes when the thread that started the program ends.
	sp, err := newSpawner(nil)
	if err != nil {
		return 0, err
	}
	defer sp.close()
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGTSTP, unix.SIGCONT} {
		// What this process ignores, as nohup makes it do, the program ignores
		// too; to listen for it would end that.
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	if err := sp.do(cmd.Start); err != nil {
		return 0, fmt.Errorf("run in a sandbox: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return forward(ctx, cmd, signals, ended)
}

// forward passes signals on until the program ends.
func forward(ctx context.Context, cmd *exec.Cmd, signals <-chan os.Signal, ended <-chan error) (int, error) {
	done, passed := ctx.Done(), false
	for {
		select {
		case s := <-signals:
			passed = pass(cmd, s) || passed
		case <-done:
			done = nil
			// The signal that ended ctx may be on its way here: it is the one
			// to pass on, once.
			select {
			case s := <-signals:
				passed = pass(cmd, s) || passed
			case <-time.After(100 * time.Millisecond):
			}
			if !passed {
				_ = cmd.Process.Signal(unix.SIGTERM)
			}
		case err := <-ended:
			return exitCode(err)
		}
	}
}

// pass hands a signal on and tells whether it is one to end by. The terminal's
// stop is not sent to the program's group, which is in the background: both are
// stopped here, and continued together.
func pass(cmd *exec.Cmd, s os.Signal) (ends bool) {
	if s != unix.SIGTSTP {
		_ = cmd.Process.Signal(s)
		return s != unix.SIGCONT
	}
	_ = cmd.Process.Signal(unix.SIGSTOP)
	_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	return false
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
