package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mslab/results"
)

// subjectFolder has mslab and the two servers of bench/peers, for any user.
func subjectFolder(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and starts servers: skipped by -short")
	}
	dir, err := os.MkdirTemp("", "mslab-subject-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, pkg := range map[string]string{"mslab": "mslab/cmd/mslab", "nethttp": "mslab/bench/peers/nethttp", "fasthttp": "mslab/bench/peers/fasthttp"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg).CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", pkg, err, out)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	scenario := "name: brief\nmatrix: {subject: [7], clients: [4]}\nload: {slice: 100ms, warmup: 50ms}\nrepeat: {blocks: 8, slices: 2}\n"
	if err := os.WriteFile(filepath.Join(dir, "brief.yaml"), []byte(scenario), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unprivileged runs mslab in a folder as a user without rights; a root that may
// become nobody does.
func unprivileged(t *testing.T, dir string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./mslab", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir, "XDG_RUNTIME_DIR="+dir)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// TestTwoForeignServersByAUserWithoutRights is what a user of two servers does:
// one command, one table, with a verdict.
func TestTwoForeignServersByAUserWithoutRights(t *testing.T) {
	dir := subjectFolder(t)
	stdout, stderr, err := unprivileged(t, dir, "run", "brief.yaml", "--subject", "nethttp=./nethttp --addr 127.0.0.1:{port}",
		"--subject", "fasthttp=./fasthttp --addr 127.0.0.1:{port}", "--blocks", "8", "-o", "out")
	if err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	if !strings.Contains(stdout, "subject") || !strings.Contains(stdout, "nethttp") || !strings.Contains(stdout, "fasthttp") {
		t.Errorf("no table of both:\n%s", stdout)
	}
	run, err := results.OpenRun(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Trials) != 16 {
		t.Fatalf("%d trials: %v", len(run.Trials), run.Notes)
	}
	for _, trial := range run.Trials {
		if !trial.Verdict.Valid || trial.Server == nil || trial.Server.CPUPerRequest < 1000 || len(trial.Server.Unknown) > 0 {
			t.Errorf("%s, block %d: %+v, server %+v", trial.Subject.Name, trial.Block, trial.Verdict, trial.Server)
		}
	}
	for _, args := range [][]string{{"results", "show", "out"}, {"results", "list", "."}, {"compare", "out"}} {
		if shown, stderr, err := unprivileged(t, dir, args...); err != nil || shown == "" {
			t.Errorf("%v: %v\n%s", args, err, stderr)
		}
	}
	compared, _, err := unprivileged(t, dir, "compare", "out", "--json")
	var verdicts struct {
		Pairs []struct{ A, B, Metric, Verdict string }
	}
	if err == nil {
		err = json.Unmarshal([]byte(compared), &verdicts)
	}
	if err != nil || len(verdicts.Pairs) == 0 || verdicts.Pairs[0].Metric != results.MetricCPU || verdicts.Pairs[0].B != "fasthttp" || verdicts.Pairs[0].Verdict == "" {
		t.Errorf("%v: %s", err, compared)
	}
	if _, stderr, err := unprivileged(t, dir, "phases", "diff", "4", "5"); err != nil {
		t.Errorf("phases diff beside a run without phases: %v\n%s", err, stderr)
	}
}

// TestSameServerTwiceBesideAPhase plays the same binary as two subjects, and a
// phase beside them.
func TestSameServerTwiceBesideAPhase(t *testing.T) {
	dir := subjectFolder(t)
	stdout, stderr, err := unprivileged(t, dir, "run", "brief.yaml", "--subject", "a=./nethttp --addr 127.0.0.1:{port}",
		"--subject", "b=./nethttp --addr 127.0.0.1:{port}", "--subject", "ours=7", "--blocks", "1", "--path", "/metrics", "--body", "brief.yaml", "-o", "out", "--json")
	if err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	run, err := results.OpenRun(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	for _, trial := range run.Trials {
		processed, counted := trial.Server.Counters["batches_processed"]
		if ours := trial.Subject.Phase != nil; !trial.Verdict.Valid || counted != ours || ours && processed != trial.Counts.OK {
			t.Errorf("%s: %+v, counters %v", trial.Subject.Name, trial.Verdict, trial.Server.Counters)
		}
	}
}
