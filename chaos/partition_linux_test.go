package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// playPartition injects a partition of a server and holds that it bites, until it
// is healed, and that nothing is left.
func playPartition(t *testing.T, address string, way map[string]string) {
	t.Helper()
	port, other := listen(t, address), listen(t, address)
	dir := journal(t)
	before := ruleset(t)
	s := Spec{Fault: "partition", Target: Target{Port: port}, Options: way}
	if address != "127.0.0.1" {
		s.Target.Address = netip.MustParseAddr(address)
	}
	begin := time.Now()
	i, err := Inject(t.Context(), s, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	status := i.Status()
	if !status.Verified || status.InjectedAt.Before(begin) || status.InjectedAt.After(time.Now()) || !status.HealedAt.IsZero() {
		t.Errorf("%+v", status)
	}
	t.Logf("took effect %s after the call, within %s; %v", status.InjectedAt.Sub(begin), status.InjectedWithin, status.Evidence)
	if connects(address, port) {
		t.Error("connected to the port that is cut off")
	}
	if !reaches(address, other) {
		t.Error("another port is cut off, too")
	}
	if len(entriesIn(t, dir)) != 1 {
		t.Errorf("in the journal: %v", entriesIn(t, dir))
	}
	if err := i.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status = i.Status(); !status.HealedAt.After(status.InjectedAt) {
		t.Errorf("%+v", status)
	}
	if !reaches(address, port) {
		t.Error("cut off after it was healed")
	}
	if after := ruleset(t); after != before {
		t.Errorf("rules before:\n%s\nafter:\n%s", before, after)
	}
	if left := entriesIn(t, dir); len(left) != 0 {
		t.Errorf("left in the journal: %v", left)
	}
}

func TestPartitionLastsForItsDuration(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	const d = 300 * time.Millisecond
	port := listen(t, "127.0.0.1")
	i, err := Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: port}, Duration: d}, options(journal(t)))
	if err != nil {
		t.Fatal(err)
	}
	<-i.Done()
	if err := i.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	status := i.Status()
	if lasted := status.HealedAt.Sub(status.InjectedAt); lasted < d || lasted > d+2*time.Second {
		t.Errorf("lasted %s, want %s", lasted, d)
	}
	if !reaches("127.0.0.1", port) {
		t.Error("cut off after it was healed")
	}
}

// ways are all the combinations of options that there are.
func ways() []map[string]string {
	var all []map[string]string
	for _, direction := range []string{directionIn, directionOut, directionBoth} {
		all = append(all,
			map[string]string{"via": viaNft, "direction": direction},
			map[string]string{"via": viaLease, "direction": direction},
			map[string]string{"via": viaIptables, "direction": direction},
			map[string]string{"via": viaIptables, "direction": direction, "chain": chainOutput},
		)
	}
	return all
}

// playAll plays all ways on the usual address, the usual direction on others.
func playAll(t *testing.T) {
	needTools(t, "nft", "iptables", "ip6tables")
	for _, address := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		for _, way := range ways() {
			if address != "127.0.0.1" && way["direction"] != directionIn {
				continue
			}
			t.Run(fmt.Sprintf("%s %v", address, way), func(t *testing.T) { playPartition(t, address, way) })
		}
	}
}

func TestPartition(t *testing.T) {
	if inNamespace(t) {
		playAll(t)
	}
}

func TestPartitionWithoutRoot(t *testing.T) {
	if inUserNamespace(t) {
		playAll(t)
	}
}

// TestEstablishedConnectionWaits holds that a partition is one: what is sent
// into it is not lost, and arrives by the timers of TCP after it is healed.
func TestEstablishedConnectionWaits(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	port := listen(t, "127.0.0.1")
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	i, err := Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: port}}, options(journal(t)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello\n")); err != nil {
		t.Errorf("the sender got an error: %v", err)
	}
	answer := make([]byte, 6)
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	if n, err := c.Read(answer); err == nil {
		t.Errorf("%d bytes came through the partition", n)
	}
	if err := i.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	healed := i.Status().HealedAt
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(answer); err != nil || string(answer) != "hello\n" {
		t.Fatalf("%q, %v", answer, err)
	}
	t.Logf("resumed %s after it was healed", time.Since(healed))
}

func TestPartitionRefuses(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir, port := journal(t), listen(t, "127.0.0.1")
	closed := listen(t, "127.0.0.3") // nothing on 127.0.0.1
	before := ruleset(t)
	i, err := Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: port}}, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: port}, Options: map[string]string{"via": viaIptables}}, options(dir))
	if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "a fault already") {
		t.Errorf("a second fault on the port: %v", err)
	}
	if err := i.Heal(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: closed}}, options(dir))
	if err == nil || !strings.Contains(err.Error(), "nothing listens on 127.0.0.1:") {
		t.Errorf("a port where nothing listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Inject(ctx, Spec{Fault: "partition", Target: Target{Port: port}}, options(dir)); err == nil {
		t.Error("injected with a context that has ended")
	}
	if after := ruleset(t); after != before || len(entriesIn(t, dir)) != 0 {
		t.Errorf("left: %v\n%s", entriesIn(t, dir), after)
	}
}

func TestPartitionEndsWithItsContext(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir, port := journal(t), listen(t, "127.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	i, err := Inject(ctx, Spec{Fault: "partition", Target: Target{Port: port}}, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-i.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("not healed")
	}
	if err := i.Heal(t.Context()); err != nil || !reaches("127.0.0.1", port) {
		t.Errorf("%v, or still cut off", err)
	}
}

// TestLeaseExpires stops renewing a lease, as the death of its process does: its
// rule then drops nothing any more.
func TestLeaseExpires(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	port := listen(t, "127.0.0.1")
	c, err := makeCut("1-1-00000000", false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.close() }()
	c.lease = newLease(c.table, port)
	s := Spec{Target: Target{Port: port}, Options: map[string]string{"direction": directionIn}}
	if err := c.drop(s); err != nil {
		t.Fatal(err)
	}
	begin, longest := time.Now(), time.Duration(0)
	go c.lease.keep(c.netfilter)
	for time.Since(begin) < 3*time.Second {
		tried := time.Now()
		connected := connects("127.0.0.1", port)
		longest = max(longest, time.Since(tried))
		if connected && longest > nftLease-nftRenewal {
			// Nothing can be said of a lease that could not be renewed; that it
			// runs out can.
			t.Logf("this process was held up for %s, in which it could not renew the lease", longest)
			break
		}
		if connected {
			t.Fatalf("connected %s after the cut, while the lease is renewed", time.Since(begin))
		}
	}
	c.lease.end()
	ended := time.Now()
	eventually(t, nftLease+3*time.Second, "the lease runs out", func() bool { return connects("127.0.0.1", port) })
	t.Logf("connected %s after it was renewed no more", time.Since(ended))
	if err := c.removeTable("1-1-00000000"); err != nil {
		t.Error(err)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	before := ruleset(t)
	for _, way := range ways() {
		s := Spec{Fault: "partition", Target: Target{Port: 8080}, Options: way}
		p, err := DryRun(t.Context(), s, Options{})
		if err != nil || len(p.Inject) == 0 || len(p.Undo) == 0 {
			t.Fatalf("%v: %+v, %v", way, p, err)
		}
		if way["via"] == viaIptables {
			continue
		}
		// What it prints is what a shell and nft take, and what is sent.
		for _, line := range p.Inject {
			shell(t, strings.ReplaceAll(line, `{ flags owner\; }`, "")) // it would vanish with nft
		}
		printed := ruleset(t)
		nft(t, "flush ruleset\n", "-f", "-")
		c, err := makeCut("PID-START-RANDOM", false)
		if err != nil {
			t.Fatal(err)
		}
		if way["via"] == viaLease {
			c.lease = newLease(c.table, 8080)
		}
		if err := c.drop(s.withDefaults(partition())); err != nil {
			t.Fatal(err)
		}
		if sent := ruleset(t); withoutExpiry(sent) != withoutExpiry(printed) {
			t.Errorf("%v: printed:\n%s\nsent:\n%s", way, printed, sent)
		}
		nft(t, "flush ruleset\n", "-f", "-")
		_ = c.close()
	}
	if after := ruleset(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestDryRunOfIptables has a shell do and undo what is printed: nothing is left.
func TestDryRunOfIptables(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables", "ip6tables")
	before := ruleset(t)
	for _, address := range []string{"", "127.0.0.1", "::1"} {
		s := Spec{Fault: "partition", Target: Target{Port: 8080}, Options: map[string]string{"via": viaIptables, "direction": directionBoth}}
		if address != "" {
			s.Target.Address = netip.MustParseAddr(address)
		}
		p, err := DryRun(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		shell(t, strings.Join(p.Inject, "\n"))
		if during := ruleset(t); strings.Count(during, "port 8080") != 2 {
			t.Errorf("%q: injected:\n%s", address, during)
		}
		shell(t, strings.Join(p.Undo, "\n"))
		if after := ruleset(t); after != before {
			t.Errorf("%q: before:\n%s\nafter:\n%s", address, before, after)
		}
	}
}

// shell runs lines as one that they are pasted into, and ends with the first that
// fails.
func shell(t *testing.T, lines string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", lines)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, lines)
	}
}

// TestShortPartitionIsCheckedWhileItLasts holds that the check takes no longer than
// the fault is asked for.
func TestShortPartitionIsCheckedWhileItLasts(t *testing.T) {
	for duration, want := range map[time.Duration]time.Duration{
		0: duringWait, time.Nanosecond: leastWait, time.Hour: duringWait,
	} {
		w := &work{Entry: Entry{Spec: Spec{Duration: duration}}, span: span{end: time.Now()}}
		if got := w.checkWait(); got != want {
			t.Errorf("of %s: %s, want %s", duration, got, want)
		}
	}
	w := &work{Entry: Entry{Spec: Spec{Duration: 50 * time.Millisecond}}, span: span{end: time.Now()}}
	if got := w.checkWait(); got > 50*time.Millisecond || got < leastWait {
		t.Errorf("of 50ms: %s", got)
	}
}

// TestCommandsAreOutOfReachOfCtrlC runs a command in a process group of its own: a
// terminal sends Ctrl-C to the whole group of the tool.
func TestCommandsAreOutOfReachOfCtrlC(t *testing.T) {
	out, err := (&work{}).command(t.Context(), "sh", "-c", "cut -d' ' -f1,5 /proc/$$/stat; echo $$").Output()
	if err != nil {
		t.Skip(err)
	}
	var pid, group int
	if _, err := fmt.Sscan(string(out), &pid, &group); err != nil || group != pid {
		t.Errorf("process %d is in group %d, %v", pid, group, err)
	}
}

// withoutExpiry takes the time out that a lease has left.
func withoutExpiry(rules string) string {
	var lines []string
	for line := range strings.Lines(rules) {
		if before, _, ok := strings.Cut(line, " expires "); ok {
			line = before + "\n"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}
