package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fake is a fault that only notes what is done with it.
type fake struct {
	bites            bool
	failAt           string
	injected, undone int
	journal          []string // what was in the journal when it was injected
}

var errFake = errors.New("made to fail")

func (k *fake) fault(dir string) Fault {
	at := func(step string) error {
		if k.failAt == step {
			return errFake
		}
		return nil
	}
	return Fault{
		Name:    "partition", // the journal holds real faults only
		Check:   checkPartition,
		prepare: func(context.Context, *work) error { return at("prepare") },
		inject: func(_ context.Context, w *work) error {
			files, _ := os.ReadDir(dir)
			for _, f := range files {
				k.journal = append(k.journal, f.Name())
			}
			return w.effect(func() error { k.injected++; return at("inject") })
		},
		verify: func(context.Context, *work) (bool, []Fact, error) {
			return k.bites, []Fact{{"seen", k.bites, "seen"}}, at("verify")
		},
		undo: func(_ context.Context, w *work) error {
			return w.effect(func() error { k.undone++; return at("undo") })
		},
	}
}

func fakeSpec() Spec {
	return Spec{Fault: "partition", Target: Target{Port: 9}}.withDefaults(partition())
}

// TestInjectionIsUndone fails each step in turn: whatever was done is undone,
// and the journal is empty.
func TestInjectionIsUndone(t *testing.T) {
	for _, c := range []struct {
		failAt           string
		bites            bool
		injected, undone int
	}{
		{"prepare", true, 0, 0},
		{"inject", true, 1, 1},
		{"verify", true, 1, 1},
		{"", false, 1, 1},
	} {
		dir := journal(t)
		k := fake{bites: c.bites, failAt: c.failAt}
		_, err := start(t.Context(), k.fault(dir), fakeSpec(), dir, options(dir))
		if c.failAt != "" && !errors.Is(err, errFake) || c.failAt == "" && !errors.Is(err, ErrNoBite) {
			t.Errorf("%+v: %v", c, err)
		}
		if k.injected != c.injected || k.undone != c.undone {
			t.Errorf("%+v: injected %d times, undone %d times", c, k.injected, k.undone)
		}
		if left := entriesIn(t, dir); len(left) != 0 {
			t.Errorf("%+v: left in the journal: %v", c, left)
		}
	}
}

// TestJournalComesFirst holds that the entry is there when the fault is
// injected, and that healing twice undoes once.
func TestJournalComesFirst(t *testing.T) {
	dir := journal(t)
	k := fake{bites: true}
	i, err := start(t.Context(), k.fault(dir), fakeSpec(), dir, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	if id := i.Status().ID; !strings.Contains(strings.Join(k.journal, " "), id+".json") {
		t.Errorf("in the journal when it was injected: %v, want %s", k.journal, id)
	}
	for range 2 {
		if err := i.Heal(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if k.undone != 1 || alive(i.work.Reaper) {
		t.Errorf("undone %d times; the reaper lives: %v", k.undone, alive(i.work.Reaper))
	}
}

func TestHealingThatFailsSaysSo(t *testing.T) {
	dir := journal(t)
	k := fake{bites: true, failAt: "undo"}
	i, err := start(t.Context(), k.fault(dir), fakeSpec(), dir, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	i.work.Entry.Reaper = Owner{}
	if err := i.Heal(t.Context()); !errors.Is(err, ErrNotHealed) || !errors.Is(err, errFake) {
		t.Errorf("%v", err)
	}
	_ = removeEntry(dir, i.Status().ID) // before its reaper undoes a partition that there is not
}

// plant puts an entry into the journal, as another process would have.
func plant(t *testing.T, dir string, change func(*Entry)) Entry {
	t.Helper()
	e, err := newEntry(fakeSpec())
	if err != nil {
		t.Fatal(err)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Skip(err)
	}
	e.Owner = Owner{gone.Process.Pid, 1}
	e.ID = strconv.Itoa(e.Owner.PID) + "-1-0123abcd"
	if change != nil {
		change(&e)
	}
	if err := writeEntry(dir, e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEarlierBootIsDropped(t *testing.T) {
	dir := journal(t)
	plant(t, dir, func(e *Entry) { e.BootID = "another" })
	active, _, err := List(dir)
	if err != nil || len(active) != 1 || active[0].Foreign != "an earlier boot" || active[0].Live {
		t.Errorf("%+v, %v", active, err)
	}
	healed, err := HealAll(t.Context(), dir, HealOptions{})
	if err != nil || len(healed) != 1 || healed[0].Err != nil || !strings.Contains(healed[0].String(), "an earlier boot") {
		t.Errorf("%v, %v", healed, err)
	}
	if left := entriesIn(t, dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestOtherNamespaces has an entry of a namespace that is gone, and one of a
// namespace that lives.
func TestOtherNamespaces(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := journal(t)
	if outerUID() == 0 { // others do not see who else might be in it
		plant(t, dir, func(e *Entry) { e.NetNS = 1 })
		healed, err := HealAll(t.Context(), dir, HealOptions{})
		if err != nil || len(healed) != 1 || healed[0].Err != nil || len(entriesIn(t, dir)) != 0 {
			t.Errorf("of a namespace that is gone: %v, %v", healed, err)
		}
	}
	outer, err := strconv.ParseUint(os.Getenv(insideEnv), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	plant(t, dir, func(e *Entry) { e.NetNS = outer })
	healed, err := HealAll(t.Context(), dir, HealOptions{})
	if err != nil || len(healed) != 1 || healed[0].Err == nil || !strings.Contains(healed[0].String(), "mslab chaos heal there (") || len(entriesIn(t, dir)) != 1 {
		t.Errorf("of a namespace that lives: %v, %v", healed, err)
	}
}

// TestFolderOfOthers holds that nothing is read from a folder that others could
// have laid out.
func TestFolderOfOthers(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"writable":        func(dir string) error { return os.Chmod(dir, 0o777) },
		"parent writable": func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o770) },
		"a link": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+"2"), os.Symlink(dir+"2", dir))
		},
		"foreign": func(dir string) error { return os.Chown(dir, stranger, stranger) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := journal(t)
			e := plant(t, dir, nil)
			if err := spoil(dir); err != nil {
				t.Skip(err)
			}
			if _, _, err := List(dir); err == nil {
				t.Error("listed")
			}
			if healed, err := HealAll(t.Context(), dir, HealOptions{Clear: true}); err == nil {
				t.Errorf("healed: %v", healed)
			}
			if err := openFolder(dir); err == nil {
				t.Error("opened")
			}
			if _, err := os.Stat(entryName(dir, e.ID)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNothingIsMadeBelowALink has somebody lay a link where the journal's folder
// comes.
func TestNothingIsMadeBelowALink(t *testing.T) {
	dir := t.TempDir()
	victim, link := filepath.Join(dir, "victim"), filepath.Join(dir, "mslab-0")
	if err := errors.Join(os.Mkdir(victim, 0o700), os.Symlink(victim, link)); err != nil {
		t.Fatal(err)
	}
	if err := openFolder(filepath.Join(link, "chaos")); err == nil {
		t.Error("opened")
	}
	if made, err := os.ReadDir(victim); err != nil || len(made) != 0 {
		t.Errorf("made %v, %v", made, err)
	}
}

// TestUnfinishedEntriesAreRemoved has a process die, its reaper with it, while it
// writes an entry, and another one write.
func TestUnfinishedEntriesAreRemoved(t *testing.T) {
	dir := journal(t)
	gone := plant(t, dir, nil)
	own, err := newEntry(fakeSpec())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{gone.ID, own.ID} {
		if err := os.WriteFile(temporaryName(dir, id), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(entryName(dir, gone.ID)); err != nil {
		t.Fatal(err)
	}
	if healed, err := HealAll(t.Context(), dir, HealOptions{}); err != nil || len(healed) != 0 {
		t.Errorf("%v, %v", healed, err)
	}
	if left := entriesIn(t, dir); len(left) != 1 || left[0] != filepath.Base(temporaryName(dir, own.ID)) {
		t.Errorf("left: %v", left)
	}
}

// stranger is a user that no test runs as.
const stranger = 65533

// damages are ways for a file not to be an entry.
var damages = map[string]func(e *Entry, text []byte, name string) error{
	"cut short": func(_ *Entry, text []byte, name string) error { return os.WriteFile(name, text[:len(text)/2], 0o600) },
	"empty":     func(_ *Entry, _ []byte, name string) error { return os.WriteFile(name, nil, 0o600) },
	"zeroes":    func(_ *Entry, _ []byte, name string) error { return os.WriteFile(name, make([]byte, 512), 0o600) },
	"too long": func(_ *Entry, text []byte, name string) error {
		return os.WriteFile(name, append(text, make([]byte, entryLimit)...), 0o600)
	},
	"another version": func(e *Entry, _ []byte, name string) error {
		e.Schema = "mslab.chaos-journal/v9"
		return rewrite(e, name)
	},
	"another's name": func(e *Entry, _ []byte, name string) error {
		e.ID = "1-1-00000000"
		return rewrite(e, name)
	},
	"another's owner":  func(e *Entry, _ []byte, name string) error { e.Owner.PID = 1; return rewrite(e, name) },
	"no such fault":    func(e *Entry, _ []byte, name string) error { e.Fault = "flood"; return rewrite(e, name) },
	"no such option":   func(e *Entry, _ []byte, name string) error { e.Options["file"] = "/etc"; return rewrite(e, name) },
	"an option's text": func(e *Entry, _ []byte, name string) error { e.Options["chain"] = "-F"; return rewrite(e, name) },
	"a link": func(_ *Entry, text []byte, name string) error {
		return errors.Join(os.WriteFile(name+".target", text, 0o600), os.Remove(name), os.Symlink(name+".target", name))
	},
	"a pipe": func(_ *Entry, _ []byte, name string) error {
		return errors.Join(os.Remove(name), unix.Mkfifo(name, 0o600))
	},
	"foreign": func(_ *Entry, _ []byte, name string) error { return os.Chown(name, stranger, stranger) },
	"unknown key": func(_ *Entry, text []byte, name string) error {
		return os.WriteFile(name, append([]byte(`{"run":"rm",`), text[1:]...), 0o600)
	},
}

func rewrite(e *Entry, name string) error {
	text, err := json.Marshal(e)
	return errors.Join(err, os.WriteFile(name, text, 0o600))
}

// TestDamagedEntries holds that nothing is undone by what is no entry, that it
// stays until it is asked for, and that heal removes it.
func TestDamagedEntries(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			dir := journal(t)
			e := plant(t, dir, nil)
			name := entryName(dir, e.ID)
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(&e, text, name); err != nil {
				t.Skip(err)
			}
			active, bad, err := List(dir)
			if err != nil || len(active) != 0 || len(bad) != 1 {
				t.Errorf("listed %v, %v, %v", active, bad, err)
			}
			kept, err := HealAll(t.Context(), dir, HealOptions{})
			if err != nil || len(kept) != 1 || kept[0].Err == nil || strings.Contains(kept[0].String(), "\n") {
				t.Errorf("kept %v, %v", kept, err)
			}
			if _, err := os.Lstat(name); err != nil {
				t.Error(err)
			}
			cleared, err := HealAll(t.Context(), dir, HealOptions{Clear: true})
			if err != nil || len(cleared) != 1 || cleared[0].Err != nil {
				t.Errorf("cleared %v, %v", cleared, err)
			}
			if _, err := os.Lstat(name); err == nil {
				t.Error("it is still there")
			}
		})
	}
}

// TestSweep finds what was injected by the name of an entry that was lost.
func TestSweep(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	needTools(t, "nft", "iptables")
	dir, before := journal(t), ruleset(t)
	for _, via := range []string{viaIptables, viaLease} {
		port := listen(t, "127.0.0.1")
		killBoth(t, dir, port, via)
		active, _, err := List(dir)
		if err != nil || len(active) != 1 {
			t.Fatalf("%v, %v", active, err)
		}
		if err := os.Truncate(entryName(dir, active[0].ID), 20); err != nil {
			t.Fatal(err)
		}
		healed, err := HealAll(t.Context(), dir, HealOptions{Clear: true})
		if err != nil || len(healed) != 1 || healed[0].Err != nil || !reaches("127.0.0.1", port) {
			t.Errorf("%s: %v, %v", via, healed, err)
		}
		if rules := ruleset(t); strings.Contains(rules, "mslab") || strings.Contains(rules, strconv.Itoa(port)) {
			t.Errorf("%s: left:\n%s", via, rules)
		}
		nft(t, "flush ruleset\n"+before, "-f", "-") // without its entry the table of iptables stays
	}
}

// TestJournalOnAFullDisk holds that nothing is injected that the journal cannot
// hold.
func TestJournalCannotBeWritten(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, flags := range map[string]uintptr{"full": 0, "read-only": unix.MS_RDONLY} {
		t.Run(name, func(t *testing.T) {
			dir, port, before := journal(t), listen(t, "127.0.0.1"), ruleset(t)
			if err := unix.Mount("tmpfs", filepath.Dir(dir), "tmpfs", 0, "size=16k,mode=0700"); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Unmount(filepath.Dir(dir), unix.MNT_DETACH) }()
			if err := openFolder(dir); err != nil {
				t.Fatal(err)
			}
			for i := range 64 {
				if os.WriteFile(filepath.Join(filepath.Dir(dir), "fill"+strconv.Itoa(i)), make([]byte, 1024), 0o600) != nil {
					break
				}
			}
			if flags != 0 {
				if err := unix.Mount("", filepath.Dir(dir), "", unix.MS_REMOUNT|flags, ""); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Inject(t.Context(), Spec{Fault: "partition", Target: Target{Port: port}}, options(dir))
			want := map[string]error{"full": syscall.ENOSPC, "read-only": syscall.EROFS}[name]
			if !errors.Is(err, want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one line with %v", err, want)
			}
			if after := ruleset(t); after != before || !connects("127.0.0.1", port) {
				t.Errorf("injected:\n%s", after)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*.json")); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, s := range []Spec{
		{Fault: "flood"},
		{Fault: "partition"},
		{Fault: "partition", Target: Target{Port: 70000}},
		{Fault: "partition", Target: Target{Port: -1}},
		{Fault: "partition", Target: Target{Port: 1, PID: -1}},
		{Fault: "partition", Target: Target{Port: 1}, Duration: -time.Second},
		{Fault: "partition", Target: Target{Port: 1}, Options: map[string]string{"via": "pigeon"}},
		{Fault: "partition", Target: Target{Port: 1}, Options: map[string]string{"speed": "1"}},
		{Fault: "partition", Target: Target{Port: 1}, Options: map[string]string{"chain": chainOutput}},
	} {
		if err := Check(s, Options{OwnNamespace: true}); !errors.Is(err, ErrUsage) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestScope(t *testing.T) {
	for address, loopback := range map[string]bool{
		"127.0.0.1": true, "127.255.255.254": true, "::1": true, "::ffff:127.0.0.1": true,
		"10.0.0.1": false, "0.0.0.0": false, "::": false, "fe80::1": false, "::ffff:8.8.8.8": false,
	} {
		s := fakeSpec()
		if err := s.Target.Address.UnmarshalText([]byte(address)); err != nil {
			t.Fatal(err)
		}
		if err := Check(s, Options{}); (err == nil) != loopback {
			t.Errorf("%s: %v", address, err)
		}
		if err := Check(s, Options{OwnNamespace: true}); err != nil {
			t.Errorf("%s in a namespace of one's own: %v", address, err)
		}
	}
}

func TestTargetProcess(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Skip(err)
	}
	if _, err := resolve(Target{PID: gone.Process.Pid}); err == nil {
		t.Error("a process that is gone")
	}
	own, err := resolve(Target{PID: os.Getpid()})
	if err != nil || own.StartTicks == 0 {
		t.Errorf("%+v, %v", own, err)
	}
	own.StartTicks++
	if _, err := resolve(own); err == nil {
		t.Error("another process of the same id")
	}
}
