package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/ebpf"
	"mslab/results"
	"mslab/scenarios"
	"mslab/server/registry"
)

// needsTracer skips where system calls cannot be traced.
func needsTracer(t *testing.T) {
	t.Helper()
	if _, err := ebpf.CheckSyscalls(""); err != nil {
		t.Skipf("%v", err)
	}
}

// traceJSON runs mslab trace syscalls --json and returns its documents and what
// it said on stderr.
func traceJSON(t *testing.T, dir string, args ...string) (traces []results.SyscallTrace, stderr string) {
	t.Helper()
	cmd, stdout, said := start(t, dir, append([]string{"trace", "syscalls", "--json"}, args...)...)
	if err := cmd.Wait(); err != nil && !strings.Contains(said.String(), "mslab: the command ended: exit status ") {
		t.Fatalf("mslab trace syscalls %v: %v\n%s", args, err, said)
	}
	decoder := json.NewDecoder(stdout)
	for decoder.More() {
		var trace results.SyscallTrace
		if err := decoder.Decode(&trace); err != nil {
			t.Fatalf("mslab trace syscalls %v: %v", args, err)
		}
		if trace.Schema != results.TraceSyscallsSchema || trace.Self.Drops != 0 || trace.Self.Rung == "" {
			t.Errorf("mslab trace syscalls %v: schema %q, self %+v", args, trace.Schema, trace.Self)
		}
		traces = append(traces, trace)
	}
	if len(traces) == 0 {
		t.Fatalf("mslab trace syscalls %v: no document; stderr: %s", args, said)
	}
	return traces, said.String()
}

// row sums a call's rows.
func row(trace results.SyscallTrace, name string) results.Syscall {
	sum := results.Syscall{Name: name, Errnos: map[string]uint64{}}
	for _, s := range trace.Syscalls {
		if s.Name == name {
			sum.Calls, sum.Errors = sum.Calls+s.Calls, sum.Errors+s.Errors
			sum.PerRequest = s.PerRequest
			for errno, n := range s.Errnos {
				sum.Errnos[errno] += n
			}
		}
	}
	return sum
}

// TestTraceCommand counts a known number of calls of a command and its children,
// and gives its output to stderr, where it does not spoil the document.
func TestTraceCommand(t *testing.T) {
	needsTracer(t)
	for _, tool := range []string{"dd", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	dir := t.TempDir()
	const writes = 30_000
	dd := "dd if=/dev/zero of=/dev/null bs=1 status=none count=" + strconv.Itoa(writes)
	for _, c := range []struct {
		command []string
		want    uint64
		code    int
	}{
		{strings.Fields(dd), writes, 0},
		{[]string{"sh", "-c", dd + "; " + dd + " & wait; echo word; exit 7"}, 2*writes + 1, 7},
	} {
		traces, stderr := traceJSON(t, dir, append([]string{"--only", "write", "--"}, c.command...)...)
		trace := traces[0]
		got := row(trace, "write")
		if got.Calls != c.want || got.Errors != 0 || len(trace.Syscalls) != 1 {
			t.Errorf("%q: %+v, want %d writes", c.command, trace.Syscalls, c.want)
		}
		if trace.Command == nil || trace.Command.ExitCode != c.code || trace.Requests != nil || got.PerRequest != nil {
			t.Errorf("%q: command %+v, requests %v", c.command, trace.Command, trace.Requests)
		}
		if c.code != 0 && (!strings.Contains(stderr, "word\n") || !strings.HasSuffix(stderr, "mslab: the command ended: exit status 7\n")) {
			t.Errorf("%q: its output, or how it failed, is not on stderr: %q", c.command, stderr)
		}
	}

	// Failing opens, beside the same command without them.
	failing := func(n int) uint64 {
		script := "i=0; while [ $i -lt " + strconv.Itoa(n) + " ]; do i=$((i+1)); true < /nowhere/at/all; done 2>/dev/null; true"
		traces, _ := traceJSON(t, dir, "--only", "openat,open", "--", "sh", "-c", script)
		return row(traces[0], "openat").Errnos["ENOENT"] + row(traces[0], "open").Errnos["ENOENT"]
	}
	if none, some := failing(0), failing(250); some-none != 250 {
		t.Errorf("%d failing opens, and %d with 250 more", none, some)
	}

	// By what the descriptor refers to.
	file := filepath.Join(dir, "out")
	traces, _ := traceJSON(t, dir, "--by", "fd", "--only", "write", "--", "dd", "if=/dev/zero", "of="+file, "bs=1", "status=none", "count=50")
	if s := traces[0].Syscalls; len(s) != 1 || s[0].Calls != 50 || !strings.HasSuffix(s[0].Target, file) || s[0].FD == nil {
		t.Errorf("50 writes to %s: %+v", file, s)
	}
}

// TestTraceUnderLoad holds the calls of a phase by request against what its
// recipe must make, and the intervals against the total.
func TestTraceUnderLoad(t *testing.T) {
	needsTracer(t)
	if testing.Short() {
		t.Skip("loads servers for seconds: skipped by -short")
	}
	traces, _ := traceJSON(t, t.TempDir(), "--phase", "5", "--duration", "1500ms", "--interval", "500ms", "--listen", "backlog1024")
	total := traces[len(traces)-1]
	if len(traces) < 2 || total.Window != results.WindowTotal || total.Requests == nil || *total.Requests < 100 {
		t.Fatalf("%d documents, the last %+v", len(traces), total)
	}
	// A connection is accepted, read, answered and closed; the writer adds
	// writes, and the clients' requests under way at both ends are the difference.
	ends := 2 * scenarios.LoadedClients / float64(*total.Requests)
	for name, most := range map[string]float64{"accept4": 1.1, "close": 1.1, "read": 1.3, "write": 2.2} {
		got := row(total, name).PerRequest
		if got == nil {
			t.Fatalf("%s by request is not known", name)
		}
		if *got < 0.9-ends || *got > most+ends {
			t.Errorf("%s by request: %v, want about 1, at most %v, within %v", name, *got, most, ends)
		}
	}
	var calls uint64
	var elapsed, requests int64
	for _, trace := range traces[:len(traces)-1] {
		if trace.Window != results.WindowInterval {
			t.Errorf("window %q", trace.Window)
		}
		calls += row(trace, "read").Calls
		elapsed += trace.ElapsedNS
		requests += *trace.Requests
	}
	all := row(total, "read").Calls
	// What is less than half an interval at the end has no line of its own.
	if share := float64(calls) / float64(all); share > 1 || share < 0.5 || elapsed > total.ElapsedNS || requests > *total.Requests {
		t.Errorf("intervals: %d reads, %d ns, %d requests; in total %d, %d, %d", calls, elapsed, requests, all, total.ElapsedNS, *total.Requests)
	}
}

// TestTraceByAdmin finds the process behind an admin address, and traces it at
// rest.
func TestTraceByAdmin(t *testing.T) {
	needsTracer(t)
	dir := t.TempDir()
	serveForTest(t, dir, syscall.SIGINT)
	entries, err := registry.List(filepath.Join(dir, "mslab"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v: %v", entries, err)
	}
	traces, _ := traceJSON(t, dir, entries[0].Admin, "--duration", "200ms", "--by", "thread")
	if got := traces[0]; got.PID != entries[0].PID || got.Requests == nil || *got.Requests != 0 || len(got.Syscalls) == 0 || got.Syscalls[0].Thread == 0 {
		t.Errorf("traced %+v, want process %d at rest", got, entries[0].PID)
	}
	// A table of the one live server, with a footer.
	cmd, stdout, stderr := start(t, dir, "trace", "syscalls", "--duration", "200ms", "--interval", "100ms")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	text := strings.Join(strings.Fields(stdout.String()), " ")
	if strings.Count(text, "syscall ") < 3 || !strings.Contains(text, "Tracer: ") || !strings.Contains(text, "this is the server at rest") || strings.Contains(text, "\x1b") {
		t.Errorf("printed\n%s", text)
	}
}

// TestTracedServerEnds kills the server while it is traced: what was measured is
// printed, and that it ended.
func TestTracedServerEnds(t *testing.T) {
	needsTracer(t)
	dir := t.TempDir()
	server, _, _ := start(t, dir, "serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "data")
	waitFor(t, "the server", func() bool { found, _ := filepath.Glob(filepath.Join(dir, "mslab", "*.json")); return len(found) == 1 })
	cmd, stdout, stderr := startTrace(t, dir, "--duration", "30s")
	time.Sleep(200 * time.Millisecond)
	_ = server.Process.Kill()
	_ = server.Wait()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v; stderr: %s", err, stderr)
	}
	text := strings.Join(strings.Fields(stdout.String()), " ")
	if !strings.Contains(text, "ended while it was traced.") || !strings.Contains(text, "No figures by request: read the counters") || !strings.Contains(text, "Tracer: ") {
		t.Errorf("printed\n%s", stdout)
	}
}

// startTrace starts mslab trace syscalls and waits until it traces.
func startTrace(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd = asMslab(t, dir, append([]string{"trace", "syscalls"}, args...)...)
	cmd.Stdout = stdout
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		stderr.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "tracing ") || strings.HasPrefix(lines.Text(), "watching ") {
			return cmd, stdout, stderr
		}
	}
	_ = cmd.Wait()
	t.Fatalf("mslab trace syscalls %v does not trace: %s", args, stderr)
	return nil, nil, nil
}

// TestInterruptedTrace wants what was measured so far, the signal's exit code,
// and a traced command to get the signal and end.
func TestInterruptedTrace(t *testing.T) {
	needsTracer(t)
	dir := t.TempDir()
	for _, c := range []struct {
		signal syscall.Signal
		args   []string
		want   string
		ready  string // file that the command makes when it can take the signal
	}{
		{syscall.SIGINT, []string{"--pid", strconv.Itoa(os.Getpid()), "--duration", "1m"}, "Tracer: ", ""},
		{syscall.SIGTERM, []string{"--", "sh", "-c", "trap 'exit 9' TERM; : >ready; while :; do sleep 0.05; done"}, "The command ended with exit code 9 after", "ready"},
		{syscall.SIGINT, []string{"--phase", "5", "--duration", "1m"}, "Tracer: ", ""},
	} {
		cmd, stdout, stderr := startTrace(t, dir, c.args...)
		if c.ready != "" {
			waitFor(t, "the command", func() bool { _, err := os.Stat(filepath.Join(dir, c.ready)); return err == nil })
		}
		if err := cmd.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 128+int(c.signal) || !strings.Contains(stdout.String(), c.want) {
			t.Errorf("%v by %s: exit code %d, stdout:\n%s\nstderr: %s", c.args, c.signal, got, stdout, stderr)
		}
	}
}

// TestKilledTrace kills the tracer: the command that it started ends too.
func TestKilledTrace(t *testing.T) {
	needsTracer(t)
	cmd, _, _ := startTrace(t, t.TempDir(), "--", "sleep", "77")
	var sleeper int
	waitFor(t, "the command", func() bool {
		lists, _ := filepath.Glob("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/*/children")
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				sleeper = pid
			}
		}
		return sleeper != 0
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	waitFor(t, "the command to end with its tracer", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(sleeper) + "/stat")
		return err != nil || regexp.MustCompile(`^\d+ \(sleep\) Z`).Match(stat)
	})
}

// TestTraceWithoutRights traces a server of the same user without root or
// capabilities: what is missing is said, and /proc's figures are printed.
func TestTraceWithoutRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give it up")
	}
	dir, err := os.MkdirTemp("/tmp", "mslab-trace-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	as := func(args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
		cmd := asMslab(t, dir, args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &stdout, &stderr
	}
	server, _, _ := as("serve", "--phase", "5", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "data")
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	})
	registered := func() bool { found, _ := filepath.Glob(filepath.Join(dir, "mslab", "*.json")); return len(found) == 1 }
	waitFor(t, "the server", registered)
	load, _, _ := as("load", "-c", "2", "-d", "1m")
	defer func() {
		_ = load.Process.Signal(syscall.SIGINT)
		_ = load.Wait()
	}()
	time.Sleep(300 * time.Millisecond)
	cmd, stdout, stderr := as("trace", "syscalls", "--duration", "1s", "--json")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	var trace results.ProcTrace
	if err := json.Unmarshal(stdout.Bytes(), &trace); err != nil || trace.Schema != results.TraceProcSchema || trace.Requests == nil || *trace.Requests == 0 {
		t.Fatalf("%v: %s", err, stdout)
	}
	if !strings.HasPrefix(stderr.String(), "mslab: trace by eBPF: missing ") || !strings.Contains(stderr.String(), "printing what /proc counts instead") || trace.Missing == "" {
		t.Errorf("stderr %q, missing %q", stderr, trace.Missing)
	}
	figures := map[string]results.ProcessFigure{}
	for _, f := range trace.Figures {
		figures[f.Key] = f
	}
	for _, key := range []string{"voluntary_switches", "cpu", "timeslices", "read_calls", "threads", "InSegs"} {
		if figures[key].Value <= 0 {
			t.Errorf("%s: %+v", key, figures[key])
		}
	}
	if each := figures["read_calls"].PerRequest; each == nil || math.Abs(*each-1) > 0.2 {
		t.Errorf("a read a request: %+v", figures["read_calls"])
	}
	if _, ok := figures["ListenOverflows"]; !ok {
		t.Error("ListenOverflows is missing")
	}

	// What a short command did is not lost with it.
	cmd, stdout, stderr = as("trace", "syscalls", "--json", "--", "sh", "-c", "echo a; echo b; echo c")
	var short results.ProcTrace
	if err := cmd.Wait(); err != nil || json.Unmarshal(stdout.Bytes(), &short) != nil {
		t.Fatalf("%v: %s %s", err, stdout, stderr)
	}
	for _, f := range short.Figures {
		if (f.Key == "timeslices" || f.Key == "cpu") && f.Value < 1 || f.Key == "write_calls" {
			t.Errorf("a short command: %+v", f)
		}
	}

	// Another user's process is refused, in one line.
	for _, args := range [][]string{{"--pid", strconv.Itoa(os.Getpid())}, {"--rung", "tp_btf"}} {
		cmd, stdout, stderr = as(append([]string{"trace", "syscalls"}, args...)...)
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 1 || stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, got, stdout, stderr)
		}
	}
}
