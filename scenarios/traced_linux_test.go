package scenarios

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mslab/ebpf"
	"mslab/results"
)

const tracedTiny = `name: tiny
matrix: {subject: [1, 5], clients: [4]}
arms:
  isolated: {listen: backlog1024}
  told: {load: {requests-per-client: 5}}
load: {connection: new, slice: 50ms, warmup: 20ms}
repeat: {blocks: 1, slices: 1}
compare: []
probes: [proc, syscalls]
`

// TestSyscallsAreTracedApart holds the counts against what a request is known to
// take, and that none of it is among the trials.
func TestSyscallsAreTracedApart(t *testing.T) {
	if _, err := ebpf.CheckSyscalls(""); err != nil {
		t.Skip(err)
	}
	run, dir := playTiny(t, tracedTiny)
	if len(run.Trials) != 4 {
		t.Errorf("%d trials, want 2 subjects x 2 arms", len(run.Trials))
	}
	if len(run.Traced) != 2 {
		t.Fatalf("traced %d times, want each subject once, in the ranked arm; notes: %v", len(run.Traced), run.Notes)
	}
	stored, err := results.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored.Traced) != 2 {
		t.Errorf("%d traced trials are stored, want 2", len(stored.Traced))
	}
	for _, traced := range run.Traced {
		if traced.Arm != "isolated" || len(traced.Requests) != tracedSlices || traced.CPUNS <= 0 || traced.Self.Rung == "" || traced.Self.Lost() > 0 {
			t.Errorf("%s: %+v", traced.Subject, traced)
		}
		// A connection and a body for each request; the server's counters are
		// asked for a few times besides.
		once := []string{"accept4", "close", "read"}
		if traced.Subject == "threads" {
			once = append(once, "exit")
		}
		for _, name := range once {
			holdOnce(t, &traced, name)
		}
		if traced.Subject == "pool" && slices.ContainsFunc(traced.Syscalls, func(c results.SyscallCount) bool { return c.Name == "exit" }) {
			t.Error("threads of the pool exit")
		}
	}
}

// holdOnce wants a syscall once a request. On a busy machine a slice has few
// requests, and the server is asked for its counters many times until it has
// drained; so each slice has to have enough calls, and one of them not too many.
func holdOnce(t *testing.T, traced *results.TracedSyscalls, name string) {
	t.Helper()
	const (
		readings = 60 // calls for the counters
		underWay = 4  // clients: connections that are not closed yet
	)
	i := slices.IndexFunc(traced.Syscalls, func(c results.SyscallCount) bool { return c.Name == name })
	if i < 0 {
		t.Errorf("%s: no %s was counted", traced.Subject, name)
		return
	}
	calls, once := traced.Syscalls[i].Calls, false
	for slice, n := range traced.Requests {
		if calls[slice] < n-underWay {
			t.Errorf("%s, slice %d: %d calls of %s for %d requests", traced.Subject, slice, calls[slice], name, n)
		}
		once = once || calls[slice] <= n+min(readings, n/2)
	}
	if !once {
		t.Errorf("%s: %v calls of %s for %v requests", traced.Subject, calls, name, traced.Requests)
	}
}

// TestUntracedRunGoesOn plays as a user without rights.
func TestUntracedRunGoesOn(t *testing.T) {
	u := sandboxUser{name: "user"}
	if os.Geteuid() == 0 {
		u = asNobody()
	} else if _, err := ebpf.CheckSyscalls(""); err == nil {
		t.Skip("this user may trace")
	}
	dir := u.folder(t)
	file := filepath.Join(dir, "s.yaml")
	if err := os.WriteFile(file, []byte(tracedTiny), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := u.command(t, rolePlay, file, mslab(t), filepath.Join(dir, "run"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run, err := results.OpenRun(filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	if run.Incomplete || len(run.Trials) != 4 || len(run.Traced) != 0 {
		t.Errorf("incomplete %v, %d trials, %d traced; want 4 trials and nothing traced", run.Incomplete, len(run.Trials), len(run.Traced))
	}
	told := 0
	for _, note := range run.Notes {
		if strings.HasPrefix(note, "Syscalls per request were not counted: ") && strings.Contains(note, "missing") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("what is missing is said %d times, want once: %q", told, run.Notes)
	}
}

func TestTally(t *testing.T) {
	at := func(read, failed, ended uint64) ebpf.Syscalls {
		s := ebpf.Syscalls{Calls: []ebpf.SyscallStat{{Name: "read", Calls: read, Errors: failed, Total: 10}}, Ended: map[string]uint64{}}
		if ended > 0 {
			s.Ended["exit"] = ended
			s.Calls = append(s.Calls, ebpf.SyscallStat{Name: "read", Target: "another row of it", Calls: 1, Total: 5})
		}
		return s
	}
	y := newTally(at(100, 3, 0))
	y.add(at(110, 3, 0))
	y.add(at(110, 4, 7))
	y.add(at(115, 4, 9))
	got := y.counts()
	want := []results.SyscallCount{
		{Name: "exit", Calls: []int64{0, 7, 2}},
		{Name: "read", Calls: []int64{10, 1, 5}, Errors: []int64{0, 1, 0}, TotalNS: 5},
	}
	if len(got) != 2 {
		t.Fatalf("%+v, want %+v", got, want)
	}
	for i := range want {
		g, w := got[i], want[i]
		if g.Name != w.Name || !slices.Equal(g.Calls, w.Calls) || !slices.Equal(g.Errors, w.Errors) || g.TotalNS != w.TotalNS {
			t.Errorf("%+v, want %+v", g, w)
		}
	}
}
