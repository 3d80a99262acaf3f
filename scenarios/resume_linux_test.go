package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mslab/results"
	"mslab/results/record"
)

const killable = `name: killable
matrix: {subject: [3, 5], clients: [2]}
arms:
  sliced: {listen: backlog1024, ranked: false}
  told: {load: {clients: [2, 3], requests-per-client: 25}, blocks: 2}
load: {connection: new, slice: 60ms, warmup: 20ms}
repeat: {blocks: 4, slices: 2}
`

// rest plays what a run has left.
func rest(t *testing.T, dir string) (*results.Run, error) {
	t.Helper()
	run, err := results.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := PlanRest(run)
	if err != nil {
		return nil, err
	}
	t.Setenv("TMPDIR", t.TempDir())
	_, run, err = Run(t.Context(), p, Play{Executable: mslab(t)})
	return run, err
}

// TestKilledRunIsFinished kills a run twice at any moment and holds that the
// rest is what it would have been: each block once, in its own order.
func TestKilledRunIsFinished(t *testing.T) {
	exe, file := mslab(t), writeScenario(t, killable)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for range 2 {
		dir := filepath.Join(t.TempDir(), "run")
		wait := time.Duration(rng.Int64N(int64(2500 * time.Millisecond)))
		t.Logf("killed after %s", wait)
		cmd := role(t, rolePlay, file, exe, dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, "the run has begun", func() bool { _, err := os.Stat(filepath.Join(dir, "run.json")); return err == nil })
		time.Sleep(wait)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		killed, err := results.OpenRun(dir)
		if err != nil {
			t.Fatal(err)
		}
		kept := keptFiles(t, dir, killed)
		run, err := rest(t, dir)
		if !killed.Incomplete {
			if err == nil {
				t.Error("a complete run was resumed")
			}
			continue
		}
		if err != nil || run.Incomplete {
			t.Fatalf("resumed: %v, incomplete %v", err, run != nil && run.Incomplete)
		}
		for name, data := range kept {
			if now, err := os.ReadFile(name); err != nil || !bytes.Equal(now, data) {
				t.Errorf("%s was over and was played anew: %v", name, err)
			}
		}
		checkWholeRun(t, dir)
	}
}

// keptFiles are the trials of blocks that were over.
func keptFiles(t *testing.T, dir string, run *results.Run) map[string][]byte {
	t.Helper()
	own := *run
	own.CutShort()
	files := map[string][]byte{}
	names, _ := filepath.Glob(filepath.Join(dir, "trials", "*.json"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := record.Read(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(own.Trials, func(o *record.Record) bool {
			return o.Arm == r.Arm && o.Block == r.Block && o.Subject.Name == r.Subject.Name && o.Load.Clients == r.Load.Clients
		}) {
			files[name] = data
		}
	}
	return files
}

// checkWholeRun holds a folder against its plan: each trial and each block
// once, in the order that the seed gives it.
func checkWholeRun(t *testing.T, dir string) {
	t.Helper()
	run, err := results.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if run.Incomplete || run.Ended.IsZero() {
		t.Errorf("incomplete %v, ended %v", run.Incomplete, run.Ended)
	}
	blocks, trials := map[string]int{}, 0
	for _, p := range run.Order {
		blocks[fmt.Sprint(p.Arm, p.Block, p.Load)]++
		arm, _ := run.Plan.Arm(p.Arm)
		subjects := run.Plan.SubjectsOf(arm)
		var want []string
		for _, i := range order(orderSource(run.Plan.Seed, p.Arm, p.Block, p.Load), len(subjects), arm.Slices) {
			want = append(want, subjects[i].Name)
		}
		if !slices.Equal(p.Order, want) {
			t.Errorf("arm %s, block %d: played %v, want %v", p.Arm, p.Block, p.Order, want)
		}
	}
	for _, arm := range run.Plan.Arms {
		trials += arm.Blocks * len(arm.Loads) * len(run.Plan.SubjectsOf(arm))
		for block := 1; block <= arm.Blocks; block++ {
			for load := range arm.Loads {
				if n := blocks[fmt.Sprint(arm.Name, block, load)]; n != 1 {
					t.Errorf("arm %s, block %d, load %d was played %d times", arm.Name, block, load, n)
				}
			}
		}
	}
	if len(run.Trials) != trials {
		t.Errorf("%d trials, want %d", len(run.Trials), trials)
	}
	for _, trial := range run.Trials {
		if trial.Incomplete || !trial.Verdict.Valid {
			t.Errorf("arm %s, block %d of %s: incomplete %v, %+v", trial.Arm, trial.Block, trial.Subject.Name, trial.Incomplete, trial.Verdict)
		}
	}
}

// TestFullDiskInMidRunLosesNoBlock fills the disk that the run folder is on, and
// makes room again.
func TestFullDiskInMidRunLosesNoBlock(t *testing.T) {
	exe := mslab(t)
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=120k"); err != nil {
		t.Skipf("mount a tmpfs to fill: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	filler, dir := filepath.Join(small, "taken"), filepath.Join(small, "run")
	if err := os.WriteFile(filler, make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	s, err := Decode("killable.yaml", []byte(strings.Replace(killable, "blocks: 4", "blocks: 6", 1)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, run, err := Run(t.Context(), p, Play{Executable: exe, Dir: dir})
	if !errors.Is(err, unix.ENOSPC) || run == nil || !run.Incomplete {
		t.Fatalf("a disk that became full gave %v", err)
	}
	stored, err := results.OpenRun(dir)
	if err != nil {
		t.Fatalf("the folder cannot be read: %v", err)
	}
	if !stored.Incomplete || len(stored.Order) == 0 {
		t.Errorf("incomplete %v, %d blocks", stored.Incomplete, len(stored.Order))
	}
	if _, err := rest(t, dir); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("resumed on a disk that is still full: %v", err)
	}
	if err := errors.Join(os.Remove(filler), unix.Mount("", small, "", unix.MS_REMOUNT, "size=4m")); err != nil {
		t.Fatal(err)
	}
	if _, err := rest(t, dir); err != nil {
		t.Fatal(err)
	}
	checkWholeRun(t, dir)
}

// TestOnlyTheSameRunIsFinished holds that what is played differently is named,
// and that nothing of the folder changes then.
func TestOnlyTheSameRunIsFinished(t *testing.T) {
	exe := mslab(t)
	t.Setenv("TMPDIR", t.TempDir())
	begin := func(change func(*results.Run)) *results.Run {
		dir := filepath.Join(t.TempDir(), "run")
		p := planOn(t, killable)
		store, err := results.CreateStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		run := &results.Run{Plan: p.Record, Incomplete: true, Started: time.Now(), Environment: environment(p.cores)}
		change(run)
		if err := store.WriteRun(run); err != nil {
			t.Fatal(err)
		}
		if run, err = results.OpenRun(dir); err != nil {
			t.Fatal(err)
		}
		return run
	}
	for name, c := range map[string]struct {
		change func(*results.Run)
		want   string
	}{
		"plan":     {func(r *results.Run) { r.Plan.Arms[0].Overrides["listen"] = "backlog10" }, `plan.arms[0].overrides.listen was "backlog10" and is "backlog1024"`},
		"phase":    {func(r *results.Run) { r.Plan.Subjects[0].Recipe["parse"] = "quadratic" }, `recipe.parse was "quadratic"`},
		"source":   {func(r *results.Run) { r.Plan.Source = nil }, "did not keep"},
		"stranger": {func(r *results.Run) { r.Plan.Source = []byte(`{"Scenario":{"Later":1}}`) }, "cannot be read by this version"},
		"complete": {func(r *results.Run) { r.Incomplete = false }, "is complete"},
		"tool":     {func(r *results.Run) { r.Tool.Commit = "abc" }, `mslab.commit was "abc"`},
		"machine":  {func(r *results.Run) { r.Environment.Kernel = "Linux 2.6" }, `environment.kernel was "Linux 2.6"`},
		"setting":  {func(r *results.Run) { r.Environment.Sysctls["net.core.somaxconn"] = "1" }, `somaxconn was "1"`},
	} {
		t.Run(name, func(t *testing.T) {
			run := begin(c.change)
			p, err := PlanRest(run)
			if err == nil {
				_, _, err = Run(t.Context(), p, Play{Executable: exe})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if trials, _ := os.ReadDir(filepath.Join(run.Dir, "trials")); len(trials) != 0 {
				t.Errorf("played %v", trials)
			}
		})
	}
	t.Run("held", func(t *testing.T) {
		run := begin(func(r *results.Run) {
			r.Environment.Cgroup = "/another" + r.Environment.Cgroup
			r.Environment.Steal = 0.5
		})
		release, err := holdFolder(run.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rest(t, run.Dir); err == nil || !strings.Contains(err.Error(), "another mslab run") {
			t.Errorf("error %v", err)
		}
		if err := release(); err != nil {
			t.Error(err)
		}
		if _, err := rest(t, run.Dir); err != nil {
			t.Error(err)
		}
		checkWholeRun(t, run.Dir)
	})
}

func planOn(t *testing.T, yaml string) *Plan {
	t.Helper()
	s, err := Decode("f.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
