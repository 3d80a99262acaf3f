package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"mslab/server/registry"
)

// processTitle names a process by its id, or says why it cannot be traced.
func processTitle(pid int) (string, error) {
	proc, err := procfs.NewProc(pid)
	if err == nil {
		if status, err := proc.NewStatus(); err == nil && status.TGID != pid {
			return "", fmt.Errorf("trace process %d: it is a thread of process %d; give that one", pid, status.TGID)
		}
		if name, err := proc.Comm(); err == nil {
			return fmt.Sprintf("%s (pid %d)", name, pid), nil
		}
	}
	if !registry.Running(pid) {
		return "", noSuchProcess(pid)
	}
	return fmt.Sprintf("pid %d", pid), nil
}

func noSuchProcess(pid int) error {
	return fmt.Errorf("trace process %d: there is no such process in this pid namespace", pid)
}

// watchEnd closes ended when a process ends. stop ends the watching and waits
// for it.
func watchEnd(pid int) (ended <-chan struct{}, stop func(), err error) {
	process, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil, nil, noSuchProcess(pid)
	case err != nil:
		return nil, nil, fmt.Errorf("trace process %d: open it: %w", pid, err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(process)
		return nil, nil, fmt.Errorf("trace process %d: make an eventfd: %w", pid, err)
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		fds := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
			if fds[0].Revents != 0 {
				close(over)
				return
			}
			if fds[1].Revents != 0 {
				return
			}
		}
	}()
	return over, func() {
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		<-done
		_ = unix.Close(process)
		_ = unix.Close(wake)
	}, nil
}

// mayWatch says why this user should not be shown the figures of a process.
func mayWatch(pid int) error {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return noSuchProcess(pid)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return fmt.Errorf("trace process %d: read its owner: %w", pid, err)
	}
	if uid := os.Geteuid(); uid != 0 && status.UIDs[1] != uint64(uid) {
		return fmt.Errorf("trace process %d: it belongs to uid %d and you are uid %d; run it as that user, or with sudo", pid, status.UIDs[1], uid)
	}
	return nil
}
