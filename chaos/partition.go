package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// The ways to cut a port off.
const (
	viaNft      = "nft"
	viaLease    = "nft-lease"
	viaIptables = "iptables"
)

// The directions of a partition, as the server sees them.
const (
	directionIn   = "in"
	directionOut  = "out"
	directionBoth = "both"
)

// The chains that packets are dropped in by iptables.
const (
	chainInput  = "INPUT"
	chainOutput = "OUTPUT"
)

// partition cuts a TCP port off: packets are lost without a word, as behind a
// cable that was pulled.
//
// They are dropped where they come in, not where they go out: a packet that is
// dropped in OUTPUT is an error to its sender, who sends it again within
// milliseconds, whereas one that was lost on its way is sent again by the timers
// of TCP (RFC 6298), whose doubled waits go on after the fault is healed.
func partition() Fault {
	return Fault{
		Name:  "partition",
		About: "cuts a port off: its packets on loopback are lost without a word",
		Needs: "CAP_NET_ADMIN (root, or a sandbox: mslab run partition)",
		Options: []Option{
			{"via", viaNft, []string{viaNft, viaLease, viaIptables}, "what drops the packets: an nft table that vanishes with its owner, one whose rule holds for 2 s and is renewed, or iptables"},
			{"direction", directionIn, []string{directionIn, directionOut, directionBoth}, "which packets: those to the port, those from it, or both"},
			{"chain", chainInput, []string{chainInput, chainOutput}, "with iptables: where they are dropped; OUTPUT is an error to the sender"},
		},
		Check:   checkPartition,
		Plan:    planPartition,
		Try:     tryPartition,
		prepare: preparePartition,
		inject:  injectPartition,
		verify:  verifyPartition,
		observe: observePartition,
		undo:    undoPartition,
		sweep:   sweepPartition,
	}
}

func checkPartition(s Spec) error {
	switch {
	case s.Target.Port == 0:
		return usagef("partition: needs a port; without one it would cut off everything")
	case s.Options["chain"] != chainInput && s.Options["via"] != viaIptables:
		return usagef("partition: the chain is chosen with iptables only")
	}
	return nil
}

// markOf is what everything that an entry injects is named.
func markOf(id string) string { return "mslab-" + id }

// flow is one direction of a partition.
type flow struct {
	toPort bool // else from it
}

// flows are the directions that a spec asks for.
func flows(s Spec) []flow {
	switch s.Options["direction"] {
	case directionOut:
		return []flow{{false}}
	case directionBoth:
		return []flow{{true}, {false}}
	}
	return []flow{{true}}
}

// answer is what an attempt to connect came to.
type answer string

const (
	answerConnected answer = "connected"
	answerRefused   answer = "refused"
	answerNone      answer = "no answer"
)

// connectTo tries a connection, and closes it.
func connectTo(ctx context.Context, address netip.AddrPort, wait time.Duration) (answer, error) {
	dialer := net.Dialer{Timeout: wait}
	conn, err := dialer.DialContext(ctx, "tcp", address.String())
	var timeout net.Error
	switch {
	case err == nil:
		return answerConnected, conn.Close()
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, syscall.ECONNREFUSED):
		return answerRefused, nil
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, syscall.EPERM):
		return answerNone, nil
	}
	return "", fmt.Errorf("connect to %s: %w", address, err)
}

// Before a partition a connection gets three times beforeWait, for a server that
// is busy; a SYN that was lost is sent again after 1 s. While it is cut off, a
// connection that would be made is made within microseconds, so that a short
// fault is checked for as long as it lasts, and for leastWait at least.
const (
	beforeWait = 500 * time.Millisecond
	duringWait = 100 * time.Millisecond
	leastWait  = 10 * time.Millisecond
)

// probeBefore finds the address to try, and what it answers before the fault.
func probeBefore(ctx context.Context, t Target) (netip.AddrPort, answer, error) {
	candidates := []netip.Addr{t.Address}
	if !t.Address.IsValid() {
		candidates = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	var address netip.AddrPort
	for range 3 {
		got := answerRefused
		for _, c := range candidates {
			tried, err := connectTo(ctx, netip.AddrPortFrom(c, uint16(t.Port)), beforeWait)
			if ctx.Err() != nil {
				return address, "", ctx.Err()
			}
			if err == nil && tried != answerRefused {
				address, got = netip.AddrPortFrom(c, uint16(t.Port)), tried
				break
			}
		}
		switch got {
		case answerRefused:
			return address, "", fmt.Errorf("nothing listens on %s, so that nothing would be cut off and nothing could be seen of it; start the server, or give the port of one", net.JoinHostPort(candidates[0].String(), strconv.Itoa(t.Port)))
		case answerConnected:
			return address, got, nil
		}
	}
	return address, answerNone, nil
}

// judge tells whether a partition bit: nobody answers, and packets were dropped.
func judge(address netip.AddrPort, before, during answer, wait time.Duration, dropped uint64) (bool, []Fact) {
	facts := []Fact{
		{"probe_before", string(before), fmt.Sprintf("before, %s: %s", address, before)},
		{"probe_during", string(during), fmt.Sprintf("cut off, for %s: %s", wait.Round(time.Millisecond), during)},
		{"packets_dropped_at_check", dropped, fmt.Sprintf("packets dropped by then: %d", dropped)},
	}
	return during == answerNone && dropped > 0, facts
}
