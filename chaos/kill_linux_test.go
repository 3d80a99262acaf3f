package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// kills is how often the tool is killed for each way.
const kills = 100

// killLimit is what may be left of a fault's process, its rules and its journal
// after so long: nothing.
const killLimit = 2 * time.Second

// killBudget is for all kills of one way. A machine on which they take longer is
// so busy that it gets as many as fit, leastKills at least.
const (
	killBudget = 12 * time.Second
	leastKills = 20
)

// TestKill kills the tool at random points, from before it has done anything to
// after it has injected, some with their whole process group, beside rules of a
// user's: with iptables once in a table that it has to make, and once in one that
// is there.
func TestKill(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables")
	for _, c := range []struct {
		name, via, rules string
		kills            int
	}{
		{"nft", viaNft, usersRules["nft"] + usersRules["iptables"], kills},
		{"iptables", viaIptables, usersRules["nft"], kills / 2},
		{"iptables in a table of the user's", viaIptables, usersRules["nft"] + usersRules["iptables"], kills / 2},
	} {
		if testing.Short() {
			c.kills /= 10
		}
		t.Run(c.name, func(t *testing.T) {
			nft(t, "flush ruleset\n"+c.rules, "-f", "-")
			killMany(t, c.via, c.kills)
		})
	}
}

func killMany(t *testing.T, via string, n int) {
	dir, before := journal(t), withoutCounters(ruleset(t))
	whole := timeToInject(t, dir, via)
	limit := killLimit
	if whole > killLimit {
		// To heal takes no longer than to inject, which starts as many programs.
		limit = whole
		t.Logf("a busy machine: injecting alone takes %s", whole)
	}
	budget := time.Duration(n) * killBudget / kills
	began := time.Now()
	var mu sync.Mutex
	var took []time.Duration
	injected := 0
	var group sync.WaitGroup
	const together = 4
	turns := make(chan struct{}, together)
	for killed := range n {
		if killed >= leastKills && time.Since(began) > budget {
			t.Logf("a busy machine: %d kills of %d have taken %s", killed, n, budget)
			n = killed
			break
		}
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			after := time.Duration(rand.Int64N(int64(whole) * 5 / 2))
			healed, there, err := killOne(t, dir, via, after, limit)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("killed after %s: %v", after, err)
			}
			if there {
				injected++
			}
			took = append(took, healed)
		})
	}
	group.Wait()
	slices.Sort(took)
	t.Logf("%d kills within %s, %d of them with the fault in place: healed after p50 %s, max %s",
		n, whole*5/2, injected, took[len(took)/2], took[len(took)-1])
	if after := withoutCounters(ruleset(t)); after != before {
		t.Errorf("rules before:\n%s\nafter:\n%s", before, after)
	}
	if left := entriesIn(t, dir); len(left) != 0 {
		t.Errorf("left in the journal: %v", left)
	}
	if injected == 0 || injected == n {
		t.Logf("the points were not spread: %d of %d had injected", injected, n)
	}
}

// timeToInject is how long the tool takes here until it has injected, while as
// many others run.
func timeToInject(t *testing.T, dir, via string) time.Duration {
	t.Helper()
	begin := time.Now()
	cmd, out := tool(t, dir, listen(t, "127.0.0.1"), "1m", "via="+via)
	line, err := bufio.NewReader(out).ReadString('\n')
	took := time.Since(begin)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return took
}

// killOne starts the tool, kills it, and waits until nothing is left. It returns
// how long that took, and whether the fault was in place when it was killed.
func killOne(t *testing.T, dir, via string, after, limit time.Duration) (took time.Duration, there bool, err error) {
	port := listen(t, "127.0.0.1")
	cmd, out := tool(t, dir, port, "1m", "via="+via)
	time.Sleep(after)
	pid := cmd.Process.Pid
	if rand.IntN(2) == 0 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	} else {
		_ = cmd.Process.Kill()
	}
	killed := time.Now()
	said, _ := io.ReadAll(out)
	there = len(said) > 0
	_ = cmd.Wait()
	for {
		left, err := leftOf(dir, pid, port)
		if err != nil || left == "" {
			return time.Since(killed), there, err
		}
		if time.Since(killed) > limit {
			return time.Since(killed), there, fmt.Errorf("left after %s: %s", limit, left)
		}
		time.Sleep(5 * time.Millisecond) // to look is work that healing waits for
	}
}

// leftOf names what a process that was killed has left behind.
func leftOf(dir string, pid, port int) (string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	prefix := fmt.Sprintf("%d-", pid)
	for _, f := range files {
		if strings.HasPrefix(strings.TrimPrefix(f.Name(), "."), prefix) {
			return "the journal's " + f.Name(), nil
		}
	}
	if !connects("127.0.0.1", port) {
		return fmt.Sprintf("port %d is cut off", port), nil
	}
	path, err := findTool("nft")
	if err != nil {
		return "", err
	}
	rules, err := exec.Command(path, "list", "ruleset").Output()
	if err != nil {
		return "", fmt.Errorf("nft list ruleset: %w", err)
	}
	for _, mark := range []string{fmt.Sprintf("mslab_%d_", pid), fmt.Sprintf("dport %d ", port)} {
		if strings.Contains(string(rules), mark) {
			return "a rule: " + mark, nil
		}
	}
	return reaperOf(prefix)
}

// reaperOf names the reaper of a process' injection, if it still runs.
func reaperOf(prefix string) (string, error) {
	processes, err := procfs.AllProcs()
	if err != nil {
		return "", err
	}
	for _, p := range processes {
		line, err := p.CmdLine() // fails for one that has just ended
		if err == nil && len(line) == 3 && line[1] == roleReaper && strings.Contains(line[2], "/"+prefix) {
			return fmt.Sprintf("the reaper %d", p.PID), nil
		}
	}
	return "", nil
}

// TestReaperIsKilledToo leaves the journal alone to heal: iptables' rules stay
// until the next command.
func TestReaperIsKilledToo(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables")
	dir, before := journal(t), ruleset(t)
	for _, via := range []string{viaNft, viaLease, viaIptables} {
		t.Run(via, func(t *testing.T) {
			port := listen(t, "127.0.0.1")
			killBoth(t, dir, port, via)
			active, bad, err := List(dir)
			if err != nil || len(active) != 1 || active[0].Live || len(bad) != 0 {
				t.Fatalf("%+v, %v, %v", active, bad, err)
			}
			if via == viaIptables && connects("127.0.0.1", port) {
				t.Error("healed without anybody to do so")
			}
			healed, err := HealAll(t.Context(), dir, HealOptions{})
			if err != nil || len(healed) != 1 || healed[0].Err != nil || healed[0].Live {
				t.Fatalf("%v, %v", healed, err)
			}
			t.Log(healed[0])
			if !reaches("127.0.0.1", port) || ruleset(t) != before || len(entriesIn(t, dir)) != 0 {
				t.Errorf("left: %v\n%s", entriesIn(t, dir), ruleset(t))
			}
		})
	}
}

// killBoth injects, then kills the reaper and the tool.
func killBoth(t *testing.T, dir string, port int, via string) {
	t.Helper()
	cmd, out := tool(t, dir, port, "1m", "via="+via)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	active, _, err := List(dir)
	if err != nil || len(active) != 1 || !active[0].Live || active[0].Left <= 0 {
		t.Fatalf("%+v, %v", active, err)
	}
	if err := syscall.Kill(active[0].Reaper.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	eventually(t, 5*time.Second, "the reaper ends", func() bool { return !alive(active[0].Reaper) })
}

// TestInjectHealsWhatWasLeft holds that the next injection heals first, on the
// very port that it is about.
func TestInjectHealsWhatWasLeft(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables")
	dir, before, port := journal(t), ruleset(t), listen(t, "127.0.0.1")
	killBoth(t, dir, port, viaIptables)
	var said []string
	o := options(dir)
	o.Warn = func(line string) { said = append(said, line) }
	i, err := Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: port}}, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "its process is gone") {
		t.Errorf("said: %v", said)
	}
	if err := i.Heal(t.Context()); err != nil || ruleset(t) != before {
		t.Errorf("%v\n%s", err, ruleset(t))
	}
}

// TestHealStopsALivingProcess has HealAll leave a fault alone, and then end it.
func TestHealStopsALivingProcess(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir, port := journal(t), listen(t, "127.0.0.1")
	cmd, out := tool(t, dir, port, "1m")
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil { // as Ctrl-Z does
		t.Fatal(err)
	}
	left, err := HealAll(t.Context(), dir, HealOptions{})
	if err != nil || len(left) != 1 || !left[0].Live || connects("127.0.0.1", port) {
		t.Fatalf("%v, %v", left, err)
	}
	healed, err := HealAll(t.Context(), dir, HealOptions{Stop: true})
	if err != nil || len(healed) != 1 || healed[0].Err != nil || !reaches("127.0.0.1", port) {
		t.Fatalf("%v, %v", healed, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestReaperIgnoresSignals sends the reaper the signals of a terminal.
func TestReaperIgnoresSignals(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir, port := journal(t), listen(t, "127.0.0.1")
	i, err := Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: port}}, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	r := i.work.Reaper
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		_ = syscall.Kill(r.PID, s)
	}
	time.Sleep(50 * time.Millisecond)
	if !alive(r) {
		t.Error("the reaper ended")
	}
	if sid, err := syscall.Getpgid(r.PID); err != nil || sid != r.PID {
		t.Errorf("the reaper is in the process group %d (%v), not in its own", sid, err)
	}
	if err := i.Heal(context.Background()); err != nil || alive(r) {
		t.Errorf("%v; the reaper lives: %v", err, alive(r))
	}
}

func TestReaperRefusesToRunByItself(t *testing.T) {
	for _, name := range []string{"", "/etc/passwd", "../x.json", strconv.Itoa(os.Getpid()) + ".json"} {
		if err := Reap(name); err == nil {
			t.Errorf("reaped %q", name)
		}
	}
}
