package results

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func syntheticTrace() *SyscallTrace {
	requests := int64(1_000_000)
	fd := 7
	t := &SyscallTrace{
		Title: "phase 7 keepalive (pid 4242)", PID: 4242, Window: WindowTotal, ElapsedNS: 10e9, EndNS: 10e9, Requests: &requests,
		Syscalls: []Syscall{
			{Name: "futex", Calls: 1_234_567, Errors: 700, Errnos: map[string]uint64{"ETIMEDOUT": 650, "ERESTARTSYS": 4, "ERESTART_RESTARTBLOCK": 46},
				TotalNS: 88_300_000_000, P50NS: 13_400, P99NS: 10_600_000, MaxNS: 1_700_000_000},
			{Name: "clock_nanosleep", Target: "tcp 127.0.0.1:18099 (accepted)", FD: &fd, Calls: 1_000_000, Errors: 3, Errnos: map[string]uint64{"EAGAIN": 3}, TotalNS: 51_200_000_000, P50NS: 51_200, P99NS: 812_000, MaxNS: 999_000_000},
			{Name: "write", Target: "file /home/somebody/mslab-data/metrics.jsonl", Calls: 240_000, TotalNS: 1_000_000, P50NS: 4, P99NS: 5, MaxNS: 6},
			{Name: "mmap", Calls: 3, TotalNS: 900_000, P50NS: 300, P99NS: 301, MaxNS: 302},
		},
		Unfinished: []UnfinishedCall{{Name: "accept4", Thread: 1, ForNS: 5e9}, {Name: "accept4", Thread: 2, ForNS: 1e9}, {Name: "epoll_pwait", Thread: 3, ForNS: 1e6}},
		Self:       TraceSelf{Rung: "tp_btf", Cost: TraceCost{CPUNS: 250e6, Runs: 5_000_000, PerCallNS: 101, BystanderNS: 31, FloorNS: 201}},
	}
	t.Settle()
	return t
}

func TestSyscallTraceSettles(t *testing.T) {
	trace := syntheticTrace()
	futex := trace.Syscalls[0]
	if futex.MeanNS < 71_522 || futex.MeanNS > 71_524 || futex.PerRequest == nil || *futex.PerRequest != 1.234567 {
		t.Errorf("futex: %+v", futex)
	}
	if c := trace.Self.Cost; c.ShareOfCore != 0.025 {
		t.Errorf("cost %+v: 250 ms in 10 s", c)
	}
	none := int64(0)
	idle := &SyscallTrace{Requests: &none, Syscalls: []Syscall{{Name: "read", Calls: 2}}}
	idle.Settle()
	if idle.Syscalls[0].PerRequest != nil {
		t.Errorf("without requests %v calls a request", *idle.Syscalls[0].PerRequest)
	}
}

// TestTraceFitsATerminal draws long names, targets and figures in 80 columns, and
// leaves none of them out.
func TestTraceFitsATerminal(t *testing.T) {
	whole, plain, byThread := syntheticTrace(), syntheticTrace(), syntheticTrace()
	for i := range plain.Syscalls {
		plain.Syscalls[i].Target, byThread.Syscalls[i].Target = "", ""
		byThread.Syscalls[i].Thread = 1234567
	}
	plain.Syscalls[0].Calls = 123_456_789
	whole.Syscalls[0].Target = "file /" + strings.Repeat("very-long/", 20) + "name\x1b[2J\nof a file"
	whole.Syscalls[0].Errnos = map[string]uint64{}
	for _, errno := range strings.Fields("EPERM ENOENT EINTR EIO EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EINVAL EMFILE EPIPE") {
		whole.Syscalls[0].Errnos[errno] = 1_000_000
	}
	for name, trace := range map[string]*SyscallTrace{"plain": plain, "by fd": whole, "by thread": byThread} {
		for _, perRequest := range []bool{false, true} {
			var b bytes.Buffer
			if err := RenderSyscalls(&b, "table", trace, SyscallRows{Most: 20, TimePerRequest: perRequest}, false); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > lineWidth {
					t.Errorf("%s: %d columns in %q", name, n, line)
				}
			}
			if text := b.String(); !strings.Contains(text, " mean ") || !strings.Contains(text, " max\n") || strings.Contains(text, "\x1b") {
				t.Errorf("%s: a figure is left out, or too much is printed, in\n%s", name, text)
			}
		}
	}
	table := whole.Table(SyscallRows{Most: 20}, false)
	keys := map[string]bool{}
	for _, c := range table.Columns {
		keys[c.Key] = true
	}
	if !keys["target"] || !keys["errnos"] || !keys["mean"] || len(table.Under) > 0 || table.Rows[0][1].Text != whole.Syscalls[0].Target {
		t.Errorf("programs get %v", keys)
	}
}

func TestTraceTable(t *testing.T) {
	var b bytes.Buffer
	trace := syntheticTrace()
	trace.Notes = []string{"A note."}
	trace.EndedInside = map[string]uint64{"exit": 3}
	if err := RenderSyscalls(&b, "table", trace, SyscallRows{Most: 3}, false); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"system calls of phase 7 keepalive (pid 4242), 10.0s with 1,000,000 requests (100,000/s)",
		"syscall calls /req total mean p50 p99 max ─",
		"futex 1,234,567 1.23 88.3s 71.5µs 13.4µs 10.6ms 1.70s errors: ETIMEDOUT 650, ERESTART* 50 clock_nanosleep",
		"51.2s 51.2µs 51.2µs 812µs 999ms tcp 127.0.0.1:18099 (accepted); errors: EAGAIN 3 write",
		"file /home/somebody/mslab-data/metrics.jsonl The first",
		"The first 3 of 4 rows; the others are 900µs of 140s. --rows shows more.",
		"In progress at the end, in no total: accept4 2 (up to 5.00s), epoll_pwait 1 (up to 1.00ms).",
		"Not returned from, in no total: exit 3.", "A note.",
		"Tracer: tp_btf; it took 250ms of CPU (2.50 % of a core, 101ns a call; 31.0ns a call of other processes); nothing dropped; floor: the shortest call reads 201ns.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	trace.Self.Drops, trace.Self.By = 12, map[string]uint64{"map full": 12}
	if got := trace.Self.String(); !strings.Contains(got, "12 calls are missing (map full 12)") {
		t.Errorf("footer %q", got)
	}
	trace.Requests, trace.Window, trace.ElapsedNS = nil, WindowInterval, 1e9
	table := trace.Table(SyscallRows{Most: 20}, true)
	if !strings.HasSuffix(table.Title, "(pid 4242), 1.00s up to 10.0s") {
		t.Errorf("title %q", table.Title)
	}
	for _, c := range table.Columns {
		if c.Key == "per_request" {
			t.Error("a column by request, and no requests")
		}
	}
}

// TestTraceTimePerRequest wants a call's time by request in the place of its
// total.
func TestTraceTimePerRequest(t *testing.T) {
	table := syntheticTrace().Table(SyscallRows{Most: 20, TimePerRequest: true}, false)
	for i, c := range table.Columns {
		if c.Key == "time_per_request" {
			if got := table.Rows[0][i].Value; got != 88_300 {
				t.Errorf("futex takes %v ns a request, want 88,300", got)
			}
			return
		}
	}
	t.Error("no such column")
}

func TestTraceJSON(t *testing.T) {
	for _, line := range []bool{false, true} {
		var b bytes.Buffer
		if err := RenderSyscalls(&b, "json", syntheticTrace(), SyscallRows{Most: 1}, line); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(b.String(), "\n"); (lines == 1) != line {
			t.Errorf("line %v: %d lines", line, lines)
		}
		var got struct {
			Schema   string
			Requests int64
			Syscalls []struct {
				Name          string
				Calls, Errors uint64
				Errnos        map[string]uint64
				TotalNS       int64 `json:"total_ns"`
				P50NS         int64 `json:"p50_ns"`
				P99NS         int64 `json:"p99_ns"`
				MaxNS         int64 `json:"max_ns"`
				FD            *int
				Target        string
				PerRequest    float64 `json:"per_request"`
			}
			Self struct {
				Cost  map[string]float64
				Drops *uint64
				Rung  string
			}
		}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		futex, sleep := got.Syscalls[0], got.Syscalls[1]
		if got.Schema != "mslab.trace.syscalls/v1" || got.Requests != 1_000_000 || len(got.Syscalls) != 4 || futex.Errnos["ERESTARTSYS"] != 4 ||
			futex.TotalNS != 88_300_000_000 || futex.P50NS != 13_400 || futex.P99NS != 10_600_000 || futex.MaxNS != 1_700_000_000 || futex.FD != nil ||
			sleep.FD == nil || *sleep.FD != 7 || sleep.Target != "tcp 127.0.0.1:18099 (accepted)" || sleep.PerRequest != 1 {
			t.Errorf("JSON %+v", got)
		}
		if got.Self.Rung != "tp_btf" || got.Self.Drops == nil || got.Self.Cost["cpu_ns"] != 250e6 || got.Self.Cost["floor_ns"] != 201 {
			t.Errorf("self %+v", got.Self)
		}
	}
	var b bytes.Buffer
	empty := &SyscallTrace{}
	empty.Settle()
	if err := RenderSyscalls(&b, "json", empty, SyscallRows{}, true); err != nil || !strings.Contains(b.String(), `"syscalls":[],"unfinished":[]`) {
		t.Errorf("%v: %s", err, &b)
	}
}

func TestProcTrace(t *testing.T) {
	requests := int64(3000)
	trace := &ProcTrace{Title: "phase 5 pool (pid 7)", PID: 7, Window: WindowTotal, ElapsedNS: 2e9, EndNS: 2e9, Requests: &requests,
		Missing: "no root", Notes: []string{"A note."}, Figures: []ProcessFigure{
			{Key: "voluntary_switches", Name: "context switches, voluntary", Scope: ScopeProcess, Value: 8000},
			{Key: "cpu", Name: "CPU", Unit: "ns", Scope: ScopeProcess, Value: 1e9},
			{Key: "threads", Name: "threads, now", Scope: ScopeProcess, Value: 18, Moment: true},
			{Key: "OutRsts", Name: "OutRsts", Scope: ScopeNetwork, Value: 1},
		}}
	trace.Settle()
	var b bytes.Buffer
	if err := RenderProcTrace(&b, "table", trace, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, want := range []string{"context switches, voluntary process 8,000 4,000 2.67", "CPU process 1.00s 500ms 333µs", "threads, now process 18 - -", "OutRsts network namespace 1 0.50 <.001"} {
		if got := strings.Join(strings.Fields(lines[4+i]), " "); got != want {
			t.Errorf("row %d: %q, want %q", i, got, want)
		}
	}
	b.Reset()
	if err := RenderProcTrace(&b, "json", trace, true); err != nil {
		t.Fatal(err)
	}
	var got ProcTrace
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got.Schema != TraceProcSchema || got.Missing != "no root" || *got.Figures[0].PerRequest != 8.0/3 || got.Figures[2].PerRequest != nil {
		t.Errorf("%v: %s", err, &b)
	}
}
