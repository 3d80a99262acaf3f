package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// iptablesTool is the command for an address family: the zero address is IPv4,
// as the command's name has it.
func iptablesTool(a netip.Addr) (name string, family nftables.TableFamily) {
	if a.Is6() {
		return "ip6tables", nftables.TableFamilyIPv6
	}
	return "iptables", nftables.TableFamilyIPv4
}

// findTool looks where the system's tools are too: PATH of a user often has no
// sbin.
func findTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no command %s; install the package iptables, or use --via nft, which needs none", name)
}

// iptablesWait is for the lock that old versions of iptables share, in seconds.
const iptablesWait = "5"

const iptablesLock = "/run/xtables.lock"

// iptables runs the command and returns what it printed.
func (w *work) iptables(ctx context.Context, args ...string) (string, error) {
	name, _ := iptablesTool(w.Target.Address)
	path, err := findTool(name)
	if err != nil {
		return "", err
	}
	cmd := w.command(ctx, path, append([]string{"-w", iptablesWait, "-t", "filter"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if os.Getenv("XTABLES_LOCKFILE") == "" && unix.Access(iptablesLock, unix.W_OK) != nil && unix.Access(filepath.Dir(iptablesLock), unix.W_OK) != nil {
		cmd.Env = append(cmd.Env, "XTABLES_LOCKFILE="+filepath.Join(w.dir, "xtables.lock"))
	}
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		if line := firstComplaint(said.String()); line != "" {
			err = errors.New(line)
		}
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

// firstComplaint is the first line of what iptables said that is no mere remark.
func firstComplaint(said string) string {
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

// iptablesRules are the rules of a spec without the command's verb: what follows
// -I CHAIN. In OUTPUT a packet to the port is on its way out.
func iptablesRules(s Spec, mark string) [][]string {
	device := "-i"
	if s.Options["chain"] == chainOutput {
		device = "-o"
	}
	var rules [][]string
	for _, f := range flows(s) {
		var rule []string
		address, port := "-d", "--dport"
		if !f.toPort {
			address, port = "-s", "--sport"
		}
		if a := s.Target.Address; !a.IsValid() || a.IsLoopback() {
			rule = append(rule, device, "lo")
		}
		if s.Target.Address.IsValid() {
			rule = append(rule, address, s.Target.Address.String())
		}
		rules = append(rules, append(rule, "-p", "tcp", port, strconv.Itoa(s.Target.Port),
			"-m", "comment", "--comment", mark, "-j", "DROP"))
	}
	return rules
}

// The keys of a journal's State: the table and the chains that were there
// before iptables was run; what it makes beside the rules goes with them.
const (
	stateTable  = "table_existed"
	stateChains = "chains_existed"
)

// builtinChains are those that iptables makes by itself, one or all of them.
var builtinChains = []string{chainInput, "FORWARD", chainOutput}

// iptablesState looks for the table and the chains by netlink, since listing
// them by the command may make them.
func iptablesState(family nftables.TableFamily) (map[string]string, error) {
	n, err := openNetfilter()
	if err != nil {
		return nil, err
	}
	defer func() { _ = n.close() }()
	tables, err := n.ListTablesOfFamily(family)
	if err != nil {
		return nil, fmt.Errorf("list the tables that are there: %w", err)
	}
	state := map[string]string{stateTable: strconv.FormatBool(slices.ContainsFunc(tables, isFilter))}
	chains, err := n.ListChainsOfTableFamily(family)
	if err != nil {
		return nil, fmt.Errorf("list the chains that are there: %w", err)
	}
	var names []string
	for _, c := range chains {
		if isFilter(c.Table) {
			names = append(names, c.Name)
		}
	}
	state[stateChains] = strings.Join(names, ",")
	return state, nil
}

func isFilter(t *nftables.Table) bool { return t.Name == "filter" }

// prepareIptables notes what is there. What another live fault of ours has
// caused counts as not there: the last one to heal removes it.
func (w *work) prepareIptables() error {
	_, family := iptablesTool(w.Target.Address)
	state, err := iptablesState(family)
	if err != nil {
		return err
	}
	for _, other := range w.others {
		_, its := iptablesTool(other.Target.Address)
		if _, noted := other.State[stateTable]; noted && other.Options["via"] == viaIptables && its == family {
			state = other.State
			break
		}
	}
	w.State = map[string]string{stateTable: state[stateTable], stateChains: state[stateChains]}
	return nil
}

// injectIptables puts the rules before those that are there: a firewall of the
// user's often accepts loopback first.
func (w *work) injectIptables(ctx context.Context) error {
	return w.effect(func() error {
		for _, rule := range iptablesRules(w.Spec, markOf(w.ID)) {
			if _, err := w.iptables(ctx, append([]string{"-I", w.Options["chain"]}, rule...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// droppedByIptables is how many packets the rules have dropped.
func (w *work) droppedByIptables(ctx context.Context) (uint64, error) {
	out, err := w.iptables(ctx, "-v", "-S", w.Options["chain"])
	if err != nil {
		return 0, err
	}
	var packets uint64
	for line := range strings.Lines(out) {
		fields := ruleFields(line)
		i := slices.Index(fields, "-c") // then packets and bytes
		if i < 0 || i+1 >= len(fields) || !slices.Contains(fields, markOf(w.ID)) {
			continue
		}
		n, err := strconv.ParseUint(fields[i+1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the counters of iptables: %w", err)
		}
		packets += n
	}
	return packets, nil
}

// ruleFields are the words of a rule that iptables has listed; old versions put
// comments in quotes.
func ruleFields(line string) []string {
	fields := strings.Fields(line)
	for i, f := range fields {
		fields[i] = strings.Trim(f, `"`)
	}
	return fields
}

// undoIptables deletes the rules, then what iptables has made for them.
func (w *work) undoIptables(ctx context.Context) error {
	if err := w.effect(func() error { return w.deleteRules(ctx, markOf(w.ID)) }); err != nil {
		return err
	}
	return w.removeCaused()
}

// deleteRules deletes the rules that bear the mark, whatever chain they are in.
// The command refuses to look at a table in which there are rules that it does
// not understand, which a user may have added with nft.
func (w *work) deleteRules(ctx context.Context, mark string) error {
	refused := w.deleteByCommand(ctx, mark)
	if refused == nil {
		return nil
	}
	_, family := iptablesTool(w.Target.Address)
	deleted, err := deleteMarked(family, mark)
	if err != nil || deleted == 0 && !w.onNftables(ctx) {
		return errors.Join(refused, err)
	}
	return nil
}

// onNftables tells whether iptables is the kind whose rules nft sees, all of
// them.
func (w *work) onNftables(ctx context.Context) bool {
	out, err := w.iptables(ctx, "--version")
	return err == nil && strings.Contains(out, "nf_tables")
}

func (w *work) deleteByCommand(ctx context.Context, mark string) error {
	out, err := w.iptables(ctx, "-S")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		fields := ruleFields(line)
		if len(fields) < 2 || fields[0] != "-A" || !slices.Contains(fields, mark) {
			continue
		}
		if _, err := w.iptables(ctx, append([]string{"-D"}, fields[1:]...)...); err != nil {
			return err
		}
	}
	return nil
}

// removeCaused removes chains and table that were not there before, if they are
// empty by now and as iptables makes them: the kernel refuses to delete a chain
// with rules or a table with chains, should anybody have added some meanwhile.
func (w *work) removeCaused() error {
	if w.State[stateTable] == "" {
		return nil // nothing was injected
	}
	_, family := iptablesTool(w.Target.Address)
	n, err := openNetfilter()
	if err != nil {
		return err
	}
	defer func() { _ = n.close() }()
	existed := strings.Split(w.State[stateChains], ",")
	chains, err := n.ListChainsOfTableFamily(family)
	if err != nil {
		return fmt.Errorf("list the chains that iptables has made: %w", err)
	}
	filter := &nftables.Table{Name: "filter", Family: family}
	for _, c := range chains {
		accepts := c.Policy == nil || *c.Policy == nftables.ChainPolicyAccept
		if !isFilter(c.Table) || !slices.Contains(builtinChains, c.Name) || slices.Contains(existed, c.Name) || !accepts {
			continue
		}
		if err := n.change(delEmptyChain(filter, c.Name)); err != nil && !inUse(err) {
			return fmt.Errorf("delete the chain %s that iptables has made: %w", c.Name, err)
		}
	}
	if w.State[stateTable] == "true" {
		return nil
	}
	if err := n.change(delTable(filter, nonRecursive)); err != nil && !inUse(err) {
		return fmt.Errorf("delete the table that iptables has made: %w", err)
	}
	return nil
}

// inUse tells whether there is nothing to delete, or somebody else uses it.
func inUse(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EBUSY) }
