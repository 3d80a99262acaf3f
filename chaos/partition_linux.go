package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// partitioned is what the process that injects a partition holds.
type partitioned struct {
	cut     *cut // nil with iptables
	address netip.AddrPort
	before  answer
}

// errNoRight says what is missing, and what works without it.
func errNoRight(err error) error {
	return fmt.Errorf("it takes CAP_NET_ADMIN, which this process lacks (%w); run it with sudo, or without root in a sandbox: mslab run partition", err)
}

func tryPartition(_ context.Context, s Spec) error {
	owned, err := tryNetfilter()
	via := s.Options["via"]
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return errNoRight(unix.EPERM)
	case err != nil:
		return fmt.Errorf("the kernel has no nftables (%w); modprobe nf_tables", err)
	case via == viaNft && !owned:
		return fmt.Errorf("this kernel knows no nft tables with an owner (Linux 5.12); use --via %s", viaLease)
	case via == viaIptables:
		name, _ := iptablesTool(s.Target.Address)
		_, err := findTool(name)
		return err
	}
	return nil
}

func planPartition(_ context.Context, s Spec) (Plan, error) {
	const id = "PID-START-RANDOM"
	if s.Options["via"] == viaIptables {
		return planIptables(s, id)
	}
	return planNft(s, id), nil
}

func planNft(s Spec, id string) Plan {
	// A semicolon is escaped from the shell.
	flags, match := `{ flags owner\; }`, fmt.Sprint(s.Target.Port)
	p := Plan{}
	if s.Options["via"] == viaLease {
		flags, match = "", "@"+nftSet
	}
	table := "inet " + tableName(id)
	p.Inject = append(p.Inject, strings.TrimSpace("nft add table "+table+" "+flags))
	if s.Options["via"] == viaLease {
		p.Inject = append(p.Inject,
			fmt.Sprintf(`nft add set %s %s { type inet_service\; flags timeout\; }`, table, nftSet),
			fmt.Sprintf("nft add element %s %s { %d timeout %s }", table, nftSet, s.Target.Port, nftLease))
	}
	p.Inject = append(p.Inject, fmt.Sprintf(`nft add chain %s %s { type filter hook input priority raw\; }`, table, nftChain))
	for _, f := range flows(s) {
		rule := ""
		if a := s.Target.Address; !a.IsValid() || a.IsLoopback() {
			rule += " iifname lo"
		}
		way, address := "sport", "saddr"
		if f.toPort {
			way, address = "dport", "daddr"
		}
		if a := s.Target.Address; a.IsValid() {
			family := "ip"
			if a.Is6() {
				family = "ip6"
			}
			rule += fmt.Sprintf(" %s %s %s", family, address, a)
		}
		p.Inject = append(p.Inject, fmt.Sprintf("nft add rule %s %s%s tcp %s %s counter drop", table, nftChain, rule, way, match))
	}
	p.Undo = []string{"nft delete table " + table}
	p.Notes = []string{"Sent by netlink, without the command nft, at whose end the table would vanish: the kernel removes it with the socket that owns it, so also after kill -9."}
	if s.Options["via"] == viaLease {
		p.Notes = []string{fmt.Sprintf("Sent by netlink, without the command nft. The element is renewed every %s: without its process the rule drops nothing after %s.", nftRenewal, nftLease)}
	}
	return p
}

func planIptables(s Spec, id string) (Plan, error) {
	name, family := iptablesTool(s.Target.Address)
	var p Plan
	for _, rule := range iptablesRules(s, markOf(id)) {
		text := strings.Join(rule, " ")
		p.Inject = append(p.Inject, fmt.Sprintf("%s -w %s -I %s %s", name, iptablesWait, s.Options["chain"], text))
		p.Undo = append(p.Undo, fmt.Sprintf("%s -w %s -D %s %s", name, iptablesWait, s.Options["chain"], text))
	}
	state, err := iptablesState(family)
	if err != nil {
		return p, nil // without rights the system is not looked at
	}
	if !strings.Contains(","+state[stateChains]+",", ","+s.Options["chain"]+",") {
		p.Undo = append(p.Undo, fmt.Sprintf("nft delete chain %s filter %s # if iptables has made it", nftFamily(family), s.Options["chain"]))
	}
	if state[stateTable] == "false" {
		p.Undo = append(p.Undo, fmt.Sprintf("nft delete table %s filter # if iptables has made it", nftFamily(family)))
	}
	return p, nil
}

// nftFamily is what the command nft calls a family that iptables works on.
func nftFamily(family nftables.TableFamily) string {
	if family == nftables.TableFamilyIPv6 {
		return "ip6"
	}
	return "ip"
}

func preparePartition(_ context.Context, w *work) error {
	if w.via == viaIptables {
		return w.prepareIptables()
	}
	return nil
}

func injectPartition(ctx context.Context, w *work) error {
	address, before, err := probeBefore(ctx, w.Target)
	if err != nil {
		return err
	}
	w.live = &partitioned{address: address, before: before}
	if w.via == viaIptables {
		return w.injectIptables(ctx)
	}
	c, err := makeCut(w.ID, w.via == viaNft)
	if err != nil {
		return err
	}
	w.live.(*partitioned).cut = c
	if w.via == viaLease {
		c.lease = newLease(c.table, w.Target.Port)
	}
	err = w.effect(func() error { return c.drop(w.Spec) })
	if c.lease != nil {
		go c.lease.keep(c.netfilter)
	}
	return err
}

func verifyPartition(ctx context.Context, w *work) (bool, []Fact, error) {
	p := w.live.(*partitioned)
	wait := w.checkWait()
	during, err := connectTo(ctx, p.address, wait)
	if err != nil {
		return false, nil, err
	}
	dropped, err := w.droppedPackets(ctx, p)
	if err != nil {
		return false, nil, err
	}
	bit, facts := judge(p.address, p.before, during, wait, dropped)
	return bit, facts, nil
}

// checkWait is for how long a connection is tried while the port is cut off: not
// beyond the fault's own time, where that allows for a check at all.
func (w *work) checkWait() time.Duration {
	if w.Duration == 0 {
		return duringWait
	}
	return min(duringWait, max(leastWait, w.Duration-time.Since(w.span.end)))
}

func (w *work) droppedPackets(ctx context.Context, p *partitioned) (uint64, error) {
	if p.cut == nil {
		return w.droppedByIptables(ctx)
	}
	return p.cut.dropped()
}

func observePartition(ctx context.Context, w *work) []Fact {
	p, ok := w.live.(*partitioned)
	if !ok {
		return nil
	}
	var facts []Fact
	if n, err := w.droppedPackets(ctx, p); err == nil {
		facts = append(facts, Fact{"packets_dropped", n, fmt.Sprintf("packets dropped: %d", n)})
	}
	if p.cut != nil && p.cut.lease != nil && p.cut.lease.lapsed.Load() {
		facts = append(facts, Fact{"lease_lapsed", true, "the lease ran out before the end: this process was held up for " + nftLease.String()})
	}
	return facts
}

func undoPartition(ctx context.Context, w *work) error {
	if w.via == viaIptables {
		return w.undoIptables(ctx)
	}
	p, ok := w.live.(*partitioned)
	if !ok || p.cut == nil {
		return removeNftTable(w.ID)
	}
	if p.cut.lease != nil {
		p.cut.lease.end()
	}
	if err := w.effect(func() error { return p.cut.removeTable(w.ID) }); err == nil {
		return p.cut.close()
	}
	return w.effect(func() error { // what the socket owned goes with it
		_ = p.cut.close()
		return removeNftTable(w.ID)
	})
}

func removeNftTable(id string) error {
	n, err := openNetfilter()
	if err != nil {
		return err
	}
	return errors.Join(n.removeTable(id), n.close())
}

func sweepPartition(ctx context.Context, id string) error {
	if _, err := tryNetfilter(); errors.Is(err, unix.EPERM) {
		return nil // who may not change rules here has not changed any
	}
	if err := removeNftTable(id); err != nil {
		return err
	}
	for _, example := range []netip.Addr{{}, netip.IPv6Loopback()} {
		name, family := iptablesTool(example)
		if _, err := findTool(name); err != nil {
			continue // it was not used, then
		}
		// Listing rules by the command makes a table where there is none.
		if state, err := iptablesState(family); err != nil || state[stateTable] != "true" {
			continue
		}
		w := &work{Entry: Entry{Spec: Spec{Target: Target{Address: example}}}, dir: os.TempDir()}
		if err := w.deleteRules(ctx, markOf(id)); err != nil {
			return err
		}
	}
	return nil
}
