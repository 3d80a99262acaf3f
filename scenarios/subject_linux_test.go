package scenarios

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
)

// shortArm plays one block of two slices.
func shortArm(blocks int) Arm {
	load := defaultLoad()
	load.Clients, load.Connection = []int{4}, loadgen.Keep
	load.Slice, load.Warmup = 200*time.Millisecond, 50*time.Millisecond
	return Arm{Name: "main", Load: load, Blocks: blocks, Slices: 2, Overrides: map[string]string{}}
}

// tryForeign plays subjects and returns the run with its error.
func tryForeign(t *testing.T, arm Arm, specs ...SubjectSpec) (*results.Run, error) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers: skipped by -short")
	}
	t.Setenv("TMPDIR", t.TempDir())
	p, err := NewPlan(&Scenario{Name: "x", Subjects: specs, Arms: []Arm{arm}, Probes: []string{probeProc, probeNetstat}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir, run, err := Run(t.Context(), p, Play{Executable: "/bin/false", Dir: filepath.Join(t.TempDir(), "run")})
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err == nil {
		if run, err = results.OpenRun(dir); err != nil {
			t.Fatal(err)
		}
	}
	return run, err
}

func playForeignSubjects(t *testing.T, arm Arm, specs ...SubjectSpec) *results.Run {
	t.Helper()
	run, err := tryForeign(t, arm, specs...)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func command(name string, words ...string) SubjectSpec {
	return SubjectSpec{Name: name, Command: words}
}

// TestForeignCommandsAreMeasured plays the same binary twice, the one told its
// port in its arguments, the other in its environment.
func TestForeignCommandsAreMeasured(t *testing.T) {
	run := playForeignSubjects(t, shortArm(2), command("a", foreignCommand(t, "plain", "{port}")...), command("b", foreignCommand(t, "plain", "env")...))
	if len(run.Trials) != 4 {
		t.Fatalf("%d trials, notes %v", len(run.Trials), run.Notes)
	}
	for _, trial := range run.Trials {
		s := trial.Server
		if !trial.Verdict.Valid || trial.Incomplete || s == nil || len(s.Unknown) > 0 {
			t.Fatalf("%s: %+v, server %+v", trial.Subject.Name, trial.Verdict, s)
		}
		if s.CPUPerRequest < 1000 || s.CPUPerRequest > 1e7 || s.CtxSwitches.Voluntary == 0 || s.ThreadsMax < 3 || s.RSSMax < 1<<20 || s.RSSIdle == 0 {
			t.Errorf("%s: the kernel's figures %+v", trial.Subject.Name, s)
		}
		if len(s.Counters) > 0 || trial.Stored != nil {
			t.Errorf("%s: something is known of a foreign server's inside: %+v", trial.Subject.Name, s.Counters)
		}
		if trial.Subject.Request != "GET /" || trial.Subject.Phase != nil || len(trial.Subject.Command) == 0 {
			t.Errorf("subject %+v", trial.Subject)
		}
	}
	for _, note := range run.Notes {
		if strings.Contains(note, "did not end") || strings.Contains(note, "Not known") {
			t.Error(note)
		}
	}
	table, err := results.Tables(run, -1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := results.Render(&b, "text", table); err == nil && !strings.Contains(b.String(), "subject") {
		t.Errorf("tables:\n%s", b.String())
	}
}

// TestTreeIsCountedWhole holds the CPU time of servers that have others work for
// them against one that works alone.
func TestTreeIsCountedWhole(t *testing.T) {
	run := playForeignSubjects(t, shortArm(1), command("alone", foreignCommand(t, "plain", "{port}")...), command("prefork", foreignCommand(t, "prefork", "{port}")...),
		command("daemon", foreignCommand(t, "daemon", "{port}")...))
	cpu := map[string]float64{}
	for _, trial := range run.Trials {
		if len(trial.Server.Unknown) > 0 || !trial.Verdict.Valid {
			t.Errorf("%s: %+v %+v", trial.Subject.Name, trial.Server.Unknown, trial.Verdict)
		}
		cpu[trial.Subject.Name] = trial.Server.CPUPerRequest
	}
	for _, name := range []string{"prefork", "daemon"} {
		if cpu[name] < cpu["alone"]/3 || cpu[name] > cpu["alone"]*5 {
			t.Errorf("CPU per request: %v", cpu)
		}
	}
}

// TestEndedProcessesAreCounted plays a server that forks a process for each
// request, which burns 20 ms: waited for, they are in its figure; where nobody
// waits for them the figure is not known, and no context switches are known of
// either.
func TestEndedProcessesAreCounted(t *testing.T) {
	arm := shortArm(1)
	arm.Load.Slice = 600 * time.Millisecond
	run := playForeignSubjects(t, arm, command("forking", foreignCommand(t, "forking", "{port}")...), command("deaf", foreignCommand(t, "deaf", "{port}")...),
		command("threads", foreignCommand(t, "threads", "{port}")...))
	for _, trial := range run.Trials {
		s := trial.Server
		if s.Knows(record.UnknownSwitch) {
			t.Errorf("%s: context switches of ended threads are said to be known: %+v", trial.Subject.Name, s)
		}
		switch name := trial.Subject.Name; {
		case name == "forking" && (!s.Knows(record.UnknownCPU) || s.CPUPerRequest < 18e6):
			t.Errorf("forking: %.1f ms a request, want over 20; unknown %v", s.CPUPerRequest/1e6, s.Unknown)
		case name == "deaf" && s.Knows(record.UnknownCPU):
			t.Errorf("deaf: its children's CPU time is said to be known: %+v", s)
		case name == "threads" && (!s.Knows(record.UnknownCPU) || s.CPUPerRequest < 0.9e6):
			t.Errorf("threads: %.2f ms a request, want over 1; unknown %v", s.CPUPerRequest/1e6, s.Unknown)
		}
	}
	if !slices.ContainsFunc(run.Notes, func(n string) bool { return strings.Contains(n, "Not known of deaf") }) {
		t.Errorf("notes: %v", run.Notes)
	}
}

func TestStubbornCommandIsKilled(t *testing.T) {
	begun := time.Now()
	run := playForeignSubjects(t, shortArm(1), command("stubborn", foreignCommand(t, "stubborn", "{port}")...))
	if took := time.Since(begun); took < stopTimeout || !slices.ContainsFunc(run.Notes, func(n string) bool {
		return strings.Contains(n, "stubborn did not end within 5s of SIGTERM and was killed")
	}) {
		t.Errorf("after %s: %v", took, run.Notes)
	}
	if !run.Trials[0].Verdict.Valid {
		t.Errorf("how it ended is no matter of its figures: %+v", run.Trials[0].Verdict)
	}
}

// TestDyingCommandIsReported loads a command that ends by itself: its trial is
// invalid and says why, the other's is not.
func TestDyingCommandIsReported(t *testing.T) {
	arm := shortArm(2)
	arm.Load.Warmup = 0
	run := playForeignSubjects(t, arm, command("dies", foreignCommand(t, "dies", "{port}")...), command("lives", foreignCommand(t, "plain", "{port}")...))
	said := strings.Join(run.Notes, "\n")
	for _, trial := range run.Trials {
		said += strings.Join(trial.Verdict.Reasons, "\n")
		if trial.Verdict.Valid != (trial.Subject.Name == "lives") {
			t.Errorf("%s: %+v", trial.Subject.Name, trial.Verdict)
		}
	}
	if !strings.Contains(said, "ended by itself (exit status 3): ") || !strings.Contains(said, "enough of this") {
		t.Errorf("said:\n%s", said)
	}
}

func TestCommandsThatAreNotReady(t *testing.T) {
	soon := func(s SubjectSpec) SubjectSpec { s.ReadyTimeout = 1500 * time.Millisecond; return s }
	for _, c := range []struct {
		spec SubjectSpec
		want []string
	}{
		{command("broken", foreignCommand(t, "broken", "{port}")...), []string{"start broken: the command ended before it was ready (exit status 1)", "the reason it broke"}},
		{soon(command("mute", foreignCommand(t, "mute", "{port}")...)), []string{"not ready within 1.5s", "refused", "listens nowhere"}},
		{soon(command("mute", foreignCommand(t, "mute", "0")...)), []string{"tell it its port by {port}"}},
		{soon(command("elsewhere", foreignCommand(t, "elsewhere", "{port}")...)), []string{"it listens on ", ", not on "}},
		{command("nothing", "/bin/false"), []string{"start nothing: the command ended before it was ready (exit status 1)"}},
		{command("absent", "/no/such/program"), []string{"start absent:", "no such file"}},
	} {
		t.Run(strings.Join(c.want, ","), func(t *testing.T) {
			_, err := tryForeign(t, shortArm(1), c.spec)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			if left := keepersOf(t); len(left) != 0 {
				t.Errorf("keepers are left: %v", left)
			}
		})
	}
}

// keepersOf are the children of this process.
func keepersOf(t *testing.T) []process {
	t.Helper()
	return descendantsOf(os.Getpid())
}

func TestCommandsThatAreReadyInTheEnd(t *testing.T) {
	health := func(s SubjectSpec, ready string) SubjectSpec { s.Ready = ready; return s }
	run := playForeignSubjects(t, shortArm(1), command("late", foreignCommand(t, "late", "{port}")...),
		health(command("unready", foreignCommand(t, "unready", "{port}")...), "http://127.0.0.1:{port}/health"),
		health(command("path", foreignCommand(t, "unready", "{port}")...), "/health"),
		command("found", foreignCommand(t, "elsewhere", "0")...))
	if len(run.Trials) != 4 {
		t.Fatalf("%d trials: %v", len(run.Trials), run.Notes)
	}
	for _, trial := range run.Trials {
		if !trial.Verdict.Valid || len(trial.Server.Unknown) > 0 {
			t.Errorf("%s: %+v", trial.Subject.Name, trial.Verdict)
		}
	}
}

func TestForeignRequest(t *testing.T) {
	strict := command("strict", foreignCommand(t, "strict", "{port}")...)
	strict.Path, strict.Method, strict.Body, strict.Header = "/p", http.MethodPut, []byte("text"), http.Header{"X-Key": {"value"}}
	wrong := command("wrong", foreignCommand(t, "strict", "{port}")...)
	run := playForeignSubjects(t, shortArm(1), strict, wrong)
	for _, trial := range run.Trials {
		switch {
		case trial.Subject.Name == "strict" && (!trial.Verdict.Valid || trial.Success.HTTP != 1):
			t.Errorf("strict: %+v %+v", trial.Verdict, trial.Success)
		case trial.Subject.Name == "wrong" && (trial.Verdict.Valid || !strings.Contains(strings.Join(trial.Verdict.Reasons, ";"), "was answered with a 2xx: status_4xx")):
			t.Errorf("wrong: %+v", trial.Verdict)
		}
	}
}

func TestRunningServerIsFoundAndLeftAlone(t *testing.T) {
	pid, port := startForeign(t, "prefork")
	live := SubjectSpec{Name: "live", URL: "http://" + joinHostPort("127.0.0.1", port) + "/some/path?q=1"}
	run := playForeignSubjects(t, shortArm(1), live)
	trial := run.Trials[0]
	if s := trial.Server; !trial.Verdict.Valid || len(s.Unknown) > 0 || s.CPUPerRequest < 1000 || s.ThreadsMax < 9 {
		t.Errorf("%+v %+v", trial.Verdict, s)
	}
	if trial.Subject.Request != "GET /some/path?q=1" || trial.Subject.URL == "" {
		t.Errorf("subject %+v", trial.Subject)
	}
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("the server was not left alone: %v", err)
	}
	if !slices.ContainsFunc(run.Notes, func(n string) bool { return strings.Contains(n, "Not started by this run: live") }) {
		t.Errorf("notes: %v", run.Notes)
	}
}

func TestRefusedURL(t *testing.T) {
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	_, err = tryForeign(t, shortArm(1), SubjectSpec{Name: "gone", URL: "http://" + joinHostPort("127.0.0.1", port)})
	if err == nil || !strings.Contains(err.Error(), "reach gone:") || !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), "start it first") {
		t.Error(err)
	}
}

func TestTakenPortIsRefused(t *testing.T) {
	_, port := startForeign(t, "plain")
	taken := command("taken", foreignCommand(t, "plain", "1")...)
	taken.Port = port
	if _, err := tryForeign(t, shortArm(1), taken); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d is taken already", port)) {
		t.Error(err)
	}
}

// TestKilledRunLeavesNoForeignProcess kills a run that has daemons and their
// children below it.
func TestKilledRunLeavesNoForeignProcess(t *testing.T) {
	cmd := role(t, rolePlayForeign, append([]string{filepath.Join(t.TempDir(), "run")}, foreignCommand(t, "daemon", "{port}")...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var tree []int
	eventually(t, 15*time.Second, "a keeper, a daemon, a shell and its sleep run", func() bool {
		tree = nil
		for _, p := range descendantsOf(cmd.Process.Pid) {
			tree = append(tree, p.pid)
		}
		return len(tree) == 4
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, 2*time.Second, "none of the tree is left", func() bool { return gone(tree) })
}

func TestInterruptedRunEndsItsCommands(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	t.Setenv("TMPDIR", t.TempDir())
	p, err := NewPlan(&Scenario{Name: "x", Subjects: []SubjectSpec{command("a", foreignCommand(t, "prefork", "{port}")...)}, Arms: []Arm{shortArm(50)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, run, err := Run(ctx, p, Play{Executable: "/bin/false", Dir: filepath.Join(t.TempDir(), "run")})
	if !errors.Is(err, context.DeadlineExceeded) || run == nil || !run.Incomplete {
		t.Errorf("%v, %+v", err, run)
	}
	if left := keepersOf(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
