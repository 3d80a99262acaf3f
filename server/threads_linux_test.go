package server

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPidsLeft: the tightest group from the process' own up to the root counts,
// in either kind of hierarchy.
func TestPidsLeft(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("user/pids.max", "100")
	write("user/pids.current", "60")
	write("user/session/pids.max", "max")
	write("user/session/pids.current", "5")
	write("wide/pids.max", "1000")
	write("wide/pids.current", "0")
	write("pids/box/pids.max", "30")
	write("pids/box/pids.current", "10")
	for membership, want := range map[string]int{
		"0::/user/session\n": 40, "0::/user\n": 40, "0::/wide\n": 1000, "0::/\n": unlimited, "": unlimited,
		"8:pids:/box/inner\n4:memory:/other\n0::/\n": 20, "8:cpu,cpuacct:/box\n": unlimited,
		"8:pids:/box\n0::/user\n": 20,
	} {
		if got := pidsLeft(root, membership); got != want {
			t.Errorf("%q leaves %d, want %d", membership, got, want)
		}
	}
}

// TestThreadBudgetIsKept: never more than asked, nor than half of what is left.
func TestThreadBudgetIsKept(t *testing.T) {
	b := newThreadBudget(2)
	for i, want := range []bool{true, true, false} {
		if b.take() != want {
			t.Errorf("thread %d of a budget of 2: allowed %v, want %v", i+1, !want, want)
		}
	}
	b.give()
	for i, want := range []bool{true, false} {
		if b.take() != want {
			t.Errorf("thread %d after one was given back: allowed %v, want %v", i+1, !want, want)
		}
	}
	if limit, left := newThreadBudget(1<<30).limit, threadsLeft(); limit > int64(left)*3/5 {
		t.Errorf("a budget of %d threads where %d are left", limit, left)
	}
}

func TestSuperuserIsTheHosts(t *testing.T) {
	for _, c := range []struct {
		euid   int
		uidMap string
		want   bool
	}{
		{0, "         0          0 4294967295\n", true},
		{1000, "         0          0 4294967295\n", false},
		{0, "", true}, // a kernel without user namespaces
		{0, "         0       1000          1\n", false},
		{0, "         0     100000      65536\n", false},
		{0, "         0       1000          1\n         1     100000      65536\n", false},
	} {
		if got := superuser(c.euid, c.uidMap); got != c.want {
			t.Errorf("user %d with the map %q: %v, want %v", c.euid, c.uidMap, got, c.want)
		}
	}
}
