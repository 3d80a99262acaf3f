package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// groupV2 is a folder with the files of a group of version 2 as the kernel shows
// them, for machines whose memory controller is of version 1.
func groupV2(t *testing.T, files map[string]string) memoryGroup {
	t.Helper()
	g := memoryGroup{memoryV2, t.TempDir()}
	all := map[string]string{
		"memory.max": "max\n", "memory.high": "max\n", "memory.current": "8192000\n", "memory.peak": "9216000\n",
		"memory.events":   "low 0\nhigh 12\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
		"memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"cgroup.procs":    "7\n9\n",
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func TestReadV2(t *testing.T) {
	at, err := groupV2(t, nil).read()
	want := memoryReading{Usage: 8192000, Peak: 9216000, Hits: 15, OOMKills: 1, Stalled: 1500 * time.Millisecond, PSI: true}
	if err != nil || at != want {
		t.Errorf("read %+v, %v, want %+v", at, err, want)
	}
	old := groupV2(t, nil)
	if err := errors.Join(os.Remove(filepath.Join(old.dir, "memory.peak")), os.Remove(filepath.Join(old.dir, "memory.pressure"))); err != nil {
		t.Fatal(err)
	}
	want.Peak, want.Stalled, want.PSI = want.Usage, 0, false
	if at, err := old.read(); err != nil || at != want {
		t.Errorf("without peak and pressure: %+v, %v, want %+v", at, err, want)
	}
}

// TestLimitsV2 holds which file a squeeze limits, and that all are lifted.
func TestLimitsV2(t *testing.T) {
	g := groupV2(t, nil)
	for pause, want := range map[bool]string{true: "memory.high", false: "memory.max"} {
		if file := limitFile(g.files, pause); file != want {
			t.Errorf("pause %t limits %s, want %s", pause, file, want)
		}
		if set, err := g.setLimit(want, 4<<20); err != nil || set != 4<<20 {
			t.Errorf("%s: %d, %v", want, set, err)
		}
	}
	if err := g.lift(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"memory.high", "memory.max"} {
		text, err := os.ReadFile(filepath.Join(g.dir, file))
		if err != nil || !strings.HasPrefix(string(text), "max") {
			t.Errorf("%s holds %q, %v", file, text, err)
		}
	}
}

func TestUsableV2(t *testing.T) {
	for control, says := range map[string]string{"memory pids\n": "", "pids\n": "does not hand the memory controller down"} {
		err := usable(memoryV2, groupV2(t, map[string]string{"cgroup.subtree_control": control}).dir)
		if (says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("with %q: %v, want %q", control, err, says)
		}
	}
	if err := usable(memoryV2, t.TempDir()); err == nil {
		t.Error("a folder that is no group is usable")
	}
}

// TestMissingControllerIsOneLine holds what to do against why it does not work.
func TestMissingControllerIsOneLine(t *testing.T) {
	for _, c := range []struct {
		reasons []error
		says    string
	}{
		{[]error{errors.New("cgroup v1: none"), errors.New("cgroup v2: none")}, "CONFIG_MEMCG"},
		{[]error{errors.New("cgroup v1: none"), os.ErrPermission}, "sudo"},
		{[]error{os.ErrPermission, fmt.Errorf("cgroup v1: %w", unix.EROFS)}, "outside of the container"},
	} {
		err := missingController(c.reasons)
		if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q in one line", err, c.says)
		}
	}
}
