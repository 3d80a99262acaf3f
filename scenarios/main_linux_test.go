package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mslab/chaos"
)

// The test binary plays several parts: roleEnv picks one.
const (
	roleEnv    = "MSLAB_TEST_ROLE"
	rolePlay   = "play"   // plays a scenario file, as `mslab run` does
	roleInside = "inside" // reports on the sandbox that it is in
	roleOuter  = "outer"  // plays another part in a sandbox
	roleLayout = "layout" // lays out a /run, and plays outer in it
	// plays a foreign command, into a folder
	rolePlayForeign = "play-foreign"
	roleKernel      = "kernel" // holds the figures of a stretch against the kernel's
)

func TestMain(m *testing.M) {
	if exit, probed := AnswerProbe(os.Stderr); probed {
		os.Exit(exit)
	}
	if exit, kept := AnswerKeeper(os.Args[1:]); kept {
		os.Exit(exit)
	}
	if os.Getenv(chaos.ReaperVariable) != "" {
		os.Exit(reapRole(os.Args[1:]))
	}
	switch os.Getenv(roleEnv) {
	case rolePlay:
		os.Exit(playRole(os.Args[1:]))
	case roleOuter:
		os.Exit(outerRole(os.Args[1:]))
	case roleLayout:
		os.Exit(layoutRole(os.Args[1:]))
	case roleInside:
		os.Exit(insideRole(os.Args[1:]))
	case roleWarmer:
		os.Exit(warmerRole(os.Getenv(warmerEnv)))
	case roleForeign:
		os.Exit(foreignRole(os.Args[1:]))
	case rolePlayForeign:
		os.Exit(playForeignRole(os.Args[1:]))
	case roleKernel:
		os.Exit(kernelRole(os.Args[1:]))
	}
	code := m.Run()
	if open.dir != "" {
		_ = os.RemoveAll(open.dir)
	}
	os.Exit(code)
}

// open is a folder that every user may look into, with this binary in it.
var open struct {
	once        sync.Once
	dir, binary string
	err         error
}

func openFolder(t *testing.T) string {
	t.Helper()
	open.once.Do(func() {
		if open.dir, open.err = os.MkdirTemp("", "mslab-test-"); open.err != nil {
			return
		}
		open.binary = filepath.Join(open.dir, "test")
		open.err = errors.Join(copyProgram(open.binary, "/proc/self/exe"), os.Chmod(open.dir, 0o755), os.Chmod(open.binary, 0o755))
	})
	if open.err != nil {
		t.Fatal(open.err)
	}
	return open.dir
}

func openBinary(t *testing.T) string {
	t.Helper()
	_ = openFolder(t)
	return open.binary
}

// copyProgram makes a copy that only its owner may use.
func copyProgram(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o700)
}

// built is the program under test, made once by the first test that wants it.
var built struct {
	once sync.Once
	exe  string
	why  string // why there is none
}

// mslab returns the path of a freshly built mslab.
func mslab(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers: skipped by -short")
	}
	built.once.Do(func() {
		built.exe = filepath.Join(openFolder(t), "mslab")
		if out, err := exec.Command("go", "build", "-o", built.exe, "mslab/cmd/mslab").CombinedOutput(); err != nil {
			built.why = fmt.Sprintf("go build mslab/cmd/mslab: %v: %s", err, out)
			return
		}
		if out, err := exec.Command(built.exe, "serve", "--help").CombinedOutput(); err != nil || !strings.Contains(string(out), "--phase") {
			built.why = "mslab/cmd/mslab cannot serve"
		}
	})
	if built.why != "" {
		t.Skip("no program to test with: " + built.why)
	}
	return built.exe
}

// role returns a command that runs this binary in another part, with temporary
// files below the test's own folder.
func role(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+name, "TMPDIR="+t.TempDir())
	return cmd
}

// playRole plays the scenario file args[0] with the program args[1] into the
// folder args[2].
func playRole(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s, err := Find(args[0])
	if err == nil {
		var p *Plan
		if p, err = NewPlan(s, Options{}); err == nil {
			_, _, err = Run(ctx, p, Play{Executable: args[1], Dir: args[2], Progress: sayBlocks, Reaper: []string{"reap"}})
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return 130
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// sayBlocks says on standard error what a test waits for.
func sayBlocks(e Event) {
	if e, ok := e.(BlockEnded); ok {
		fmt.Fprintf(os.Stderr, "%s: block %d of %d done\n", e.Arm, e.Block, e.Blocks)
	}
}

// reapRole is the reaper of the faults that this binary injects.
func reapRole(args []string) int {
	if len(args) != 2 || args[0] != "reap" {
		return 2
	}
	if err := chaos.Reap(args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func writeScenario(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func eventually(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(within); !is(); {
		if time.Now().After(limit) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func printJSON(v any) int {
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
