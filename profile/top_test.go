package profile

import (
	"slices"
	"testing"

	"github.com/google/pprof/profile"
)

// made builds a CPU profile from stacks, innermost function first, and their
// values in ns.
func made(stacks map[int64][]string) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:     10_000_000,
	}
	byName := map[string]*profile.Location{}
	for value, stack := range stacks {
		s := &profile.Sample{Value: []int64{value / p.Period, value}}
		for _, name := range stack {
			location := byName[name]
			if location == nil {
				f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
				location = &profile.Location{ID: f.ID, Address: f.ID << 8, Line: []profile.Line{{Function: f}}}
				p.Function, p.Location = append(p.Function, f), append(p.Location, location)
				byName[name] = location
			}
			s.Location = append(s.Location, location)
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

func TestTop(t *testing.T) {
	p := made(map[int64][]string{
		300: {"leaf", "middle", "root"},
		200: {"middle", "root"},
		100: {"leaf", "leaf", "root"}, // recursive: counts once
		50:  nil,                      // no stack is known
	})
	rows, total, err := Top(p, "cpu")
	if err != nil {
		t.Fatal(err)
	}
	want := []Row{{"leaf", 400, 400}, {"middle", 200, 500}, {"root", 0, 600}}
	if total != 650 || !slices.Equal(rows, want) {
		t.Errorf("total %d, rows %v; want 650 and %v", total, rows, want)
	}
	byCum(rows)
	if rows[0].Function != "root" || rows[2].Function != "leaf" {
		t.Errorf("by cum: %v", rows)
	}
	if _, _, err := Top(p, "inuse_space"); err == nil {
		t.Error("a sample type that is not there is no error")
	}
}

// TestTopOfInlined wants the innermost of inlined functions to be the flat one.
func TestTopOfInlined(t *testing.T) {
	p := made(map[int64][]string{100: {"inlined", "caller"}})
	s := p.Sample[0]
	s.Location[0].Line = append(s.Location[0].Line, s.Location[1].Line...)
	s.Location = s.Location[:1]
	rows, _, err := Top(p, "cpu")
	if err != nil || !slices.Equal(rows, []Row{{"inlined", 100, 100}, {"caller", 0, 100}}) {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"mslab/server.parseQuadratic", "mslab/server.parseQuadratic"},
		{"internal/runtime/syscall/linux.Syscall6AndMore", "linux.Syscall6AndMore"},
		{"sync/atomic.(*Pointer[go.shape.struct { a/b.c int }]).Load", "atomic.(*Pointer[go.shape.struct { a/b.…"},
	} {
		if got := shorten(c.name, nameWidth); got != c.want {
			t.Errorf("shorten(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestFormatBytes(t *testing.T) {
	for v, want := range map[float64]string{0: "0B", 1: "1.00B", 1023: "1023B", 1024: "1.00KiB", 1536: "1.50KiB", -2048: "-2.00KiB", 5 << 20: "5.00MiB", 3 << 40: "3072GiB"} {
		if got := formatBytes(v); got != want {
			t.Errorf("formatBytes(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestStages(t *testing.T) {
	s := Stages{Package: "mslab/server", Names: map[string]string{"parseQuadratic": "parse quadratic", "execPool": "exec pool"}}
	for function, want := range map[string]string{
		"mslab/server.parseQuadratic":        "parse quadratic",
		"mslab/server.parseQuadratic.func1":  "parse quadratic",
		"mslab/server.(*execPool).worker":    "exec pool",
		"mslab/server.execPool.worker":       "exec pool",
		"mslab/server.parseQuadraticFaster":  "",
		"mslab/server/wire.parseQuadratic":   "",
		"other.parseQuadratic":               "",
		"mslab/server.(*linearParser).value": "",
	} {
		if got := s.of(function); got != want {
			t.Errorf("%s is of stage %q, want %q", function, got, want)
		}
	}
	p := made(map[int64][]string{
		300: {"runtime.memmove", "mslab/server.parseQuadratic", "mslab/server.(*execPool).worker"},
		200: {"write", "mslab/server.(*execPool).worker"},
		100: {"runtime.gc"},
	})
	taken := &Taken{Kind: Kinds()[0], Profile: p, Window: Window{Requests: 10}}
	table, ok := taken.StageTable(s)
	if !ok || len(table.Rows) != 3 {
		t.Fatalf("%v, %v", ok, table)
	}
	for i, want := range []struct {
		name       string
		value, per float64
	}{{"parse quadratic", 300, 30}, {"exec pool", 200, 20}, {outside, 100, 10}} {
		if row := table.Rows[i]; row[0].Text != want.name || row[1].Value != want.value || row[3].Value != want.per {
			t.Errorf("row %d: %v, want %v", i, row, want)
		}
	}
	if _, ok := taken.StageTable(Stages{Package: "other"}); ok {
		t.Error("a table of no stage")
	}
}
