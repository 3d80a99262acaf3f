package scenarios

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/results"
	"mslab/results/record"
)

// cut is the scenario partition in short.
const cut = `name: cut
namespace: true
matrix: {subject: [7], clients: [4]}
arms:
  kept: {load: {connection: keep}}
  new: {load: {connection: new}}
load: {duration: 4500ms, think: 10ms, deadline: 250ms, timeout: 10s, warmup: 100ms}
faults: [{at: 1s, for: 1500ms, partition: {port: server}}]
repeat: {blocks: 1}
`

// TestPartitionInARun plays a partition in a sandbox, as root and without any
// rights.
func TestPartitionInARun(t *testing.T) {
	eachSandbox(t, func(t *testing.T, u sandboxUser) {
		const tries = 3
		for try := 1; ; try++ {
			var ledgers ledgerCopies
			run := u.play(t, cut, ledgers.follow(t))
			if len(run.Trials) != 2 || run.Incomplete {
				t.Fatalf("%d trials, incomplete %v, want 2", len(run.Trials), run.Incomplete)
			}
			for _, trial := range run.Trials {
				checkPartition(t, trial)
			}
			checkFaultTables(t, run)
			busy := ledgers.checkOnset(t, run)
			switch {
			case busy == "" || t.Failed():
				return
			case try == tries:
				t.Skip("the moment of the first miss cannot be told on a machine this busy: " + busy)
			}
		}
	})
}

// ledgerCopies are second names of a run's ledgers, which the run removes.
type ledgerCopies struct{ dir string }

// follow returns what gives each ledger below the folder of a playing process its
// second name.
func (l *ledgerCopies) follow(t *testing.T) func(pid int, home string) {
	t.Helper()
	l.dir = t.TempDir()
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	return func(_ int, home string) {
		go func() {
			defer close(done)
			for {
				found, _ := filepath.Glob(filepath.Join(home, scratchPrefix+"*", "ledger-*"))
				for _, file := range found {
					_ = os.Link(file, filepath.Join(l.dir, filepath.Base(file)))
				}
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
	}
}

// checkOnset holds the first request of each trial that missed its deadline, by
// its ledger alone, against the moment at which the partition took effect: sent
// no earlier than 10 ms before, and no later than 10 ms and one gap between two
// requests after it. A miss out of that on a machine on which requests took longer
// than 10 ms before the partition, too, is not held against it: it says so.
func (l *ledgerCopies) checkOnset(t *testing.T, run *results.Run) (busy string) {
	t.Helper()
	const around = 10 * time.Millisecond
	files, err := filepath.Glob(filepath.Join(l.dir, "*"))
	if err != nil || len(files) != len(run.Trials) {
		t.Fatalf("%d ledgers of %d trials, %v", len(files), len(run.Trials), err)
	}
	for _, trial := range run.Trials {
		sending := run.Started.Add(time.Duration(trial.Slices[0].OffsetS * float64(time.Second)))
		injected := sending.Add(time.Duration(*trial.Faults[0].InjectedS * float64(time.Second)))
		batches := ledgerOf(t, files, sending)
		var first time.Time
		var last, gap, slowest time.Duration
		for _, b := range batches {
			sent := time.Unix(0, b.SentNS)
			took := time.Duration(b.AnsweredNS - b.SentNS)
			if answered := b.AnsweredNS > 0 && b.AnsweredNS < injected.UnixNano(); answered {
				slowest = max(slowest, took)
			} else if b.Outcome != record.BatchOK || took > 250*time.Millisecond {
				first = sent
				break
			}
			if last > 0 {
				gap = max(gap, time.Duration(b.SentNS)-last)
			}
			last = time.Duration(b.SentNS)
		}
		after := first.Sub(injected)
		t.Logf("%s: by the ledger the first miss was sent %s after the partition took effect; gap %s, slowest before it %s", trial.Arm, after, gap, slowest)
		switch {
		case !first.IsZero() && after >= -around && after <= around+gap:
		case slowest > around:
			busy = fmt.Sprintf("%s: sent %s after it, and requests took up to %s before it", trial.Arm, after, slowest)
			continue
		default:
			t.Errorf("%s: the first miss was sent %s after the partition took effect; gap %s", trial.Arm, after, gap)
		}
		if got := trial.Faults[0].Effect.FirstMissS; got == nil || math.Abs(sending.Add(time.Duration(*got*float64(time.Second))).Sub(first).Seconds()) > 0.001 {
			t.Errorf("%s: the record says that the first miss was sent at %s, by the ledger it was %s", trial.Arm, say(got), first.Sub(sending))
		}
	}
	return busy
}

// ledgerOf reads the ledger whose first request was sent at a time, in the order
// of sending.
func ledgerOf(t *testing.T, files []string, begin time.Time) []record.Batch {
	t.Helper()
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		var batches []record.Batch
		for b, err := range record.ReadLedger(f) {
			if err != nil {
				t.Fatal(err)
			}
			batches = append(batches, b)
		}
		_ = f.Close()
		slices.SortFunc(batches, func(a, b record.Batch) int { return cmp.Compare(a.SentNS, b.SentNS) })
		if len(batches) > 0 && time.Unix(0, batches[0].SentNS).Sub(begin).Abs() < 500*time.Millisecond {
			return batches
		}
	}
	t.Fatalf("no ledger begins at %s", begin)
	return nil
}

// anyUser is the one that gets a sandbox here: root where that is who tests.
func anyUser(t *testing.T) sandboxUser {
	t.Helper()
	u := sandboxUser{name: "user", sandbox: wantSandbox(t)}
	u.want(t)
	return u
}

// faultCommand plays a scenario with faults, whose journal and temporary files
// are below home.
func (u sandboxUser) faultCommand(t *testing.T, yaml string) (cmd *exec.Cmd, run, home string) {
	t.Helper()
	cmd, run = u.playCommand(t, yaml)
	home = u.folder(t)
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+home, "TMPDIR="+home)
	return cmd, run, home
}

// journal lists the entries of the faults that are in effect.
func journal(home string) []string {
	found, _ := filepath.Glob(filepath.Join(home, "mslab", "chaos", "*.json"))
	return found
}

// play plays a scenario with faults and opens its run. Each of meanwhile is
// called once that process has started.
func (u sandboxUser) play(t *testing.T, yaml string, meanwhile ...func(pid int, home string)) *results.Run {
	t.Helper()
	cmd, dir, home := u.faultCommand(t, yaml)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, do := range meanwhile {
		do(cmd.Process.Pid, home)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	if left := journal(home); len(left) != 0 {
		t.Errorf("the journal still tells of %v", left)
	}
	run, err := results.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// checkPartition holds a trial's fault against what a partition is: the first
// request that missed its deadline was sent when it began, and nothing was
// answered while it lasted.
func checkPartition(t *testing.T, trial *record.Record) {
	t.Helper()
	if len(trial.Faults) != 1 {
		t.Fatalf("%s: %d faults, want 1; %+v", trial.Arm, len(trial.Faults), trial.Verdict)
	}
	f := trial.Faults[0]
	if !f.Verified || f.InjectedS == nil || f.HealedS == nil || f.Effect == nil || f.Evidence == "" {
		t.Fatalf("%s: %+v; %+v", trial.Arm, f, trial.Verdict)
	}
	if !trial.Verdict.Valid {
		t.Errorf("%s: %v", trial.Arm, trial.Verdict.Reasons)
	}
	e := f.Effect
	t.Logf("%s: injected at %.6f s, healed at %.6f s, first miss sent %s, detected after %s, recovered after %s, steady after %s; %s",
		trial.Arm, *f.InjectedS, *f.HealedS, say(e.FirstMissS), say(e.DetectS), say(e.RecoverS), say(e.SteadyS), f.Evidence)
	if e.FirstMissS == nil || e.DetectS == nil || *e.DetectS > 2 {
		t.Errorf("%s: detected after %s s, want the deadline of 0.25 s", trial.Arm, say(e.DetectS))
	}
	if length := *f.HealedS - *f.InjectedS; length < f.ForS-0.01 || length > f.ForS+2 {
		t.Errorf("%s: in effect for %.3f s, want %.3f s", trial.Arm, length, f.ForS)
	}
	// A retransmission comes at the latest after as long again as the cut took,
	// since TCP doubles its waits; the rest is for a busy machine.
	if e.RecoverS == nil || *e.RecoverS > 5 {
		t.Errorf("%s: recovered after %s s", trial.Arm, say(e.RecoverS))
	}
	if e.During.Late+e.During.FailedSum() == 0 {
		t.Errorf("%s: nobody missed: %+v", trial.Arm, e.During)
	}
	want := map[string]string{"kept": "keep", "new": "new"}[trial.Arm]
	if len(f.ByConnection) != 1 || f.ByConnection[want].During.Sent == 0 {
		t.Errorf("%s: by connection: %+v", trial.Arm, f.ByConnection)
	}
	if s := trial.Stored; s == nil || s.Acknowledged != trial.Counts.OK || s.Lost != 0 || s.Stored != s.Acknowledged || s.Unknown > trial.Counts.InDoubt {
		t.Errorf("%s: stored %+v, ok %d", trial.Arm, s, trial.Counts.OK)
	}
	var duringCut int64
	for _, second := range trial.Series {
		if float64(second.T) >= *f.InjectedS+0.25 && float64(second.T+1) <= *f.HealedS {
			duringCut += second.OK
		}
	}
	if duringCut > 0 {
		t.Errorf("%s: %d answers while the port was cut off", trial.Arm, duringCut)
	}
}

func say(s *float64) string {
	if s == nil {
		return "never"
	}
	return time.Duration(*s * float64(time.Second)).String()
}

// checkFaultTables draws the run from its folder alone.
func checkFaultTables(t *testing.T, run *results.Run) {
	t.Helper()
	tables, err := results.Tables(run, -1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := results.RenderText(&b, results.WithoutDetail(tables)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kept: by second", "new: by second", "what each fault did", "partition", "###"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the tables do not say %q:\n%s", want, b.String())
		}
	}
	t.Log("\n" + b.String())
}

// TestFaultThatMissesMakesTheTrialInvalid aims a partition at a port where nobody
// listens.
func TestFaultThatMissesMakesTheTrialInvalid(t *testing.T) {
	run := anyUser(t).play(t, `name: miss
namespace: true
matrix: {subject: [7], clients: [2]}
load: {duration: 4s, think: 10ms, connection: keep, warmup: 0s}
faults: [{at: 200ms, for: 100ms, partition: {port: 1}}]
repeat: {blocks: 1}
`)
	if len(run.Trials) != 1 {
		t.Fatalf("%d trials, want 1", len(run.Trials))
	}
	trial := run.Trials[0]
	if trial.Verdict.Valid || !strings.Contains(strings.Join(trial.Verdict.Reasons, "; "), "partition did not bite: ") {
		t.Errorf("verdict %+v", trial.Verdict)
	}
	if f := trial.Faults[0]; f.Verified || f.InjectedS != nil || f.Error == "" || f.Effect != nil {
		t.Errorf("fault %+v", f)
	}
	tables, err := results.Tables(run, -1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := results.RenderText(&b, tables); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "was not injected: ") {
		t.Errorf("the tables do not say so:\n%s", b.String())
	}
}

// TestFaultThatComesTooLateIsSaid: a fault that was still to be injected when the
// load was over makes the trial invalid, unless the trial was cut short.
func TestFaultThatComesTooLateIsSaid(t *testing.T) {
	for _, whole := range []bool{true, false} {
		line := timeline{played: []record.Fault{{FaultPlan: record.FaultPlan{Name: "partition"}}}}
		faults := line.measure(time.Second, whole)
		reasons := strings.Join(line.amiss(), "; ")
		if said := strings.Contains(reasons, "the load was over before it took effect"); said != whole || (faults[0].Error != "") != whole {
			t.Errorf("played to the end %v: %q, %+v", whole, reasons, faults[0])
		}
	}
}

// TestServerThatEndsUnderAFault kills the server while it is cut off: its trial
// shows what that did to the clients, and counts.
func TestServerThatEndsUnderAFault(t *testing.T) {
	kill := func(pid int, _ string) {
		for range 1000 {
			for _, child := range descendants(pid) {
				line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(child), "cmdline"))
				if strings.Contains(string(line), "\x00serve\x00") {
					time.Sleep(1200 * time.Millisecond) // the fault begins after 0.4 s
					_ = syscall.Kill(child, syscall.SIGKILL)
					return
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	run := anyUser(t).play(t, `name: felled
namespace: true
matrix: {subject: [7], clients: [2]}
load: {duration: 3s, think: 10ms, connection: keep, warmup: 0s, timeout: 1s}
faults: [{at: 400ms, for: 2s, partition: {}}]
repeat: {blocks: 1}
`, kill)
	if len(run.Trials) != 1 {
		t.Fatalf("%d trials, want 1; %v", len(run.Trials), run.Notes)
	}
	trial := run.Trials[0]
	if v := trial.Verdict; !v.Valid || v.Comparable || !strings.Contains(strings.Join(v.Reasons, "; "), "ended by itself (signal: killed)") {
		t.Errorf("verdict %+v", v)
	}
	f := trial.Faults[0]
	if !f.Verified || f.HealedS == nil || *f.HealedS > 2.2 || f.Effect == nil || f.Effect.RecoverS != nil || f.Effect.After.FailedSum() == 0 {
		t.Errorf("fault %+v, effect %+v", f, f.Effect)
	}
	if trial.Server != nil || trial.Stored == nil {
		t.Errorf("server %+v, stored %+v", trial.Server, trial.Stored)
	}
	if _, err := results.Tables(run, -1); err != nil {
		t.Error(err)
	}
}

// TestKilledRunLeavesNoFault kills a run while its fault lasts: neither a
// process nor an entry of the journal is left, and no rule outside.
func TestKilledRunLeavesNoFault(t *testing.T) {
	before := ruleset()
	cmd, _, home := anyUser(t).faultCommand(t, `name: killed
namespace: true
matrix: {subject: [7], clients: [2]}
load: {duration: 30s, think: 10ms, connection: keep, warmup: 0s}
faults: [{at: 100ms, for: 20s, partition: {}}]
repeat: {blocks: 1}
`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	injected := func() bool { return len(journal(home)) == 1 }
	eventually(t, 20*time.Second, "a fault is in the journal", injected)
	time.Sleep(300 * time.Millisecond) // into the fault
	family := descendants(cmd.Process.Pid)
	if len(family) < 3 {
		t.Errorf("%d processes below the run, want the sandbox, the server and the reaper", len(family))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "no process is left", func() bool { return gone(family) })
	if injected() {
		t.Error("the journal still tells of the fault")
	}
	if after := ruleset(); after != before {
		t.Errorf("the firewall's rules were\n%s\nand are\n%s", before, after)
	}
}

// ruleset are the host's firewall rules, "" where nobody tells.
func ruleset() string {
	out, err := exec.Command("nft", "list", "ruleset").Output()
	if err != nil {
		return ""
	}
	return string(out)
}
