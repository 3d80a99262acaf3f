package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"mslab/scenarios"
)

// The stages of Inside beside the name of a network namespace.
const (
	stageWait = "wait" // until stdin ends
	stageUser = "user" // try a user namespace as the user that this process is
)

// The steps inside a namespace.
const (
	stepLoopback = "bring up loopback and connect"
	stepSysctl   = "set tcp_abort_on_overflow"
	stepMount    = "mount a tmpfs over /run"
	stepNftables = "nftables"
	stepNft      = "nft"
	stepIptables = "iptables"
)

// insideLimit leaves the parent time to hear of it.
const insideLimit = limitEach - 2*grace

// ownTable is the name of what is added to the empty rules of the namespace.
const ownTable = "mslab_doctor"

// step is what came of one step: what was done, or why it failed.
type step struct {
	Said    string `json:"said"`
	Failed  string `json:"failed"`
	Missing bool   `json:"missing"` // failed, because a command is not installed
}

// Inside is the other end of the checks that start this program once more. The
// stage is the name of the network namespace that the parent is in: this
// process must be in another one, new and unused, or nothing is done.
func Inside(ctx context.Context, stdout io.Writer, o Options, stage string) error {
	ctx, cancel := context.WithTimeout(ctx, insideLimit)
	defer cancel()
	var steps map[string]step
	var err error
	switch stage {
	case stageWait:
		_, err = io.Copy(io.Discard, os.Stdin)
		return err
	case stageUser:
		steps, err = (&machine{again: o.Again}).inUser(ctx)
	default:
		if err = insideNew(stage); err == nil {
			steps = takeSteps(ctx)
		}
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(steps)
}

// insideNew makes sure that this is a new network namespace, so that no rule or
// setting of the host is touched by mistake: another one than the parent's, with
// nothing in it but a loopback device that is down, which is never so on a host.
func insideNew(outer string) error {
	own, err := netns()
	if err != nil {
		return err
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list the network devices: %w", err)
	}
	if !strings.HasPrefix(outer, "net:[") || own == outer {
		return errors.New("not in a network namespace of its own: nothing is tried")
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 {
			return fmt.Errorf("the network device %s is up, so this namespace is not new: nothing is tried", i.Name)
		}
	}
	return nil
}

// takeSteps takes each step, whatever became of the ones before it.
func takeSteps(ctx context.Context) map[string]step {
	// The programs that are run die with the thread that starts them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	steps := map[string]step{}
	for _, s := range []struct {
		name string
		take func(context.Context) (said string, err error)
	}{
		{stepLoopback, connectOverLoopback},
		{stepSysctl, setAbortOnOverflow},
		{stepMount, mountOverRun}, // iptables wants its lock there
		{stepNftables, addOwnedTable},
		{stepNft, runNft},
		{stepIptables, runIptables},
	} {
		said, err := s.take(ctx)
		if err != nil {
			steps[s.name] = step{Failed: firstLine(err.Error()), Missing: errors.As(err, new(notInstalled))}
			continue
		}
		steps[s.name] = step{Said: said}
	}
	return steps
}

func connectOverLoopback(context.Context) (string, error) {
	if err := scenarios.LoopbackUp(); err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	c, err := net.DialTimeout("tcp", l.Addr().String(), 200*time.Millisecond)
	if err != nil {
		return "", err
	}
	return "connected", c.Close()
}

func setAbortOnOverflow(context.Context) (string, error) {
	const file = "/proc/sys/net/ipv4/tcp_abort_on_overflow"
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		return "", err
	}
	if got := readWord(file); got != "1" {
		return "", fmt.Errorf("wrote 1 to %s and read %s", file, got)
	}
	return "set", nil
}

func mountOverRun(context.Context) (string, error) {
	return "mounted", scenarios.CoverRun()
}

// runNft adds a table of its own to rules that are empty, and deletes it.
func runNft(ctx context.Context) (string, error) {
	nft := findTool("nft")
	if nft == "" {
		return "", notInstalled("nft")
	}
	if _, err := output(ctx, nft, "add", "table", "inet", ownTable); err != nil {
		return "", err
	}
	rules, err := output(ctx, nft, "list", "ruleset")
	if err == nil && !strings.Contains(rules, ownTable) {
		err = errors.New("added a table that nft list ruleset does not show")
	}
	if err != nil {
		return "", err
	}
	if _, err := output(ctx, nft, "delete", "table", "inet", ownTable); err != nil {
		return "", err
	}
	return "nft added, listed and deleted a table", nil
}

// runIptables adds a chain with a rule, and deletes it.
func runIptables(ctx context.Context) (string, error) {
	iptables := findTool("iptables")
	if iptables == "" {
		return "", notInstalled("iptables")
	}
	for _, args := range [][]string{
		{"-N", ownTable},
		{"-A", ownTable, "-p", "tcp", "--dport", "1", "-j", "DROP"},
		{"-S", ownTable},
		{"-F", ownTable},
		{"-X", ownTable},
	} {
		if _, err := output(ctx, iptables, args...); err != nil {
			return "", err
		}
	}
	return "iptables added, listed and deleted a chain with a rule", nil
}

// notInstalled is the error of a command that is missing.
type notInstalled string

func (command notInstalled) Error() string { return "there is no command " + string(command) }

// output runs a command; its error is the first line of what it said.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = grace
	out, err := cmd.CombinedOutput()
	if err == nil {
		return string(out), nil
	}
	if said := firstLine(string(out)); said != "" {
		err = errors.New(said)
	}
	return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
}
