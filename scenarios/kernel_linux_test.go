package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/loadgen"
	"mslab/results/record"
)

// usage is accounting as it passes between processes.
type usage struct{ Voluntary, Involuntary int64 }

// kernelReport is what the runner says of one server's life beside what the
// kernel says by other ways.
type kernelReport struct {
	Server              *record.Server
	Verdict             record.Verdict
	OverflowsRaw        int64 // from /proc/net/netstat, read here
	SynRaw              int64
	Before, After, Exit usage // After is read last before SIGTERM
	LiveVoluntary       int64 // of the threads alive at After
	ThreadsRaw          int64 // /proc/PID/status
	ThreadsRead         int64
	Accepted            int64
}

// kernelRole plays one stretch of phase args[1] with the program args[0] at
// backlog 10 with 100 clients.
func kernelRole(args []string) int {
	report, err := measureKernel(context.Background(), args[0], args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return printJSON(report)
}

func measureKernel(ctx context.Context, exe, phase string) (report kernelReport, err error) {
	if err := loopbackUp(); err != nil {
		return report, err
	}
	scratch, err := os.MkdirTemp("", "scratch-")
	if err != nil {
		return report, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	load := defaultLoad()
	load.Connection, load.Clients, load.Slice = loadgen.New, []int{100}, time.Second
	r, cells, stop, err := newCells(ctx, exe, scratch, Arm{Overrides: map[string]string{}, Load: load, Slices: 1, Blocks: 1}, phase)
	if err != nil {
		return report, err
	}
	c := cells[0]
	overflows, syn := rawNetstat("ListenOverflows"), rawNetstat("TCPSynRetrans")
	before, err := readAccounting(c.child)
	if err != nil {
		return report, err
	}
	part, err := r.stretch(ctx, c, load, 0)
	if err != nil || part == nil {
		return report, fmt.Errorf("play: %w %s", err, c.child.failed)
	}
	report.OverflowsRaw, report.SynRaw = rawNetstat("ListenOverflows")-overflows, rawNetstat("TCPSynRetrans")-syn
	report.Server, report.Verdict = part.Server, part.Verdict
	report.LiveVoluntary = liveVoluntary(c.child.pid)
	after, err := readAccounting(c.child)
	if err != nil {
		return report, err
	}
	report.Before, report.After = usage{before.voluntary, before.involuntary}, usage{after.voluntary, after.involuntary}
	report.ThreadsRaw = rawThreads(c.child.pid)
	m, err := readMemory(c.child.pid)
	if err != nil {
		return report, err
	}
	report.ThreadsRead = m.threads
	counters, err := c.child.counters(ctx)
	if err != nil {
		return report, err
	}
	report.Accepted = counters["connections_accepted"]
	if err := stop(); err != nil {
		return report, err
	}
	ru, ok := c.child.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return report, fmt.Errorf("no resource usage at exit")
	}
	report.Exit = usage{ru.Nvcsw, ru.Nivcsw}
	return report, nil
}

// rawNetstat finds a counter in /proc/net/netstat, without the library that the
// runner reads it with.
func rawNetstat(name string) int64 {
	data, _ := os.ReadFile("/proc/self/net/netstat")
	lines := strings.Split(string(data), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for j := range names {
			if names[j] == name {
				n, _ := strconv.ParseInt(values[j], 10, 64)
				return n
			}
		}
	}
	return -1
}

func statusField(file, key string) int64 {
	data, _ := os.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}

func rawThreads(pid int) int64 {
	return statusField(fmt.Sprintf("/proc/%d/status", pid), "Threads")
}

func liveVoluntary(pid int) (sum int64) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range files {
		sum += statusField(file, "voluntary_ctxt_switches")
	}
	return sum
}

// TestFiguresEqualTheKernels plays a full accept queue in a namespace of its
// own, where nobody else counts, and holds what the record says against the
// kernel's files and against the resource usage that the kernel hands out when
// the server has ended.
func TestFiguresEqualTheKernels(t *testing.T) {
	exe := mslab(t)
	for _, phase := range []string{"1", "5"} {
		t.Run("phase "+phase, func(t *testing.T) {
			exit, out := runInside(t, t.Context(), roleKernel, exe, phase)
			var r kernelReport
			if err := json.Unmarshal([]byte(out), &r); err != nil || exit != 0 {
				t.Fatalf("exit %d, %v: %s", exit, err, out)
			}
			compareWithKernel(t, phase, r)
		})
	}
}

func compareWithKernel(t *testing.T, phase string, r kernelReport) {
	t.Helper()
	if !r.Verdict.Valid {
		t.Errorf("invalid: %v", r.Verdict.Reasons)
	}
	if r.Server.ListenOverflows != r.OverflowsRaw || r.OverflowsRaw <= 0 {
		t.Errorf("ListenOverflows %d, the kernel's %d; want equal and not 0", r.Server.ListenOverflows, r.OverflowsRaw)
	}
	if r.Server.SynRetransmits != r.SynRaw {
		t.Errorf("SYN retransmits %d, the kernel's %d", r.Server.SynRetransmits, r.SynRaw)
	}
	if r.ThreadsRead != r.ThreadsRaw || r.Server.ThreadsMax < r.ThreadsRaw {
		t.Errorf("threads %d, at most %d; /proc says %d", r.ThreadsRead, r.Server.ThreadsMax, r.ThreadsRaw)
	}
	// What was read while it ran is what the kernel tells at exit, but for the
	// stop itself: each thread wakes and a few end.
	between := func(what string, low, got, high int64) {
		if got < low || got > high {
			t.Errorf("%s: %d, want %d to %d", what, got, low, high)
		}
	}
	slack := 20*r.ThreadsRaw + 200
	between("voluntary switches at exit", r.After.Voluntary, r.Exit.Voluntary, r.After.Voluntary+slack)
	between("involuntary switches at exit", r.After.Involuntary, r.Exit.Involuntary, r.After.Involuntary+slack)
	// The stretch's are those between the readings around it.
	between("voluntary switches of the stretch", r.After.Voluntary-r.Before.Voluntary-slack, r.Server.CtxSwitches.Voluntary,
		r.After.Voluntary-r.Before.Voluntary)
	between("involuntary switches of the stretch", r.After.Involuntary-r.Before.Involuntary-slack, r.Server.CtxSwitches.Involuntary,
		r.After.Involuntary-r.Before.Involuntary)
	// The kernel's count at exit has the threads that ended in it. The equality
	// above holds ours to have them too where they switched more than it allows.
	if ended := r.Exit.Voluntary - r.LiveVoluntary; phase == "1" && ended <= slack {
		t.Errorf("a thread for each of %d connections, but only %d switches of those that ended, too few to be missed: want over %d",
			r.Accepted, ended, slack)
	}
	total := r.Server.UserNS + r.Server.SystemNS
	if diff := total - r.Server.CPUNS; diff > r.Server.CPUNS/20+5e6 || diff < -r.Server.CPUNS/20-5e6 {
		t.Errorf("user + system %d ns, the CPU clock %d ns", total, r.Server.CPUNS)
	}
}
