package mslab_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// codeBlocks returns the blocks of a language in a document.
func codeBlocks(t *testing.T, document, language string) []string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for i, part := range strings.Split(string(text), "\n```") {
		if block, ok := strings.CutPrefix(part, language+"\n"); ok && i > 0 {
			blocks = append(blocks, block+"\n")
		}
	}
	return blocks
}

var ciDocument = filepath.Join("docs", "ci.md")

// recipe writes the files of docs/ci.md into a folder with a fresh mslab; the
// scenario is cut down to seconds.
func recipe(t *testing.T) (dir, scenario string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the phases are built on Linux system calls")
	}
	yamls, scripts := codeBlocks(t, ciDocument, "yaml"), codeBlocks(t, ciDocument, "sh")
	if len(yamls) != 2 || len(scripts) != 2 {
		t.Fatalf("%s has %d yaml and %d sh blocks, want 2 of each", ciDocument, len(yamls), len(scripts))
	}
	scenario = yamls[0]
	for _, short := range [][2]string{{"slice: 500ms", "slice: 60ms"}, {"warmup: 300ms", "warmup: 20ms"}, {"blocks: 10, slices: 4", "blocks: 8, slices: 1"}, {"clients: [20]", "clients: [4]"}} {
		if !strings.Contains(scenario, short[0]) {
			t.Fatalf("the scenario has no %q to cut down", short[0])
		}
		scenario = strings.Replace(scenario, short[0], short[1], 1)
	}
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	output(t, root, "go", "build", "-o", filepath.Join(dir, "mslab"), "./cmd/mslab")
	for name, text := range map[string]string{"ci.yaml": scenario, "interleaved.sh": scripts[0], "ci-compare.sh": scripts[1]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, scenario
}

// ranScript runs a script in dir and returns its exit code and what it said.
func ranScript(t *testing.T, dir string, env []string, arguments ...string) (code int, said string) {
	t.Helper()
	command := exec.Command("sh", arguments...)
	command.Dir = dir
	command.Env = append(append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir()), env...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*time.Minute, func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	err := command.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), out.String()
}

// TestCIRecipeWithBaseline runs the script of docs/ci.md: the first run becomes
// the baseline, a candidate that parses in quadratic time is a regression with a
// comment, and one under another load cannot be compared.
func TestCIRecipeWithBaseline(t *testing.T) {
	dir, scenario := recipe(t)
	play := func(scenario string, flags, candidate string) (int, string, string) {
		if err := os.WriteFile(filepath.Join(dir, "ci.yaml"), []byte(scenario), 0o644); err != nil {
			t.Fatal(err)
		}
		code, said := ranScript(t, dir, []string{"COMPARE_FLAGS=" + flags, "CANDIDATE=" + candidate}, "ci-compare.sh")
		comment, err := os.ReadFile(filepath.Join(dir, "comment.md"))
		if err != nil {
			t.Fatalf("%v; the script said:\n%s", err, said)
		}
		return code, said, string(comment)
	}
	if code, said, comment := play(scenario, "", "first"); code != 0 || !strings.Contains(comment, "no baseline") {
		t.Fatalf("without a baseline: exit %d\n%s\n%s", code, comment, said)
	}
	// A busy machine may be at another speed by now, which is not the point here.
	slower := strings.Replace(scenario, "parse: linear", "parse: quadratic", 1)
	code, said, comment := play(slower, "--force --metric server.cpu_ns_per_request", "second")
	if code != 4 || !strings.Contains(comment, "slower") || !strings.Contains(comment, "not interleaved") || !strings.Contains(said, "a regression") {
		t.Errorf("a parser of quadratic time: exit %d\n%s\n%s", code, comment, said)
	}
	other := strings.Replace(scenario, "clients: [4]", "clients: [5]", 1)
	if code, said, comment := play(other, "", "third"); code != 1 || !strings.Contains(said, "their circumstances differ") || !strings.Contains(comment, "not compared") {
		t.Errorf("another load: exit %d\n%s\n%s", code, comment, said)
	}
}

// TestCIRecipeInterleaved runs the script that plays two commands in one run.
func TestCIRecipeInterleaved(t *testing.T) {
	dir, _ := recipe(t)
	if code, _ := ranScript(t, dir, nil, "-c", "./mslab run --help | grep -q -- --subject"); code != 0 {
		t.Skip("mslab run has no --subject")
	}
	serve := `./mslab serve --addr 127.0.0.1:{port} --admin "" --data {data}`
	code, said := ranScript(t, dir, nil, "interleaved.sh", serve+" --phase 5", serve+" --phase 7", "/health")
	comment, err := os.ReadFile(filepath.Join(dir, "comment.md"))
	if code != 0 && code != 4 || err != nil || !bytes.Contains(comment, []byte("candidate")) || !bytes.Contains(comment, []byte("base")) {
		t.Errorf("exit %d, %v\n%s\n%s", code, err, comment, said)
	}
}

// TestCIRecipeIsAWorkflow holds that the workflow is YAML and runs the script.
func TestCIRecipeIsAWorkflow(t *testing.T) {
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct {
				Name, Run string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(codeBlocks(t, ciDocument, "yaml")[1]), &workflow); err != nil {
		t.Fatal(err)
	}
	for _, step := range workflow.Jobs["bench"].Steps {
		if step.Name == "compare" && strings.Contains(step.Run, "sh ci-compare.sh") {
			return
		}
	}
	t.Errorf("no step runs ci-compare.sh: %+v", workflow)
}
