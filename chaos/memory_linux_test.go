package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fact is the value of a piece of evidence.
func fact(t *testing.T, s Status, key string) any {
	t.Helper()
	for _, f := range s.Evidence {
		if f.Key == key {
			return f.Value
		}
	}
	t.Fatalf("no evidence of %s in %v", key, s.Evidence)
	return nil
}

func squeezeOf(pid int, options map[string]string) Spec {
	return Spec{Fault: "memory", Target: Target{PID: pid}, Options: options}
}

// finish heals and holds that nothing is left, and that the target is where it
// was.
func finish(t *testing.T, i *Injection, dir, former string, pid int) Status {
	t.Helper()
	if err := i.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := i.Status()
	t.Logf("healed within %s: %v", s.HealedWithin, s.Evidence)
	if left := entriesIn(t, dir); len(left) != 0 {
		t.Errorf("left in the journal: %v", left)
	}
	if _, err := os.Stat(i.work.State["cgroup"]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the group is left: %v", err)
	}
	if pid != 0 && groupOf(t, pid) != former {
		t.Errorf("the target is in %s, want %s", groupOf(t, pid), former)
	}
	return s
}

// TestSqueezePauses takes more than there is: the target waits, and goes on as
// soon as it is healed.
func TestSqueezePauses(t *testing.T) {
	needGroups(t)
	x, dir := startTarget(t), journal(t)
	former := groupOf(t, x.pid())
	i, err := Inject(t.Context(), squeezeOf(x.pid(), map[string]string{"headroom": "4MiB"}), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	if s := i.Status(); !s.Verified || fact(t, s, "in_group") != true || groupOf(t, x.pid()) != i.work.State["cgroup"] {
		t.Errorf("injected: %+v, the target is in %s", s, groupOf(t, x.pid()))
	}
	x.ask(2 << 20)
	x.took(2 << 20)
	x.ask(16 << 20)
	state, err := readMemoryState(i.work.Entry)
	if err != nil {
		t.Fatal(err)
	}
	if state.group.files.version == 1 {
		eventually(t, 10*time.Second, "the target waits for memory", func() bool {
			at, err := state.group.read()
			return err == nil && at.UnderOOM
		})
	}
	time.Sleep(500 * time.Millisecond)
	began := time.Now()
	s := finish(t, i, dir, former, x.pid())
	x.took(16 << 20)
	t.Logf("went on %s after heal was called", time.Since(began))
	if !s.Verified || fact(t, s, "limit_reached") != true || fact(t, s, "oom_killed") != false || fact(t, s, "survived") != true {
		t.Errorf("%+v", s)
	}
	if i.work.State["cgroup_version"] == "1" {
		if starved := fact(t, s, "out_of_memory_s").(float64); starved < 0.2 || starved > 5 {
			t.Errorf("waited %g s for memory, of about 0.5 s", starved)
		}
		if events := fact(t, s, "oom_events").(int64); events < 1 {
			t.Errorf("%d OOM events, want one at least", events)
		}
	}
	if peak := fact(t, s, "usage_peak_bytes").(int64); peak < 4<<20-1<<18 || peak > 6<<20 {
		t.Errorf("usage came to %d bytes, with a limit of 4 MiB", peak)
	}
}

// TestSqueezeKills takes more than there is with the OOM killer on: it says so,
// ends by itself, and leaves nothing.
func TestSqueezeKills(t *testing.T) {
	needGroups(t)
	x, dir := startTarget(t), journal(t)
	began := time.Now()
	i, err := Inject(t.Context(), squeezeOf(x.pid(), map[string]string{"oom": "kill", "headroom": "4MiB"}), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	x.ask(64 << 20)
	var exit *exec.ExitError
	if err := x.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the target ended with %v, want SIGKILL", err)
	}
	select {
	case <-i.Done():
	case <-time.After(5 * time.Second):
		t.Error("the injection did not end with its target")
	}
	s := finish(t, i, dir, "", 0)
	t.Logf("over after %s", time.Since(began))
	if !s.Verified || fact(t, s, "oom_killed") != true || fact(t, s, "survived") != false {
		t.Errorf("%+v", s)
	}
}

// TestIdleSqueezeIsNotVerified squeezes a process that takes nothing: the limit
// holds, and yet nothing came of it.
func TestIdleSqueezeIsNotVerified(t *testing.T) {
	needGroups(t)
	x, dir := startTarget(t), journal(t)
	former := groupOf(t, x.pid())
	spec := squeezeOf(x.pid(), map[string]string{"limit": "1GiB"})
	spec.Duration = 300 * time.Millisecond
	i, err := Inject(t.Context(), spec, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	if !i.Status().Verified {
		t.Error("the limit is not in force")
	}
	<-i.Done()
	s := finish(t, i, dir, former, x.pid())
	if s.Verified || fact(t, s, "limit_reached") != false || fact(t, s, "limit_bytes") != int64(1<<30) {
		t.Errorf("%+v", s)
	}
	if lasted := s.HealedAt.Sub(s.InjectedAt); lasted < spec.Duration || lasted > spec.Duration+5*time.Second {
		t.Errorf("lasted %s, want %s", lasted, spec.Duration)
	}
	if words := wordsOf(s.Evidence); !strings.Contains(words, "never reached") {
		t.Errorf("the evidence does not say so: %s", words)
	}
}

// TestSqueezeTakesChildrenAlong forks during a squeeze: the child goes back too.
func TestSqueezeTakesChildrenAlong(t *testing.T) {
	needGroups(t)
	dir := journal(t)
	shell := exec.Command("sh", "-c", "read go; sleep 60 & echo $!; wait")
	in, _ := shell.StdinPipe()
	out, _ := shell.StdoutPipe()
	if err := shell.Start(); err != nil {
		t.Skipf("needs sh(1): %v", err)
	}
	t.Cleanup(func() {
		_ = shell.Process.Kill()
		_ = shell.Wait()
	})
	former := groupOf(t, shell.Process.Pid)
	i, err := Inject(t.Context(), squeezeOf(shell.Process.Pid, map[string]string{"limit": "64MiB"}), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "go")
	var child int
	if _, err := fmt.Fscan(out, &child); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	if got := groupOf(t, child); got != i.work.State["cgroup"] {
		t.Errorf("the child is in %s", got)
	}
	finish(t, i, dir, former, shell.Process.Pid)
	if got := groupOf(t, child); got != former {
		t.Errorf("the child is in %s, want %s", got, former)
	}
}

func TestHog(t *testing.T) {
	needGroups(t)
	dir := journal(t)
	for _, c := range []struct {
		options    map[string]string
		least, top int // blocks
	}{
		{map[string]string{}, 3, 6},
		{map[string]string{"limit": "32MiB", "blocks": "40", "block-size": "1MiB"}, 16, 31},
	} {
		c.options["mode"] = "hog"
		i, err := Inject(t.Context(), Spec{Fault: "memory", Options: c.options, Duration: 30 * time.Second}, options(dir))
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-i.Done():
		case <-time.After(5 * time.Second):
			t.Error("the injection did not end with the hog")
		}
		s := finish(t, i, dir, "", 0)
		if !s.Verified || fact(t, s, "oom_killed") != true {
			t.Errorf("%+v", s)
		}
		if hits := fact(t, s, "limit_hits").(int64); hits < 1 {
			t.Errorf("the limit was reached %d times", hits)
		}
		// What the runtime of the hog itself holds counts too, with the race
		// detector more so.
		if got := fact(t, s, "blocks").(int); got < c.least || got > c.top {
			t.Errorf("%d blocks, want %d to %d", got, c.least, c.top)
		}
		if dead := fact(t, s, "dead_ns").(int64); dead <= 0 || dead > int64(10*time.Second) {
			t.Errorf("dead after %d ns", dead)
		}
		if i.work.State["cgroup_version"] == "1" {
			if event, dead := fact(t, s, "oom_event_ns").(int64), fact(t, s, "dead_ns").(int64); event <= 0 || event > dead+int64(time.Second) {
				t.Errorf("OOM event after %d ns, dead after %d", event, dead)
			}
		}
	}
}

// TestHogEndsWithTheContext cancels while a hog allocates.
func TestHogEndsWithTheContext(t *testing.T) {
	needGroups(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	_, err := Inject(ctx, Spec{Fault: "memory", Options: map[string]string{"mode": "hog", "limit": "1GiB", "block-size": "4KiB", "blocks": "1000000"}}, options(journal(t)))
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left := groupsOf(t, os.Getpid()); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestMemoryRefuses(t *testing.T) {
	needGroups(t)
	x := startTarget(t)
	for _, c := range []struct {
		name  string
		spec  Spec
		usage bool
		says  string
	}{
		{"itself", squeezeOf(os.Getpid(), nil), true, "mslab itself"},
		{"its parent", squeezeOf(os.Getppid(), nil), true, "mslab itself"},
		{"the first process", squeezeOf(1, nil), true, "holds the system together"},
		{"no process", squeezeOf(0, nil), true, "wants a process"},
		{"a process that is gone", squeezeOf(1<<22-1, nil), false, "no process"},
		{"another process of that id", Spec{Fault: "memory", Target: Target{PID: x.pid(), StartTicks: 1}}, false, "is another one by now"},
		{"a hog with a process", squeezeOf(x.pid(), map[string]string{"mode": "hog"}), true, "takes no process"},
		{"a hog that fits", squeezeOf(0, map[string]string{"mode": "hog", "blocks": "2"}), true, "fit into a limit"},
		{"a hog without room", squeezeOf(0, map[string]string{"mode": "hog", "limit": "8000GiB", "blocks": "1000000"}), false, "give a lower limit"},
		{"an unknown mode", squeezeOf(x.pid(), map[string]string{"mode": "x"}), true, "want one of"},
		{"no size", squeezeOf(x.pid(), map[string]string{"limit": "much"}), true, "read size"},
		{"a limit of nothing", squeezeOf(x.pid(), map[string]string{"limit": "1KiB"}), true, "want 64 KiB to"},
		{"too many blocks", squeezeOf(0, map[string]string{"mode": "hog", "blocks": "1e9"}), true, "blocks"},
	} {
		dir := journal(t)
		i, err := Inject(t.Context(), c.spec, options(dir))
		if err == nil {
			t.Errorf("%s: injected", c.name)
			_ = i.Heal(t.Context())
			continue
		}
		if !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrUsage) != c.usage || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %q, wrong usage: %t", c.name, err, c.says, c.usage)
		}
		if left := entriesIn(t, dir); len(left) != 0 {
			t.Errorf("%s: left in the journal: %v", c.name, left)
		}
	}
}

func TestTwoSqueezesOfOneProcess(t *testing.T) {
	needGroups(t)
	x, dir := startTarget(t), journal(t)
	former := groupOf(t, x.pid())
	i, err := Inject(t.Context(), squeezeOf(x.pid(), map[string]string{"limit": "1GiB"}), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Inject(t.Context(), squeezeOf(x.pid(), nil), options(dir)); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "already") {
		t.Errorf("the second squeeze: %v", err)
	}
	if _, err := Inject(t.Context(), squeezeOf(x.pid(), nil), options(journal(t))); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "of another injection") {
		t.Errorf("the second squeeze, by another journal: %v", err)
	}
	finish(t, i, dir, former, x.pid())
}

func TestBySecondWords(t *testing.T) {
	long := make([]int64, 30)
	for i := range long {
		long[i] = int64(i) << 20
	}
	for _, c := range []struct {
		series []int64
		want   string
	}{
		{nil, ""}, {long[:1], ""}, {long[:2], "usage by second, MiB: 0.0 1.0"},
		{long, "usage by second, MiB: 0.0 3.0 6.0 9.0 12.0 16.0 19.0 22.0 25.0 29.0"},
	} {
		if got := bySecondWords(c.series); got != c.want {
			t.Errorf("%d values: %q, want %q", len(c.series), got, c.want)
		}
	}
}

// TestMemoryPlan holds that a dry run says what would be done, and does nothing.
func TestMemoryPlan(t *testing.T) {
	needGroups(t)
	x := startTarget(t)
	former := groupOf(t, x.pid())
	for _, c := range []struct {
		spec Spec
		want []string
	}{
		{squeezeOf(x.pid(), nil), []string{"mkdir ", fmt.Sprintf("echo %d > ", x.pid()), "+ 4194304 ))"}},
		{squeezeOf(x.pid(), map[string]string{"limit": "64MiB", "oom": "kill"}), []string{"echo 67108864 > "}},
		{squeezeOf(0, map[string]string{"mode": "hog"}), []string{"1000 blocks of 10 MiB", "echo 67108864 > "}},
	} {
		p, err := DryRun(t.Context(), c.spec, Options{})
		if err != nil {
			t.Fatal(err)
		}
		inject := strings.Join(p.Inject, "\n")
		for _, want := range c.want {
			if !strings.Contains(inject, want) {
				t.Errorf("the plan does not say %q:\n%s", want, inject)
			}
		}
		if undo := strings.Join(p.Undo, "\n"); !strings.Contains(undo, "rmdir ") {
			t.Errorf("the plan does not say how the group goes:\n%s", undo)
		}
	}
	if left := groupsOf(t, os.Getpid()); len(left) > 0 || groupOf(t, x.pid()) != former {
		t.Errorf("left: %v; the target is in %s", left, groupOf(t, x.pid()))
	}
}

// TestMemoryPlanIsWhatIsDone gives the lines of a dry run to a shell.
func TestMemoryPlanIsWhatIsDone(t *testing.T) {
	needGroups(t)
	x := startTarget(t)
	former := groupOf(t, x.pid())
	p, err := DryRun(t.Context(), squeezeOf(x.pid(), nil), Options{})
	if err != nil {
		t.Fatal(err)
	}
	const id = "1-2-0123abcd"
	g, _, err := chooseGroup(x.pid(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.dissolve(former) })
	shell := func(lines []string) {
		t.Helper()
		script := strings.ReplaceAll(strings.Join(lines, "\n"), "mslab-ID", "mslab-"+id)
		if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, script)
		}
	}
	shell(p.Inject)
	limit, err := g.bytes(limitFile(g.files, true))
	if err != nil || limit < 4<<20 || limit > 64<<20 || groupOf(t, x.pid()) != g.dir {
		t.Errorf("limit %d, %v; the target is in %s", limit, err, groupOf(t, x.pid()))
	}
	shell(p.Undo)
	if _, err := os.Stat(g.dir); !errors.Is(err, fs.ErrNotExist) || groupOf(t, x.pid()) != former {
		t.Errorf("the group: %v; the target is in %s", err, groupOf(t, x.pid()))
	}
}

// TestMemoryWithoutRights is another user's, who may make no group: one line says
// what is missing, and nothing is left.
func TestMemoryWithoutRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root, to become another user")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip(err)
	}
	exe := openCopy(t)
	text, err := json.Marshal(memoryPart{filepath.Join(filepath.Dir(exe), "mslab", "chaos"), squeezeOf(0, map[string]string{"mode": "hog"})})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", exe, "-test.run=^TestMemoryRole$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), memoryRole+"="+string(text), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v, want exit code 1", err)
	}
	said := strings.TrimSuffix(string(out), "\n")
	if !strings.Contains(said, "permission denied") || !strings.Contains(said, rightsFix) || strings.Contains(said, "\n") {
		t.Errorf("said %q", said)
	}
	if left := groupsOf(t, cmd.Process.Pid); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
