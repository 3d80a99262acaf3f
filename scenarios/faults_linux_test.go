package scenarios

import (
	"bytes"
	"cmp"
	"fmt"
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
load: {duration: 5s, think: 10ms, deadline: 250ms, timeout: 10s, warmup: 100ms}
faults: [{at: 500ms, for: 1100ms, partition: {port: server}}]
repeat: {blocks: 1}
`

// TestPartitionInARun plays a partition in a sandbox, as root and without any
// rights. A machine that is busy with others may hold a server up at the very
// moment at which it is cut off: then the request that it was at looks as if the
// partition had come early, and it is played once more.
func TestPartitionInARun(t *testing.T) {
	eachSandbox(t, func(t *testing.T, u sandboxUser) {
		const tries = 4
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
			early := ledgers.checkOnset(t, run)
			switch {
			case early == "" || t.Failed():
				return
			case try == tries:
				t.Fatalf("%d times: %s", tries, early)
			}
			t.Log("once more: " + early)
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

// checkOnset holds each trial's ledger against the moment at which the partition
// took effect. Whatever was sent after it got no answer before the healing, so
// that the first request that missed was sent no later than the first one after
// that moment; this holds on the busiest machine. It was sent no earlier than 10
// ms before, or as long before as the slowest request had taken until then: early
// says where it was not.
func (l *ledgerCopies) checkOnset(t *testing.T, run *results.Run) (early string) {
	t.Helper()
	const around = 10 * time.Millisecond
	files, err := filepath.Glob(filepath.Join(l.dir, "*"))
	if err != nil || len(files) != len(run.Trials) {
		t.Fatalf("%d ledgers of %d trials, %v", len(files), len(run.Trials), err)
	}
	for _, trial := range run.Trials {
		sending := run.Started.Add(time.Duration(trial.Slices[0].OffsetS * float64(time.Second)))
		f := trial.Faults[0]
		injected, healed := sending.Add(seconds(*f.InjectedS)), sending.Add(seconds(*f.HealedS))
		var first time.Time // sent of those that missed, and in flight when it took effect
		var slowest, recorded time.Duration
		recorded = time.Hour
		inside := 0
		for _, b := range ledgerOf(t, files, sending) {
			sent, answered := time.Unix(0, b.SentNS), time.Unix(0, b.AnsweredNS)
			took := answered.Sub(sent)
			switch {
			case b.AnsweredNS > 0 && answered.Before(injected):
				slowest = max(slowest, took)
				continue
			case sent.After(injected) && sent.Before(healed):
				inside++
				if b.AnsweredNS > 0 && answered.Before(healed) {
					t.Errorf("%s: sent %s after the partition took effect and answered %s before it was healed", trial.Arm, sent.Sub(injected), healed.Sub(answered))
				}
			}
			if b.Outcome == record.BatchOK && took <= 250*time.Millisecond {
				continue
			}
			if first.IsZero() {
				first = sent
			}
			if f.Effect.FirstMissS != nil {
				recorded = min(recorded, sending.Add(seconds(*f.Effect.FirstMissS)).Sub(sent).Abs())
			}
		}
		after := first.Sub(injected)
		t.Logf("%s: by the ledger the first miss was sent %s after the partition took effect, %d requests while it lasted; slowest before it %s",
			trial.Arm, after, inside, slowest)
		switch {
		case first.IsZero() || inside == 0 && after > 0:
			t.Errorf("%s: by the ledger nobody missed", trial.Arm)
		case recorded > time.Millisecond:
			t.Errorf("%s: the record says that the first miss was sent at %s; by the ledger none was", trial.Arm, say(f.Effect.FirstMissS))
		case after < -max(around, slowest):
			early = fmt.Sprintf("%s: the first miss was sent %s before the partition took effect, where no request had taken longer than %s",
				trial.Arm, -after, slowest)
		}
	}
	return early
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

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

// TestFaultWithoutAJournalIsRefused plays where no journal can be kept: nothing
// is started for a fault that could not be injected.
func TestFaultWithoutAJournalIsRefused(t *testing.T) {
	cmd, run, home := anyUser(t).faultCommand(t, cut)
	file := filepath.Join(home, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+file)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "play the fault partition of arm kept: make the journal's folder: ") ||
		!strings.Contains(string(out), "set XDG_RUNTIME_DIR") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(run); !os.IsNotExist(err) {
		t.Errorf("a run folder was made: %v", err)
	}
}

// TestServerThatEndsUnderAFault kills the server while it is cut off: its trial
// shows what that did to the clients, and counts.
func TestServerThatEndsUnderAFault(t *testing.T) {
	kill := func(pid int, home string) {
		eventually(t, 30*time.Second, "a fault is in the journal", func() bool { return len(journal(home)) > 0 })
		time.Sleep(1500 * time.Millisecond) // it is seen to bite within 0.2 s
		family := descendants(pid)
		if i := slices.IndexFunc(family, plays("serve")); i >= 0 {
			_ = syscall.Kill(family[i], syscall.SIGKILL)
		}
	}
	run := anyUser(t).play(t, `name: felled
namespace: true
matrix: {subject: [7], clients: [2]}
load: {duration: 6s, think: 10ms, connection: keep, warmup: 0s, timeout: 1s}
faults: [{at: 400ms, for: 5s, partition: {}}]
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
	if !f.Verified || f.HealedS == nil || *f.HealedS > *f.InjectedS+4 || f.Effect == nil || f.Effect.RecoverS != nil || f.Effect.After.FailedSum() == 0 {
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
	injected := func() bool { return len(journal(home)) > 0 }
	eventually(t, 30*time.Second, "a fault is in the journal", injected)
	var family []int
	eventually(t, 30*time.Second, "the sandbox, the server and the reaper run", func() bool {
		family = descendants(cmd.Process.Pid)
		return slices.ContainsFunc(family, plays("serve")) && slices.ContainsFunc(family, plays("reap"))
	})
	time.Sleep(300 * time.Millisecond) // into the fault
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

// plays tells which process has a word among its arguments.
func plays(word string) func(pid int) bool {
	return func(pid int) bool {
		line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		return strings.Contains(string(line), "\x00"+word+"\x00")
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
