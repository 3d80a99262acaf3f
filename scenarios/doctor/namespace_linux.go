package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"mslab/results"
	"mslab/scenarios"
)

// nobody is the user that root's trial of unprivileged namespaces becomes: the
// kernel's overflow id (/proc/sys/kernel/overflowuid).
const nobody = 65534

// ownProgram is this very program, also where its path is not open to the user
// that runs it.
const ownProgram = "/proc/self/exe"

// AgainVariable is set for this program when a check runs it once more. Test
// binaries refuse to test with it: one that runs all its tests where a check
// expects a stage would start itself without end.
const AgainVariable = "MSLAB_DOCTOR_AGAIN"

// trialInside is what came of the steps inside a namespace, tried once.
type trialInside struct {
	once  sync.Once
	steps map[string]step
	err   error
}

// command runs this program once more at a stage of Inside. It is killed when
// ctx ends, or the thread that starts it.
func (m *machine) command(ctx context.Context, stage string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, ownProgram, append(append([]string{}, m.again...), stage)...)
	cmd.Args[0] = os.Args[0] // a program may go by the name that it was called by
	cmd.Env = append(os.Environ(), AgainVariable+"=1")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = grace
	return cmd
}

// enter runs the stage by the given attributes and reads what it found.
func (m *machine) enter(ctx context.Context, stage string, attr *syscall.SysProcAttr) (map[string]step, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stdout, stderr strings.Builder
	cmd := m.command(ctx, stage)
	attr.Pdeathsig = cmd.SysProcAttr.Pdeathsig
	cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = attr, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		switch said := strings.TrimPrefix(firstLine(stderr.String()), "mslab: "); {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("nothing came back within %s (%w)", limitEach, ctx.Err())
		case said != "":
			return nil, errors.New(said)
		}
		return nil, cause(err)
	}
	steps := map[string]step{}
	if err := json.Unmarshal([]byte(stdout.String()), &steps); err != nil {
		return nil, fmt.Errorf("read what came back: %w", err)
	}
	return steps, nil
}

// inNet tries a network and mount namespace, as root may make them.
func (m *machine) inNet(ctx context.Context) (map[string]step, error) {
	t := &m.net
	t.once.Do(func() {
		var outer string
		if outer, t.err = netns(); t.err == nil {
			t.steps, t.err = m.enter(ctx, outer, scenarios.NetworkSandbox.SysProcAttr())
		}
	})
	return t.steps, t.err
}

// inUser tries them in a user namespace. Root does so as nobody, since what
// root may do says nothing of the others.
func (m *machine) inUser(ctx context.Context) (map[string]step, error) {
	t := &m.user
	t.once.Do(func() {
		if os.Geteuid() == 0 {
			t.steps, t.err = m.enter(ctx, stageUser, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}})
			return
		}
		var outer string
		if outer, t.err = netns(); t.err == nil {
			t.steps, t.err = m.enter(ctx, outer, scenarios.UserSandbox.SysProcAttr())
		}
	})
	return t.steps, t.err
}

func (m *machine) netNamespace(ctx context.Context) results.Finding {
	steps, err := m.inNet(ctx)
	fix := needRoot()
	if os.Geteuid() != 0 {
		fix += ", or use the user namespace below"
	}
	return namespaceFinding("a network namespace", fix, steps, err)
}

func (m *machine) userNamespace(ctx context.Context) results.Finding {
	what := "a user and a network namespace"
	if os.Geteuid() == 0 {
		what += fmt.Sprintf(" as user %d", nobody)
	}
	steps, err := m.inUser(ctx)
	return namespaceFinding(what, scenarios.UserNamespaceFix(), steps, err)
}

// namespaceFinding judges the steps that a sandbox needs.
func namespaceFinding(what, fix string, steps map[string]step, err error) results.Finding {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return results.Fails(onceMore, "make %s: %v", what, err)
	case err != nil:
		return results.Fails(fix, "make %s: %v", what, err)
	}
	for _, name := range []string{stepLoopback, stepSysctl, stepMount} {
		if s := steps[name]; s.Failed != "" {
			return results.Fails(fix, "made %s, but failed inside to %s: %s", what, name, s.Failed)
		}
	}
	return results.Works("made %s: loopback up, tcp_abort_on_overflow set, tmpfs over /run", what)
}

func (m *machine) nftables(ctx context.Context) results.Finding {
	return m.firewall(ctx, stepNftables, "", "use a kernel with CONFIG_NF_TABLES (modprobe nf_tables), 5.12 or newer")
}

func (m *machine) nft(ctx context.Context) results.Finding {
	return m.firewall(ctx, stepNft, "install the package nftables, to look at the rules that a fault adds", "modprobe nf_tables")
}

func (m *machine) iptables(ctx context.Context) results.Finding {
	return m.firewall(ctx, stepIptables, "install the package iptables; only --via iptables wants it", "modprobe ip_tables, or do without --via iptables")
}

// firewall tells what came of a step in the namespace that this user would get,
// and what to install where its command is missing.
func (m *machine) firewall(ctx context.Context, name, install, fix string) results.Finding {
	in := m.inNet
	if os.Geteuid() != 0 {
		in = m.inUser
	}
	steps, err := in(ctx)
	switch s := steps[name]; {
	case err != nil:
		return results.Fails("see net namespace and user namespace", "no namespace to try it in: %v", err)
	case s.Missing:
		return results.Fails(install, "%s", s.Failed)
	case s.Failed != "":
		return results.Fails(fix, "in a namespace of its own: %s", s.Failed)
	default:
		return results.Works("in a namespace of its own: %s", s.Said)
	}
}

// netns names the network namespace of this process.
func netns() (string, error) {
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", fmt.Errorf("the kernel has no network namespaces: %w", cause(err))
	}
	return name, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
