package mslab_test

import (
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestToyPhase adds a phase in a copy of the module, the way CONTRIBUTING.md
// tells it, and counts the files touched: what a contributor would have to find.
func TestToyPhase(t *testing.T) {
	root := copyModule(t)
	phases := filepath.Join("server", "phases.go")
	edit(t, root, phases, "\treturn []Phase{\n", `	toy := keepalive
	toy.Exec, toy.Guard = "threads", "none"

	return []Phase{
`)
	edit(t, root, phases, "\n\t}\n}\n", `
		{Number: 99, Name: "toy", Base: 7, Changes: []Stage{StageExec, StageGuard}, Recipe: toy,
			About: "A phase that a test has added."},
	}
}
`)
	touched := changedFiles(t, root)
	if len(touched) > 2 {
		t.Errorf("a phase touches %v, want at most 2 files", touched)
	}
	mslab := buildCopy(t, root)
	list := output(t, root, mslab, "phases", "list", "--format", "json")
	if !strings.Contains(list, "A phase that a test has added.") {
		t.Errorf("phases list does not show it:\n%s", list)
	}
	serveToy(t, mslab, "--phase", "toy")
}

// TestToyStage adds a variant of a stage and a phase that uses it: one new file,
// and a line where the stage's variants are listed, made and used.
func TestToyStage(t *testing.T) {
	root := copyModule(t)
	server := func(name string) string { return filepath.Join("server", name) }
	write(t, filepath.Join(root, server("limiter_toy.go")), `package server

// limiterToy admits everybody.
type limiterToy struct{}

func (limiterToy) allow(string, int64) bool { return true }
`)
	edit(t, root, server("recipe.go"), "\t\t\t{\"shards\",", "\t\t\t{\"toy\", \"admits everybody\", \"limiter_toy.go\"},\n\t\t\t{\"shards\",")
	edit(t, root, server("limiter.go"), "\tif variant == \"shards\" {", "\tif variant == \"toy\" {\n\t\treturn limiterToy{}\n\t}\n\tif variant == \"shards\" {")
	if touched := changedFiles(t, root); len(touched) > 3 {
		t.Errorf("a variant touches %v, want at most 3 files", touched)
	}
	mslab := buildCopy(t, root)
	serveToy(t, mslab, "--phase", "7", "--limiter", "toy", "--rate-limit", "1")
}

// serveToy starts a server of the copy and has it take two batches.
func serveToy(t *testing.T, mslab string, flags ...string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("the phases' servers are not supported on %s", runtime.GOOS)
	}
	command := exec.Command(mslab, append([]string{"serve", "--addr", "127.0.0.1:0", "--admin", "",
		"--register=false", "--data", t.TempDir()}, flags...)...)
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(30*time.Second, func() { _ = command.Process.Kill() })
	defer func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			t.Errorf("stop the server: %v\n%s", err, &said)
		}
		kill.Stop()
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Errorf("the server printed no address\n%s", &said)
		return
	}
	fields := strings.Fields(lines.Text())
	if len(fields) < 2 {
		t.Errorf("the server printed %q, want its address", lines.Text())
		return
	}
	client := http.Client{Timeout: 10 * time.Second}
	for range 2 {
		answer, err := client.Post(fields[1]+"/metrics", "application/json",
			strings.NewReader(`{"metrics":[{"name":"cpu_usage","value":75.5}]}`))
		if err != nil {
			t.Errorf("post a batch: %v", err)
			return
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("a batch was answered %s: %s", answer.Status, body)
		}
	}
}

// notCopied are folders that hold results, not the module.
var notCopied = map[string]bool{".git": true, "bin": true, "runs": true, "mslab-data": true}

// copyModule copies what the module is built from to a folder of the test's.
func copyModule(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && notCopied[entry.Name()]:
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(root, path), 0o755)
		case !entry.Type().IsRegular() || path == "mslab":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(root, path), text, 0o600)
	})
	if err != nil {
		t.Fatalf("copy the module: %v", err)
	}
	return root
}

// edit replaces the first occurrence of old in a file of the copy.
func edit(t *testing.T, root, name, old, replacement string) {
	t.Helper()
	path := filepath.Join(root, name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s no longer holds %q: adapt this test, and CONTRIBUTING.md with it", name, old)
	}
	write(t, path, strings.Replace(string(text), old, replacement, 1))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// changedFiles lists the files of the copy that the module does not hold in
// the same words.
func changedFiles(t *testing.T, root string) []string {
	t.Helper()
	var changed []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if before, err := os.ReadFile(name); err != nil || !bytes.Equal(before, text) {
			changed = append(changed, name)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("look for changes: %v", err)
	}
	return changed
}

func buildCopy(t *testing.T, root string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "mslab")
	output(t, root, "go", "build", "-o", program, "./cmd/mslab")
	return program
}

// output runs a command in a folder and returns what it printed on stdout.
func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	command := exec.Command(name, args...)
	command.Dir = dir
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", filepath.Base(name), args, err, out, &said)
	}
	return string(out)
}

// TestToyFault adds a fault the way CONTRIBUTING.md tells it: one new file and a
// line in the list. The command, its flags, the journal and the reaper come with
// that.
func TestToyFault(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skipf("faults are not supported on %s", runtime.GOOS)
	}
	root := copyModule(t)
	write(t, filepath.Join(root, "chaos", "toy.go"), `package chaos

import (
	"context"
	"os"
)

// toy leaves a file where it should not be.
func toy() Fault {
	return Fault{
		Name: "toy", About: "a fault that a test has added", Needs: "nothing",
		Options: []Option{{Name: "file", About: "which file"}},
		Aims:    func(map[string]string) Aim { return AimNone },
		Check: func(s Spec) error {
			if s.Options["file"] == "" {
				return usagef("toy: needs a file")
			}
			return nil
		},
		Plan: func(_ context.Context, s Spec) (Plan, error) {
			return Plan{Inject: []string{"touch " + s.Options["file"]}, Undo: []string{"rm " + s.Options["file"]}}, nil
		},
		Try:     func(context.Context, Spec) error { return nil },
		prepare: func(context.Context, *work) error { return nil },
		inject: func(_ context.Context, w *work) error {
			return w.effect(func() error { return os.WriteFile(w.Options["file"], []byte("toy"), 0o600) })
		},
		verify: func(_ context.Context, w *work) (bool, []Fact, error) {
			text, err := os.ReadFile(w.Options["file"])
			return string(text) == "toy", []Fact{{"text", string(text), "it holds " + string(text)}}, err
		},
		undo: func(_ context.Context, w *work) error {
			return w.effect(func() error { return os.RemoveAll(w.Options["file"]) })
		},
	}
}
`)
	edit(t, root, filepath.Join("chaos", "chaos.go"), "\t\tpartition(),\n", "\t\tpartition(),\n\t\ttoy(),\n")
	if touched := changedFiles(t, root); len(touched) > 2 {
		t.Errorf("a fault touches %v, want at most 2 files", touched)
	}
	mslab := buildCopy(t, root)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	if list := output(t, root, mslab, "chaos", "list"); !strings.Contains(list, "a fault that a test has added") {
		t.Errorf("chaos list does not show it:\n%s", list)
	}
	file := filepath.Join(t.TempDir(), "toy")
	out := output(t, root, mslab, "chaos", "toy", "--file", file, "--duration", "100ms", "--json")
	if !strings.Contains(out, `"verified": true`) || !strings.Contains(out, `"text": "toy"`) {
		t.Errorf("chaos toy: %s", out)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the fault was not healed")
	}
}
