package doctor

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mslab/results"
)

// insideWord is how the test binary is run once more.
const insideWord = "doctor-inside"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == insideWord {
		if err := Inside(context.Background(), os.Stdout, testOptions(os.TempDir()), os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// A race detector's program sleeps for a second before it ends, by default.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

func testOptions(folder string) Options {
	return Options{Again: []string{insideWord}, Folders: []Folder{{Name: "temp folder", Path: folder, Free: 1}}}
}

func TestRunIsBounded(t *testing.T) {
	released := make(chan struct{})
	defer close(released)
	begin := time.Now()
	checks := []results.Check{
		{Name: "hangs", Try: func(context.Context) results.Finding { <-released; return results.Works("late") }},
		{Name: "breaks", Try: func(context.Context) results.Finding { var none *results.Check; return none.Try(nil) }},
		{Name: "gives up", Try: func(ctx context.Context) results.Finding {
			<-ctx.Done()
			return results.Fails("wait", "gave up: %v", ctx.Err())
		}},
		{Name: "works", Try: func(context.Context) results.Finding { return results.Works("tried %d", 1) }},
	}
	got := Run(t.Context(), checks)
	if took := time.Since(begin); took > 2*limitEach+time.Second {
		t.Errorf("took %s", took)
	}
	for i, want := range []string{"nothing came back", "the check itself broke", "gave up", "tried 1"} {
		if g := got[i]; !strings.Contains(g.Why, want) || g.OK != (i == 3) || (g.Fix == "") != g.OK || g.Name != checks[i].Name {
			t.Errorf("%+v: want %q", g, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if g := try(ended, checks[3]); g.OK || !strings.Contains(g.Why, "not tried") {
		t.Errorf("with the time used up: %+v", g)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	checks := []results.Check{
		{Name: "works", Try: func(context.Context) results.Finding { return results.Works("tried") }},
		{Name: "is cut short", Try: func(ctx context.Context) results.Finding {
			cancel()
			<-ctx.Done()
			return results.Fails("mend it", "cut short")
		}},
		{Name: "comes too late", Try: func(context.Context) results.Finding { return results.Works("tried") }},
	}
	if got := Run(ctx, checks); len(got) != 1 || got[0].Name != "works" {
		t.Errorf("made: %+v", got)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		free int64
		ok   bool
		why  string
	}{
		{dir, 1, true, "free"},
		{filepath.Join(dir, "a", "b"), 1, true, "would be made"},
		{dir, 1 << 62, false, "only"},
		{file, 1, false, "not a folder"},
		{filepath.Join(file, "below"), 1, false, "not a directory"},
		{"/proc", 1, false, "write a file in /proc"},
	} {
		f := Folder{"x", c.path, c.free}.try(t.Context())
		if f.OK != c.ok || !strings.Contains(f.Why, c.why) || (f.Fix == "") != f.OK {
			t.Errorf("%s: %+v", c.path, f)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestToolsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if f := testTools(t.Context()); f.OK || !strings.Contains(f.Why, "wrk") || !strings.Contains(f.Fix, "gcc") {
		t.Errorf("with an empty PATH: %+v", f)
	}
}

// TestSystemsListTheSameChecks reads both lists, since only one of them is built.
func TestSystemsListTheSameChecks(t *testing.T) {
	linux, other := systemNames(t, "list_linux.go"), systemNames(t, "list_other.go")
	if len(linux) < 20 || !slices.Equal(linux, other) {
		t.Errorf("on Linux %q, elsewhere %q", linux, other)
	}
}

// systemNames lists the strings in systemChecks.
func systemNames(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "systemChecks" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				name, _ := strconv.Unquote(lit.Value)
				names = append(names, name)
			}
			return true
		})
	}
	return names
}
