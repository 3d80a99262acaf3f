package scenarios

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mslab/results"
	"mslab/results/record"
)

const tiny = `name: tiny
matrix: {subject: [3, 5], clients: [4]}
arms:
  sliced: {listen: backlog1024, ranked: false}
  told: {load: {requests-per-client: 25}, blocks: 1}
load: {connection: new, slice: 100ms, warmup: 50ms}
repeat: {blocks: 2, slices: 2}
`

// tinySampleEvery fits several times into the shortest slice of the tiny runs.
const tinySampleEvery = 10 * time.Millisecond

func playTiny(t *testing.T, yaml string) (*results.Run, string) {
	t.Helper()
	exe := mslab(t)
	t.Setenv("TMPDIR", t.TempDir())
	before := affinity(t)
	s, err := Decode("tiny.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var events []Event
	dir, run, err := Run(t.Context(), p, Play{Executable: exe, Dir: filepath.Join(t.TempDir(), "run"), Tool: record.Tool{Version: "test"},
		Progress: func(e Event) { events = append(events, e) }, SampleEvery: tinySampleEvery})
	if err != nil {
		t.Fatal(err)
	}
	if run.Incomplete {
		t.Error("the run is marked incomplete")
	}
	checkEvents(t, events, run)
	if after := affinity(t); after != before {
		t.Errorf("the cores of this process were %v before and %v after", before, after)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	return run, dir
}

func affinity(t *testing.T) unix.CPUSet {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestRunPlaysWhatItPlans(t *testing.T) {
	run, dir := playTiny(t, tiny)
	stored, err := results.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored.Trials) != 6 || len(run.Trials) != 6 {
		t.Fatalf("%d trials stored, %d returned; want 2 subjects x (2 + 1 blocks)", len(stored.Trials), len(run.Trials))
	}
	for _, trial := range stored.Trials {
		checkTrial(t, trial)
	}
	if len(stored.Order) != 3 || len(stored.Order[0].Order) != 4 || stored.Order[0].Order[1] != stored.Order[0].Order[2] {
		t.Errorf("the order of the slices is not ABBA: %+v", stored.Order)
	}
	table, err := os.ReadFile(filepath.Join(dir, "table.md"))
	if err != nil || !bytes.Contains(table, []byte("linear-json")) {
		t.Errorf("table.md: %v\n%s", err, table)
	}
}

func checkTrial(t *testing.T, r *record.Record) {
	t.Helper()
	name := r.Arm + "/" + r.Subject.Name
	if !r.Verdict.Valid || r.Incomplete || r.Server == nil {
		t.Fatalf("%s: %+v", name, r.Verdict)
	}
	if err := r.Check(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if got := r.Server.Counters["batches_processed"]; got != r.Counts.OK || got == 0 {
		t.Errorf("%s: the server processed %d, ok %d", name, got, r.Counts.OK)
	}
	if r.Arm == "told" && r.Counts.Sent != 100 {
		t.Errorf("%s: sent %d, want 4 x 25", name, r.Counts.Sent)
	}
	if got := r.Load.WarmupS; got < 0.05 || got > longestWarmup.Seconds() {
		t.Errorf("%s: the record speaks of %v s of warm-up, want 0.05 s or as long as it took to settle", name, got)
	}
	want := map[string]int{"sliced": 2, "told": 1}[r.Arm]
	if len(r.Slices) != want {
		t.Errorf("%s: %d slices, want %d", name, len(r.Slices), want)
	}
	var cpu float64
	for _, s := range r.Slices {
		cpu += s.CPUPerRequest * float64(s.OK)
		if s.CalibrationNS <= 0 || s.DurationS <= 0 {
			t.Errorf("%s: slice %+v", name, s)
		}
	}
	if diff := cpu - float64(r.Server.CPUNS); diff > 1000 || diff < -1000 {
		t.Errorf("%s: the slices' CPU is %.0f ns, the trial's %d", name, cpu, r.Server.CPUNS)
	}
	s := r.Server
	if s.CPUPerRequest < 1000 || s.RSSMax < s.RSSIdle || s.RSSIdle == 0 || s.ThreadsMax < 2 || s.CtxSwitches.Voluntary == 0 {
		t.Errorf("%s: the kernel's figures %+v", name, s)
	}
	listen := map[string]string{"sliced": "backlog1024", "told": "backlog10"}[r.Arm]
	if r.Subject.Recipe["listen"] != listen || r.Environment == nil || r.Environment.Pinning == "" {
		t.Errorf("%s: listen %s, environment %+v", name, r.Subject.Recipe["listen"], r.Environment)
	}
	if r.Environment.Cores >= 2 && !strings.HasPrefix(r.Environment.Pinning, "server on core") {
		t.Errorf("%s: not pinned: %s", name, r.Environment.Pinning)
	}
}

// TestProbesAreWhatIsRead holds probes that are off to be named.
func TestProbesAreWhatIsRead(t *testing.T) {
	run, _ := playTiny(t, "name: tiny\nmatrix: {subject: [5], clients: [2]}\nload: {slice: 50ms, warmup: 0s}\nrepeat: {blocks: 1, slices: 1}\nprobes: [netstat]\n")
	if s := run.Trials[0].Server; s.ThreadsMax != 0 || s.RSSMax != 0 || s.CPUNS == 0 {
		t.Errorf("without the probe proc: %+v", s)
	}
	if !slices.ContainsFunc(run.Notes, func(n string) bool { return strings.Contains(n, "The probe proc was off") }) {
		t.Errorf("notes: %v", run.Notes)
	}
}

func TestRunSaysWhyAServerDidNotStart(t *testing.T) {
	s, err := Decode("tiny.yaml", []byte(tiny))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("#!/bin/sh\necho the reason >&2\nexit 2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, run, err := Run(t.Context(), p, Play{Executable: bad, Dir: filepath.Join(dir, "run")})
	if err == nil || !strings.Contains(err.Error(), "the reason") || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("error %v", err)
	}
	if run == nil || !run.Incomplete {
		t.Error("the run is not marked incomplete")
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

const long = `name: long
matrix: {subject: [3, 5], clients: [4]}
load: {slice: 500ms, warmup: 50ms}
repeat: {blocks: 50, slices: 4}
`

// startLong plays a run that takes minutes and returns once its servers are up.
func startLong(t *testing.T) (cmd *exec.Cmd, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "run")
	cmd = role(t, rolePlay, writeScenario(t, long), mslab(t), dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, 10*time.Second, "two servers run", func() bool { return len(childrenOfPID(cmd.Process.Pid)) == 2 })
	return cmd, dir
}

// childrenOfPID lists the processes whose parent is pid.
func childrenOfPID(pid int) []int {
	var children []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && fields[0] != "Z" {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			children = append(children, child)
		}
	}
	return children
}

func gone(pids []int) bool {
	return !slices.ContainsFunc(pids, func(pid int) bool {
		data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err == nil && !strings.Contains(string(data), ") Z ")
	})
}

func TestKilledRunnerLeavesNoServer(t *testing.T) {
	cmd, _ := startLong(t)
	servers := childrenOfPID(cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "no server is left", func() bool { return gone(servers) })
}

func TestInterruptedRunKeepsWhatItMeasured(t *testing.T) {
	cmd, dir := startLong(t)
	trials := filepath.Join(dir, "trials", "*.json")
	eventually(t, 20*time.Second, "a block is stored", func() bool { found, _ := filepath.Glob(trials); return len(found) >= 2 })
	time.Sleep(700 * time.Millisecond) // into the next block
	servers := childrenOfPID(cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("exit: %v, want 130", err)
	}
	if !gone(servers) {
		t.Error("a server is left")
	}
	run, err := results.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !run.Incomplete || len(run.Trials) < 2 {
		t.Errorf("incomplete %v, %d trials", run.Incomplete, len(run.Trials))
	}
	for _, trial := range run.Trials {
		if trial.Block == 1 && trial.Incomplete {
			t.Errorf("block 1 of %s was over and is marked incomplete", trial.Subject.Name)
		}
		if len(trial.Slices) < 4 && !trial.Incomplete {
			t.Errorf("block %d of %s has %d of 4 slices and is not marked", trial.Block, trial.Subject.Name, len(trial.Slices))
		}
	}
}

// TestDyingServerIsReported kills a server under load: its trial is invalid and
// says why, the other's is not.
func TestDyingServerIsReported(t *testing.T) {
	r, cells := startCells(t, mslab(t), Arm{Overrides: map[string]string{}, Load: defaultLoad(), Slices: 2, Blocks: 1}, "3", "5")
	r.plan.arms[0].loads[0].Slice = 300 * time.Millisecond
	go func() {
		time.Sleep(900 * time.Millisecond)
		_ = cells[0].child.cmd.Process.Kill()
	}()
	arm := &r.plan.arms[0]
	played, err := r.slices(t.Context(), arm, cells, []int{1, 0, 0, 0, 0, 1}, arm.loads[0], 1)
	if err != nil || played != 6 {
		t.Fatalf("%d slices had their turn, %v", played, err)
	}
	if why := cells[0].child.failed; !strings.Contains(why, "ended by itself (signal: killed)") {
		t.Errorf("the killed server: %q", why)
	}
	if why := cells[1].child.failed; why != "" || len(cells[1].parts) != 2 {
		t.Errorf("the other server: %q, %d slices", why, len(cells[1].parts))
	}
	if len(cells[0].parts) > 0 {
		trial, err := record.Merge(cells[0].parts...)
		if err != nil {
			t.Fatal(err)
		}
		if r.complete(trial, arm, cells[0]); trial.Verdict.Valid {
			t.Error("the trial of the killed server is valid")
		}
	}
}

// startCells makes a runner and the servers of one block without a run around
// them.
func startCells(t testing.TB, exe string, arm Arm, phases ...string) (*runner, []*cell) {
	t.Helper()
	r, cells, stop, err := newCells(t.Context(), exe, t.TempDir(), arm, phases...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	return r, cells
}

func newCells(ctx context.Context, exe, scratch string, arm Arm, phases ...string) (*runner, []*cell, func() error, error) {
	p, err := NewPlan(&Scenario{Name: "x", Subjects: Phases(phases...), Arms: []Arm{arm}}, Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	r := &runner{plan: p, exe: exe, scratch: scratch, proc: true, netstat: true, progress: newProgress(Play{}, p),
		run: &results.Run{Started: time.Now(), Environment: &record.Environment{}}}
	release, err := r.claimCores()
	if err != nil {
		return nil, nil, nil, err
	}
	cells, err := r.start(ctx, &p.arms[0])
	if err != nil {
		return nil, nil, nil, errors.Join(err, release())
	}
	return r, cells, func() error { return errors.Join(stopAll(childrenOf(cells)), release()) }, nil
}

// TestFullDiskLeavesNoRunFolder runs on a disk of one page, which is taken.
func TestFullDiskLeavesNoRunFolder(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("mount a tmpfs to fill: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(small, "taken"), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	s, err := Decode("tiny.yaml", []byte(tiny))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir, run, err := Run(t.Context(), p, Play{Executable: "/bin/false", Dir: filepath.Join(small, "run")})
	if !errors.Is(err, unix.ENOSPC) || run != nil || dir != "" {
		t.Errorf("a full disk gave %q, %v, %v; want no run and ENOSPC", dir, run, err)
	}
	if left, _ := os.ReadDir(small); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
