package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"

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

// listenerOf finds the process that listens at an address of this machine, by
// its socket.
func listenerOf(address string) (int, error) {
	base, err := url.Parse(address)
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(base.Port(), 10, 16)
	if err != nil {
		return 0, fmt.Errorf("it names no port: %w", err)
	}
	sockets, err := listening(base.Hostname(), uint16(port))
	if err != nil {
		return 0, err
	}
	procs, err := procfs.AllProcs()
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, proc := range procs {
		targets, err := proc.FileDescriptorTargets()
		if err != nil {
			continue // another user's, or it has just ended
		}
		if slices.ContainsFunc(targets, func(t string) bool { return slices.Contains(sockets, t) }) {
			return proc.PID, nil
		}
	}
	return 0, errors.New("no process that you may look at listens there; trace it as its own user, on its own machine and in its own network namespace, or give --pid")
}

// listening names the sockets that listen on a port, as /proc/PID/fd does.
func listening(host string, port uint16) ([]string, error) {
	addresses, err := net.LookupIP(host)
	if err != nil {
		return nil, err
	}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, fmt.Errorf("read /proc: %w", err)
	}
	var lines procfs.NetTCP
	for _, table := range []func() (procfs.NetTCP, error){fs.NetTCP, fs.NetTCP6} {
		if some, err := table(); err == nil {
			lines = append(lines, some...)
		}
	}
	const stateListen = 0x0A // include/net/tcp_states.h
	var names []string
	for _, line := range lines {
		local, _ := netip.AddrFromSlice(line.LocalAddr)
		local = local.Unmap()
		here := local.IsUnspecified() || slices.ContainsFunc(addresses, func(ip net.IP) bool {
			a, _ := netip.AddrFromSlice(ip)
			return a.Unmap() == local
		})
		if line.St == stateListen && line.LocalPort == uint64(port) && here {
			names = append(names, fmt.Sprintf("socket:[%d]", line.Inode))
		}
	}
	return names, nil
}
