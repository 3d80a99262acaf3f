package registry

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestRegisterListRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mslab")
	if entries, err := List(dir); err != nil || len(entries) != 0 {
		t.Fatalf("empty registry: %v, %v", entries, err)
	}
	remove, err := Register(dir, Entry{URL: "http://127.0.0.1:1", Phase: 7, Name: "keepalive"})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := List(dir)
	if err != nil || len(entries) != 1 || entries[0].PID != os.Getpid() || entries[0].Name != "keepalive" {
		t.Fatalf("after Register: %v, %v", entries, err)
	}
	for range 2 {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
	}
	if entries, _ := List(dir); len(entries) != 0 {
		t.Fatalf("after remove: %v", entries)
	}
}

// TestStaleEntriesAreRemoved writes entries of a process that is gone and of
// one whose id has been taken by another, and a file that is no entry.
func TestStaleEntriesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Skipf("needs true(1): %v", err)
	}
	_, ticks, err := readStat(os.Getpid())
	if err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	write := func(name string, content any) {
		text, err := json.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("gone.json", Entry{PID: ended.Process.Pid, StartTicks: 1})
	write("reused.json", Entry{PID: os.Getpid(), StartTicks: ticks + 1})
	write("foreign.json", "no entry")
	write("zombie.json", zombie(t))
	write(strconv.Itoa(os.Getpid())+".json", Entry{PID: os.Getpid(), StartTicks: ticks, Name: "mine"})
	entries, err := List(dir)
	if err != nil || len(entries) != 1 || entries[0].Name != "mine" {
		t.Fatalf("List: %v, %v", entries, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.json")); len(left) != 1 {
		t.Errorf("stale files remain: %v", left)
	}
}

// TestEntriesOfAnotherPIDNamespace wants a server in a container that shares the
// folder neither listed, since its id means nothing here, nor forgotten.
func TestEntriesOfAnotherPIDNamespace(t *testing.T) {
	if pidNamespace() == "" {
		t.Skip("no pid namespaces on this system")
	}
	dir := t.TempDir()
	remove, err := Register(dir, Entry{Name: "here"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(Entry{PID: 1 << 29, PIDNamespace: "pid:[1]", Name: "there"})
	if err != nil {
		t.Fatal(err)
	}
	there := filepath.Join(dir, "2.json")
	if err := os.WriteFile(there, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if entries, err := List(dir); err != nil || len(entries) != 1 || entries[0].Name != "here" {
		t.Errorf("List: %v, %v", entries, err)
	}
	if _, err := os.Stat(there); err != nil {
		t.Errorf("the other one's entry: %v", err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
}

func TestOutsideID(t *testing.T) {
	const host, sandbox, container = "0 0 4294967295\n", "0 65534 1\n", "0 1000 1\n1 100000 65536\n"
	for _, c := range []struct {
		id     int64
		uidMap string
		want   int64
	}{
		{1000, host, 1000}, {0, host, 0}, {0, sandbox, 65534}, {0, container, 1000}, {33, container, 100032}, {7, "", 7}, {7, sandbox, 7},
	} {
		if got := outsideID(c.id, c.uidMap); got != c.want {
			t.Errorf("user %d with the map %q is %d outside, want %d", c.id, c.uidMap, got, c.want)
		}
	}
}

// zombie is the entry of a process that has ended and is not waited for until
// the test is over.
func zombie(t *testing.T) Entry {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		state, ticks, err := readStat(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if state == "Z" {
			return Entry{PID: cmd.Process.Pid, StartTicks: ticks, Name: "zombie"}
		}
		if time.Now().After(deadline) {
			t.Fatalf("true(1) is still in state %s", state)
		}
	}
}
