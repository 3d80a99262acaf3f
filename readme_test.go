package mslab_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// documents are those whose sh blocks a reader types in.
var documents = []string{"README.md", "CONTRIBUTING.md", filepath.Join("bench", "README.md")}

// TestDocumentedCommands runs the sh blocks of the documents, each as a script in
// an empty folder with a fresh ./mslab. What would take minutes there is only
// checked: make targets must exist, scenarios must plan, programs must build.
func TestDocumentedCommands(t *testing.T) {
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	output(t, root, "go", "build", "-o", filepath.Join(bin, "mslab"), "./cmd/mslab")
	for _, document := range documents {
		blocks := shellBlocks(t, document)
		if len(blocks) == 0 {
			t.Errorf("%s has no sh block", document)
		}
		for _, b := range blocks {
			t.Run(fmt.Sprintf("%s line %d", document, b.line), func(t *testing.T) {
				runBlock(t, b, root, bin)
			})
		}
	}
}

// TestCIRunsTheFirstCommands holds that the commands a newcomer types first are
// those that CI runs to their end.
func TestCIRunsTheFirstCommands(t *testing.T) {
	ci, err := os.ReadFile(filepath.Join(".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	first := shellBlocks(t, "README.md")[0]
	for _, line := range strings.Split(strings.TrimSpace(first.text), "\n") {
		command, _, _ := strings.Cut(line, " #")
		command = strings.TrimSpace(command)
		if !strings.Contains("\n"+string(ci), "\n"+command+"\n") {
			t.Errorf("README.md starts with %q, which .ci/run does not run", command)
		}
	}
}

type shellBlock struct {
	line int
	text string
}

func shellBlocks(t *testing.T, document string) []shellBlock {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []shellBlock
	inside := false
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "```sh":
			inside = true
			blocks = append(blocks, shellBlock{line: i + 1})
		case line == "```":
			inside = false
		case inside:
			blocks[len(blocks)-1].text += line + "\n"
		}
	}
	return blocks
}

// script is the block as it is run: ports are picked, so that a server of the
// reader's own is not in the way, and what takes minutes is only checked.
func (b shellBlock) script(root string) string {
	var script strings.Builder
	for line := range strings.Lines(b.text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
			continue
		case fields[0] == "make":
			line = fmt.Sprintf("make -C '%s' --dry-run %s", root, strings.TrimPrefix(line, "make "))
		case len(fields) > 2 && fields[0] == "go" && fields[1] == "run":
			line = fmt.Sprintf("(cd '%s' && go build -o /dev/null %s)\n", root, fields[2])
		case len(fields) == 5 && fields[0] == "go" && fields[1] == "build" && fields[2] == "-o":
			line = fmt.Sprintf("here=$PWD; (cd '%s' && go build -o \"$here\"/%s %s)\n", root, fields[3], fields[4])
		case strings.HasPrefix(line, "./mslab run ") && !strings.Contains(line, "--list") && !strings.Contains(line, "--dry-run"):
			line = strings.Replace(line, "./mslab run ", "./mslab run --dry-run ", 1)
		case strings.HasPrefix(line, "./mslab serve "):
			line = strings.Replace(line, "./mslab serve ", "./mslab serve --addr 127.0.0.1:0 --admin 127.0.0.1:0 ", 1)
		case fields[0] == "sleep":
			line = "sleep 3\n" // a busy test machine needs longer than a reader's
		}
		script.WriteString(line)
	}
	return script.String()
}

func runBlock(t *testing.T, b shellBlock, root, bin string) {
	script := b.script(root)
	if strings.Contains(script, "make ") {
		if _, err := exec.LookPath("make"); err != nil {
			t.Skip("make is not installed")
		}
	}
	folder := t.TempDir()
	if err := os.Link(filepath.Join(bin, "mslab"), filepath.Join(folder, "mslab")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "results"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "results", "reference"), filepath.Join(folder, "results", "reference")); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("sh", "-eu", "-c", script)
	command.Dir = folder
	command.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	// What the script leaves running is in its process group.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.WaitDelay = 5 * time.Second // for output, once the shell has ended
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	killGroup := func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	timer := time.AfterFunc(2*time.Minute, killGroup)
	defer timer.Stop()
	err := command.Wait()
	killGroup()
	if err != nil {
		t.Errorf("%v in\n%s\nit printed\n%s", err, script, &said)
	}
}
