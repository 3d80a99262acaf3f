package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mslab/results"
)

// probeLimit is how long a trial of a sandbox may take; it takes about 30 ms.
const probeLimit = 10 * time.Second

// SysProcAttr makes the sandbox's namespaces for a process that is started with
// it. The process is killed when the thread that starts it ends.
func (s Sandbox) SysProcAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if s == NoSandbox {
		return attr
	}
	// Unshared rather than cloned: Go then makes the mounts private.
	attr.Unshareflags = unix.CLONE_NEWNET | unix.CLONE_NEWNS
	if s == UserSandbox {
		attr.Unshareflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		// Without rights the kernel maps a group only where setgroups is
		// denied, which Go sees to.
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// FindSandbox says which sandbox works here: that of root, else the one that
// takes no rights. It goes by trial, since a capability, a setting, a seccomp
// filter or a security module may forbid either. Where neither works the error
// says in one line why, and what to do. Nothing of a trial is left.
func FindSandbox(ctx context.Context) (Sandbox, error) {
	asRoot := NetworkSandbox.try(ctx)
	if asRoot == nil {
		return NetworkSandbox, nil
	}
	asUser := UserSandbox.try(ctx)
	switch {
	case ctx.Err() != nil:
		return NoSandbox, context.Cause(ctx)
	case asUser == nil:
		return UserSandbox, nil
	}
	return NoSandbox, fmt.Errorf("make a %s (which takes root): %w; make a %s: %w; to allow it, %s",
		NetworkSandbox, asRoot, UserSandbox, asUser, UserNamespaceFix())
}

// UserNamespaceFix names the setting that forbids user namespaces, if one does.
func UserNamespaceFix() string {
	for _, s := range []struct{ file, forbids, fix string }{
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"},
		{"/proc/sys/user/max_net_namespaces", "0", "sysctl -w user.max_net_namespaces=10000"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
	} {
		data, err := os.ReadFile(s.file)
		if err == nil && strings.TrimSpace(string(data)) == s.forbids {
			return s.fix
		}
	}
	return "allow unshare and mount, which a container's seccomp filter may forbid, or run mslab with sudo"
}

// try makes the sandbox, has AnswerProbe see to it that it can be furnished,
// and lets it go.
func (s Sandbox) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	// The death signal comes when the thread that started the program ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := s.command(mark{Probe: true})
	if err != nil {
		return err
	}
	var said strings.Builder
	cmd.Stderr = &said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return reason(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	switch err := cmd.Wait(); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("nothing came back within %s: %w", probeLimit, ctx.Err())
	case said.Len() > 0:
		return errors.New(firstLine(said.String()))
	default:
		return err
	}
}

// reason is what the kernel said, without the path of the program: what failed
// is the namespaces, not the program.
func reason(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// AnswerProbe is the other end of FindSandbox's trials. A program that calls
// FindSandbox calls it first of all, and where probed is true ends with that
// exit code at once.
func AnswerProbe(stderr io.Writer) (exit int, probed bool) {
	m, err := readMark()
	if !m.Probe {
		return 0, false
	}
	if err == nil {
		err = tryFurnishing()
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 1, true
	}
	return 0, true
}

// Inside says in which sandbox this process runs, NoSandbox in none. The mark
// alone does not make it so: the network namespace must be another than the one
// that the mark names.
func Inside() Sandbox {
	if m, err := readMark(); err == nil && m.Sandbox != "" {
		return m.Sandbox
	}
	return NoSandbox
}

// readMark reads the mark of this process. The error says that it is not where
// the mark says.
func readMark() (mark, error) {
	var m mark
	text := os.Getenv(SandboxVariable)
	if text == "" {
		return m, nil
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return mark{}, fmt.Errorf("read %s: %w", SandboxVariable, err)
	}
	own, err := netns()
	if err != nil {
		return m, err
	}
	if own == m.Outer || m.Sandbox != NetworkSandbox && m.Sandbox != UserSandbox {
		return m, errors.New("not in a network namespace of its own: nothing is done")
	}
	return m, nil
}

// netns names the network namespace of this process.
func netns() (string, error) {
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", fmt.Errorf("the kernel has no network namespaces: %w", err)
	}
	return name, nil
}

// command runs this program once more in the sandbox.
func (s Sandbox) command(m mark, args ...string) (*exec.Cmd, error) {
	var err error
	m.Sandbox = s
	if m.Outer, err = netns(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("mark a sandbox: %w", err)
	}
	cmd := exec.Command(ownProgram(), args...)
	cmd.Args[0] = os.Args[0] // a program may go by the name that it was called by
	cmd.Env = append(os.Environ(), SandboxVariable+"="+string(text))
	cmd.SysProcAttr = s.SysProcAttr()
	return cmd, nil
}

// ownProgram is a path of this very program: its own where that still leads to
// it, so that it can be found by its name in a list of processes.
func ownProgram() string {
	const self = "/proc/self/exe"
	path, err := os.Executable()
	if err != nil {
		return self
	}
	named, err := os.Stat(path)
	if err != nil {
		return self
	}
	running, err := os.Stat(self)
	if err != nil || !os.SameFile(named, running) || unix.Access(path, unix.X_OK) != nil {
		return self
	}
	return path
}

// Run runs this program once more in the sandbox, with the given arguments, and
// returns its exit code: 128 + N where signal N ended it. SIGINT, SIGTERM and
// SIGHUP are handed on, the terminal's stop (SIGTSTP) too, and when ctx ends the
// program is sent SIGTERM. It dies with this process, even on kill -9.
func (s Sandbox) Run(ctx context.Context, args []string, stdio Stdio) (exit int, err error) {
	cmd, err := s.command(mark{Sysctls: networkSysctls(results.CaptureEnvironment().Sysctls)}, args...)
	if err != nil {
		return 0, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdio.In, stdio.Out, stdio.Err
	// The terminal's Ctrl-C reaches this process only, which passes it on, so
	// that the program gets it once.
	cmd.SysProcAttr.Setpgid = true
	return supervise(ctx, cmd)
}
