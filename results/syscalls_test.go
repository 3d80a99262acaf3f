package results

import (
	"encoding/json"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// traced makes a traced trial of four slices; calls are per slice of 1,000
// requests.
func traced(subject string, counts ...SyscallCount) TracedSyscalls {
	return TracedSyscalls{Arm: "isolated", Subject: subject, Started: time.Date(2026, 1, 2, 3, 8, 0, 0, time.UTC),
		Requests: []int64{1000, 1000, 1000, 1000}, CPUNS: 250_000_000, Syscalls: counts,
		Self: TracerCost{Rung: "tp_btf", CPUNS: 4_100_000, Runs: 40_000, PerCallNS: 250, FloorNS: 120}}
}

func calls(name string, slices ...int64) SyscallCount {
	return SyscallCount{Name: name, Calls: slices, TotalNS: 1000 * sum(slices)}
}

func failing(c SyscallCount, errors ...int64) SyscallCount {
	c.Errors = errors
	return c
}

// tracedRun is the sample run with two of its phases traced.
func tracedRun() *Run {
	run := sampleRun()
	run.Traced = []TracedSyscalls{
		traced("threads", calls("accept4", 1001, 1000, 1000, 1000), failing(calls("read", 2000, 2002, 1999, 2001), 3, 0, 0, 37),
			calls("clone3", 1000, 1000, 1000, 1000), calls("futex", 300, 900, 500, 700), calls("madvise", 0, 1, 0, 0)),
		traced("async", calls("accept4", 1000, 1001, 1000, 1000), calls("read", 2000, 2000, 2000, 2000),
			calls("futex", 800, 400, 700, 450), calls("madvise", 0, 0, 1, 0), calls("brk", 1, 0, 0, 0)),
	}
	return run
}

func TestSyscallsAreStoredApart(t *testing.T) {
	run := tracedRun()
	dir := filepath.Join(t.TempDir(), "run")
	storeRun(t, dir, run)
	got, err := OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Traced, run.Traced) {
		t.Errorf("read %+v, written %+v", got.Traced, run.Traced)
	}
	without, with := must(Tables(sampleRun(), -1)), must(Tables(got, -1))
	if len(with) != len(without)+1 {
		t.Fatalf("%d tables with syscalls, %d without; want one more", len(with), len(without))
	}
	at := 0
	for _, table := range with {
		if strings.Contains(table.Title, "syscalls per request") {
			continue
		}
		if a, b := must(json.Marshal(texts(table))), must(json.Marshal(texts(without[at]))); string(a) != string(b) {
			t.Errorf("tracing changes another table: %s", table.Title)
		}
		at++
	}
}

func texts(t Table) (out [][]string) {
	for _, row := range t.Rows {
		cells := []string{}
		for _, c := range row {
			cells = append(cells, c.Text)
		}
		out = append(out, cells)
	}
	return out
}

func TestSyscallTable(t *testing.T) {
	run := tracedRun()
	tables := SyscallTables(run, run.Plan.Arms[0], 0)
	if len(tables) != 1 {
		t.Fatalf("%d tables, want 1", len(tables))
	}
	want := [][]string{
		{"read", "2.00", "2.00"}, // 8,002 of 4,000 requests
		{"read failed", "0.010", "0"},
		{"accept4", "1.00", "1.00"},
		{"clone3", "1.00", "0"},
		{"futex", "0.60", "0.59"},
		{"2 others", "<.001", "<.001"},
		{"all", "4.60", "3.59"},
	}
	if got := texts(tables[0]); !reflect.DeepEqual(got, want) {
		t.Errorf("rows %v,\nwant %v", got, want)
	}
	notes := strings.Join(tables[0].Notes, "\n")
	for _, part := range []string{"tp_btf", "250ns longer", "1.64 %"} {
		if !strings.Contains(notes, part) {
			t.Errorf("the notes do not say %q:\n%s", part, notes)
		}
	}
	if strings.Contains(notes, "lost") {
		t.Errorf("nothing was lost, and the notes say so:\n%s", notes)
	}
	run.Traced[1].Self.Drops = map[string]int64{"full": 4, "start": 3}
	if notes := SyscallTables(run, run.Plan.Arms[0], 0)[0].Notes; !strings.Contains(strings.Join(notes, "\n"), "lost 7 calls") {
		t.Errorf("7 calls were lost, and no note says so: %v", notes)
	}
	if got := SyscallTables(run, run.Plan.Arms[1], 0); got != nil {
		t.Errorf("an arm that was not traced has %d tables", len(got))
	}
}

// TestSyscallTableFits draws more phases than fit beside each other.
func TestSyscallTableFits(t *testing.T) {
	for _, n := range []int{3, 7, 13} {
		run := &Run{Plan: Plan{Arms: []ArmPlan{{Name: "isolated", Ranked: true, Blocks: 1}}}}
		for i := range n {
			phase, name := i+1, "a-phase-"+strings.Repeat("x", i)
			s := SubjectPlan{}
			s.Name, s.Phase = name, &phase
			run.Plan.Subjects = append(run.Plan.Subjects, s)
			run.Traced = append(run.Traced, traced(name, calls("rt_sigprocmask", 123_456, 1, 1, 1), calls("epoll_pwait", 3, 3, 3, 3)))
		}
		tables := SyscallTables(run, run.Plan.Arms[0], 0)
		var b strings.Builder
		if err := RenderText(&b, tables); err != nil {
			t.Fatal(err)
		}
		columns := 0
		for _, table := range tables {
			columns += len(table.Columns) - 1
		}
		if columns != n {
			t.Errorf("%d phases: %d columns in %d tables", n, columns, len(tables))
		}
		for line := range strings.Lines(b.String()) {
			if width := len([]rune(strings.TrimRight(line, "\n"))); width > lineWidth {
				t.Errorf("%d phases: a line of %d columns: %s", n, width, line)
			}
		}
	}
}

func TestDiffSyscalls(t *testing.T) {
	run := tracedRun()
	a, b := &run.Traced[0], &run.Traced[1]
	by := map[string]SyscallDifference{}
	for _, d := range DiffSyscalls(a, b) {
		by[series{d.Name, d.Failed}.String()] = d
	}
	if len(by) != 7 {
		t.Errorf("%d rows, want each syscall and read's failures: %v", len(by), by)
	}
	if d := by["clone3"]; d.A != 1 || d.B != 0 || !d.Differs || d.CILow != -1 || d.CIHigh != -1 {
		t.Errorf("clone3: %+v, want one a request less, exactly", d)
	}
	if d := by["futex"]; d.Differs || d.CILow > 0 || d.CIHigh < 0 {
		t.Errorf("futex: %+v, want no difference: slices differ by more", d)
	}
	// Slices of 1.001, 1, 1, 1 against 1, 1.001, 1, 1 differ by nothing.
	if d := by["accept4"]; d.Differs || d.A != 1.00025 {
		t.Errorf("accept4: %+v", d)
	}
	// The means differ by -0.0125, their standard error is 0.16121, and the 5.56
	// degrees of freedom are rounded down to 5, of which t is 2.5706.
	if d := by["futex"]; math.Abs(float64(d.CILow)+0.42691) > 1e-4 || math.Abs(float64(d.CIHigh)-0.40191) > 1e-4 {
		t.Errorf("futex: interval %v to %v", d.CILow, d.CIHigh)
	}
	if first := DiffSyscalls(a, b)[0]; first.Name != "clone3" {
		t.Errorf("the largest difference is %s, want clone3", first.Name)
	}
	var text strings.Builder
	table := SyscallDiffTable("syscalls", run.Plan.Subjects[0], run.Plan.Subjects[1], DiffSyscalls(a, b))
	if err := RenderText(&text, []Table{table}); err != nil {
		t.Fatal(err)
	}
	if got := text.String(); !strings.Contains(got, "clone3") || strings.Contains(got, "futex") {
		t.Errorf("want clone3 and not futex in:\n%s", got)
	}
	one := *a
	one.Requests, one.Syscalls = []int64{10}, []SyscallCount{calls("read", 20)}
	if d := DiffSyscalls(&one, &one)[0]; !math.IsNaN(float64(d.CILow)) || d.Differs {
		t.Errorf("one slice has no spread: %+v", d)
	}
}

func TestTracedSyscallsAreChecked(t *testing.T) {
	for what, spoil := range map[string]func(*TracedSyscalls){
		"no arm":          func(t *TracedSyscalls) { t.Arm = "none" },
		"no subject":      func(t *TracedSyscalls) { t.Subject = "none" },
		"no load":         func(t *TracedSyscalls) { t.Load = 1 },
		"no requests":     func(t *TracedSyscalls) { t.Requests = []int64{0, 0, 0, 0} },
		"a slice missing": func(t *TracedSyscalls) { t.Syscalls[0].Calls = t.Syscalls[0].Calls[1:] },
		"twice":           func(t *TracedSyscalls) { t.Syscalls = append(t.Syscalls, t.Syscalls[0]) },
		"below 0":         func(t *TracedSyscalls) { t.Syscalls[0].Calls = []int64{-1, 1, 1, 1} },
		"more failures":   func(t *TracedSyscalls) { t.Syscalls[2].Errors = []int64{9999, 0, 0, 0} },
	} {
		run := tracedRun()
		if err := run.Traced[0].Check(&run.Plan); err != nil {
			t.Fatal(err)
		}
		spoil(&run.Traced[0])
		if err := run.Traced[0].Check(&run.Plan); err == nil {
			t.Errorf("%s: no error", what)
		}
		dir := filepath.Join(t.TempDir(), "run")
		run.Trials = nil
		storeRun(t, dir, run)
		if _, err := OpenRun(dir); err == nil || !strings.Contains(err.Error(), "run.json") {
			t.Errorf("%s: read with error %v, want one that names run.json", what, err)
		}
	}
}
