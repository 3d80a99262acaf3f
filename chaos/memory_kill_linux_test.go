package chaos

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestSweepFindsTheGroup loses the journal's entry.
func TestSweepFindsTheGroup(t *testing.T) {
	needGroups(t)
	x := startTarget(t)
	former := groupOf(t, x.pid())
	const id = "1-1-0123abcd"
	g, _, err := chooseGroup(x.pid(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.dissolve(former) })
	if err := errors.Join(g.make(), g.add(x.pid())); err != nil {
		t.Fatal(err)
	}
	if err := sweepMemory(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(g.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the group is left: %v", err)
	}
	if g.files.version == 1 && groupOf(t, x.pid()) != former {
		t.Errorf("the target is in %s, want %s", groupOf(t, x.pid()), former)
	}
}

// TestKilledMemoryTool kills the tool at random points of its life, the reaper alive:
// within two seconds nothing is left, and the target is where it was and lives.
func TestKilledMemoryTool(t *testing.T) {
	needGroups(t)
	kills := 50
	if testing.Short() {
		kills = 6
	}
	x, dir := startTarget(t), journal(t)
	former := groupOf(t, x.pid())
	whole := time.Duration(0) // from the start of the tool to its injection
	var slowest time.Duration
	injected, hit := 0, 0
	start := time.Now()
	for n := range kills {
		if n >= leastKills && time.Since(start) > killBudget {
			t.Logf("a busy machine: %d kills of %d have taken %s", n, kills, killBudget)
			kills = n
			break
		}
		spec := squeezeOf(x.pid(), map[string]string{"headroom": "1MiB"})
		if n%3 == 2 {
			spec = squeezeOf(0, map[string]string{"mode": "hog", "block-size": "64KiB", "blocks": "100000", "limit": "32MiB"})
		}
		began := time.Now()
		cmd, _, out := startPart(t, memoryPart{dir, spec})
		if n == 0 {
			if line, err := out.ReadString('\n'); err != nil {
				t.Fatalf("the tool said %q: %v", line, err)
			}
			whole = time.Since(began) * 5 / 4
		} else {
			time.Sleep(time.Duration(rand.Int64N(int64(whole))))
		}
		if len(entriesIn(t, dir)) > 0 {
			hit++
		}
		if n%3 != 2 && groupOf(t, x.pid()) != former {
			injected++
			x.ask(2 << 20) // waits until it is healed
		}
		waits := groupOf(t, x.pid()) != former
		_ = cmd.Process.Kill()
		killed := time.Now()
		eventually(t, 2*time.Second, "nothing is left after a kill", func() bool {
			return len(groupsOf(t, cmd.Process.Pid)) == 0 && len(entriesIn(t, dir)) == 0 && groupOf(t, x.pid()) == former
		})
		slowest = max(slowest, time.Since(killed))
		if waits {
			x.took(2 << 20)
		}
		_ = cmd.Wait()
	}
	t.Logf("%d kills, %d with an entry in the journal, %d with the target squeezed; the slowest healed after %s", kills, hit, injected, slowest)
}

// TestKilledMemoryToolAndReaper leaves the journal alone to heal: of a target that
// lives, and of one that is gone.
func TestKilledMemoryToolAndReaper(t *testing.T) {
	needGroups(t)
	for _, dies := range []bool{false, true} {
		x, dir := startTarget(t), journal(t)
		former := groupOf(t, x.pid())
		cmd, _, out := startPart(t, memoryPart{dir, squeezeOf(x.pid(), map[string]string{"headroom": "1MiB"})})
		if line, err := out.ReadString('\n'); err != nil {
			t.Fatalf("the tool said %q: %v", line, err)
		}
		entries, _, err := readAll(dir)
		if err != nil || len(entries) != 1 || entries[0].Reaper.PID == 0 {
			t.Fatalf("in the journal: %v, %v", entries, err)
		}
		entry := entries[0]
		if err := errors.Join(syscall.Kill(entry.Reaper.PID, syscall.SIGKILL), cmd.Process.Kill()); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if got := groupOf(t, x.pid()); got != entry.State["cgroup"] {
			t.Fatalf("the target is in %s: something else has healed it", got)
		}
		if dies {
			_ = x.cmd.Process.Kill()
			_ = x.cmd.Wait()
		}
		outcomes, err := HealAll(t.Context(), dir, HealOptions{})
		if err != nil || len(outcomes) != 1 || outcomes[0].Err != nil {
			t.Errorf("healed: %v, %v", outcomes, err)
		}
		if _, err := os.Stat(entry.State["cgroup"]); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the group is left: %v", err)
		}
		if !dies && groupOf(t, x.pid()) != former {
			t.Errorf("the target is in %s, want %s", groupOf(t, x.pid()), former)
		}
		if left := entriesIn(t, dir); len(left) != 0 {
			t.Errorf("left in the journal: %v", left)
		}
	}
}

// TestForgedStateIsRefused changes what the journal says of a group.
func TestForgedStateIsRefused(t *testing.T) {
	e := Entry{ID: "1-1-0123abcd", Spec: Spec{Options: map[string]string{"mode": modeSqueeze}}}
	good := map[string]string{"cgroup_version": "1", "cgroup": "/c/a/mslab-1-1-0123abcd", "former_cgroup": "/c/a"}
	e.State = good
	if _, err := readMemoryState(e); err != nil {
		t.Error(err)
	}
	for key, value := range map[string]string{"cgroup_version": "3", "cgroup": "/c/a/mslab-1-1-0123abce", "former_cgroup": "/etc"} {
		e.State = maps.Clone(good)
		e.State[key] = value
		if _, err := readMemoryState(e); err == nil {
			t.Errorf("%s = %q was taken", key, value)
		}
		delete(e.State, key)
		if _, err := readMemoryState(e); err == nil {
			t.Errorf("a state without %s was taken", key)
		}
	}
}
