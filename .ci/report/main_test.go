package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const passing = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
`

const skipping = `{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: strace is not installed\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB","Elapsed":0}
`

func TestReport(t *testing.T) {
	allow := filepath.Join(t.TempDir(), "allow")
	write(t, allow, "# comment\np.TestB the kernel may lack it\n")
	none := filepath.Join(t.TempDir(), "none")
	write(t, none, "")
	for _, c := range []struct {
		name, input, args string
		code              int
		want              string
	}{
		{"pass", passing, "", 0, "1 passed, 0 failed, 0 skipped"},
		{"skip with reason", passing + skipping, "", 0, "SKIPPED p.TestB: strace is not installed\n"},
		{"skip allowed", passing + skipping, "-allowed-skips=" + allow, 0, "1 passed, 0 failed, 1 skipped"},
		{"skip refused", passing + skipping, "-allowed-skips=" + none, 1, "NOT ALLOWED TO SKIP p.TestB"},
		{"nothing ran", "", "", 1, "0 passed, 0 failed, 0 skipped"},
		{"only skips", skipping, "", 1, "0 passed, 0 failed, 1 skipped"},
		{"failure", passing + `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:1: 1 is not 2\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p","Elapsed":0.5}
`, "", 1, "1 is not 2"},
		{"panic leaves a test open", passing + `{"Action":"output","Package":"p","Test":"TestC","Output":"panic: no\n"}
{"Action":"fail","Package":"p","Elapsed":0.5}
`, "", 1, "UNFINISHED p.TestC\npanic: no"},
		{"build failure", passing + `{"Action":"build-output","ImportPath":"q","Output":"q.go:1: syntax error\n"}
{"Action":"build-fail","ImportPath":"q"}
`, "", 1, "syntax error"},
		{"slowest first", passing + `{"Action":"pass","Package":"p","Test":"TestC","Elapsed":6}
{"Action":"pass","Package":"p","Test":"TestD/part","Elapsed":60}
{"Action":"pass","Package":"p","Test":"TestD","Elapsed":61.4}
`, "", 0, "took 61 s: p.TestD\ntook 6 s: p.TestC\n4 passed"},
		{"missing list", passing, "-allowed-skips=/nonexistent", 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			var args []string
			if c.args != "" {
				args = []string{c.args}
			}
			if code := run(strings.NewReader(c.input), &out, &errs, args); code != c.code {
				t.Errorf("exit code %d, want %d; it printed\n%s%s", code, c.code, &out, &errs)
			}
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("printed\n%swant %q in it", &out, c.want)
			}
		})
	}
}

func TestAllowedSkipWantsReason(t *testing.T) {
	name := filepath.Join(t.TempDir(), "allow")
	write(t, name, "p.TestB\n")
	if _, err := readAllowed(name); err == nil {
		t.Error("a line without a reason was accepted")
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
