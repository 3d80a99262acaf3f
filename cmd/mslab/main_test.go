package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mslab/chaos"
	"mslab/scenarios"
	"mslab/server/registry"
)

// The test binary is mslab where it is called by that name.
func TestMain(m *testing.M) {
	if exit, probed := scenarios.AnswerProbe(os.Stderr); probed {
		os.Exit(exit)
	}
	if (os.Getenv(doctorAgain) != "" || os.Getenv(scenarios.SandboxVariable) != "") && filepath.Base(os.Args[0]) != "mslab" {
		fmt.Fprintln(os.Stderr, "refuse to test: mslab runs itself once more by this binary, and not as mslab")
		os.Exit(2)
	}
	if os.Getenv(chaos.ReaperVariable) != "" && filepath.Base(os.Args[0]) != "mslab" {
		fmt.Fprintln(os.Stderr, "refuse to test: mslab chaos runs this binary as its reaper, and not as mslab")
		os.Exit(2)
	}
	testscript.Main(m, map[string]func(){"mslab": func() { os.Exit(execute()) }})
}

// doctorAgain is doctor.AgainVariable, which only Linux has.
const doctorAgain = "MSLAB_DOCTOR_AGAIN"

// noExitSleep is a GORACE: a program with the race detector sleeps for a second
// before it ends, by default.
const noExitSleep = "atexit_sleep_ms=0"

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_RUNTIME_DIR", env.WorkDir)
			env.Setenv("GORACE", noExitSleep)
			env.Setenv("PID", strconv.Itoa(os.Getpid())) // of a process that is no server
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"fails": fails,
			"live":  live,
		},
	})
}

func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "sandbox":
		_, err := scenarios.FindSandbox(context.Background())
		return err == nil, nil
	case "devfull":
		_, err := os.Stat("/dev/full")
		return err == nil, nil
	}
	return false, errors.New("unknown condition")
}

// exits CODE COMMAND... runs the command and holds its exit code against CODE.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// fails CODE ARGUMENTS... runs mslab, wants the exit code, nothing on stdout and
// one line on stderr, with the hint where the usage was wrong.
func fails(ts *testscript.TestScript, _ bool, args []string) {
	exits(ts, false, append([]string{args[0], "mslab"}, args[1:]...))
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout is not empty: %s", out)
	}
	line := ts.ReadFile("stderr")
	if !strings.HasPrefix(line, "mslab: ") || strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		ts.Fatalf("stderr is not one line that begins with mslab: %q", line)
	}
	if hint := strings.Contains(line, "; see mslab"); hint != (args[0] == "2") {
		ts.Fatalf("a hint to the help text: %v, with exit code %s: %q", hint, args[0], line)
	}
}

// live N waits for N registered servers and sets URL and ADMIN to those of the
// one that came last.
func live(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	dir := filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "mslab")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		entries, err := registry.List(dir)
		ts.Check(err)
		if len(entries) == want {
			if want > 0 {
				ts.Setenv("URL", entries[want-1].URL)
				ts.Setenv("ADDR", strings.TrimPrefix(entries[want-1].URL, "http://"))
				ts.Setenv("ADMIN", entries[want-1].Admin)
			}
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d servers are live, want %d", len(entries), want)
		}
	}
}
