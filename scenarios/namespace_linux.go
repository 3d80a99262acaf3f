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

// netns names the network namespace of this process.
func netns() (string, error) {
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", fmt.Errorf("read this process' network namespace: %w", err)
	}
	return name, nil
}

// Inside says whether this process runs in a namespace that InNamespace made.
// The mark alone does not make it so: the network namespace must be another
// than the one that the mark names.
func Inside() bool {
	outer := os.Getenv(insideEnv)
	own, err := netns()
	return outer != "" && err == nil && own != outer
}

// ProbeNamespace says in one line what is missing for InNamespace, nil where
// nothing is.
func ProbeNamespace() error {
	if _, err := netns(); err != nil {
		return fmt.Errorf("the kernel has no network namespaces: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return fmt.Errorf("read this process' capabilities: %w", err)
	}
	for _, need := range []struct {
		bit  uint
		name string
	}{{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}} {
		if caps[need.bit/32].Effective&(1<<(need.bit%32)) == 0 {
			return fmt.Errorf("make a network namespace: it takes root, and this process has no %s; run it with sudo", need.name)
		}
	}
	return nil
}

// InNamespace runs this program once more, with the given arguments, in a new
// network and mount namespace, and returns its exit code: 128 + N where signal N
// ended it. SIGINT, SIGTERM and SIGHUP are passed on, and when ctx ends the
// program is sent SIGTERM. It dies with this process, even on kill -9.
func InNamespace(ctx context.Context, args []string, stdio Stdio) (exit int, err error) {
	if err := ProbeNamespace(); err != nil {
		return 0, err
	}
	exe, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find the program to run in a namespace of its own: %w", err)
	}
	outer, err := netns()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), insideEnv+"="+outer)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdio.In, stdio.Out, stdio.Err
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// Go makes the mounts private when it unshares them.
		Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
		// The terminal's Ctrl-C reaches this process only, which passes it on,
		// so that the program gets it once.
		Setpgid: true,
	}
	return superviseInside(ctx, cmd)
}

func superviseInside(ctx context.Context, cmd *exec.Cmd) (exit int, err error) {
	// The death signal comes when the thread that started the program ends.
	sp, err := newSpawner(nil)
	if err != nil {
		return 0, err
	}
	defer sp.close()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	if err := sp.do(cmd.Start); err != nil {
		if errors.Is(err, unix.EPERM) {
			return 0, fmt.Errorf("make a network namespace: the kernel does not permit it, root or not: %w", err)
		}
		return 0, fmt.Errorf("run in a namespace of its own: %w", err)
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
			_ = cmd.Process.Signal(s)
			passed = true
		case <-done:
			done = nil
			// The signal that ended ctx may be on its way here: it is the one
			// to pass on, once.
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s)
			case <-time.After(100 * time.Millisecond):
				if !passed {
					_ = cmd.Process.Signal(unix.SIGTERM)
				}
			}
		case err := <-ended:
			return exitCode(err)
		}
	}
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 0, fmt.Errorf("run in a namespace of its own: %w", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}

// loopbackUp brings up the loopback device, which a new network namespace has
// but keeps down.
func loopbackUp() error {
	fail := func(err error) error { return fmt.Errorf("bring up the loopback device: %w", err) }
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fail(err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return fail(err)
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fail(err)
	}
	return nil
}
