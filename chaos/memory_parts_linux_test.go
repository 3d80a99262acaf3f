package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// memoryRole is set for this binary where it plays a part of these tests: the
// text is that of a memoryPart.
const memoryRole = "MSLAB_TEST_MEMORY"

// memoryPart is what it plays: the tool, which injects Spec with the journal in
// Dir, or, without a fault, the target, which takes memory as it is told.
type memoryPart struct {
	Dir  string
	Spec Spec
}

// TestMemoryRole is no test but the parts.
func TestMemoryRole(t *testing.T) {
	text := os.Getenv(memoryRole)
	if text == "" {
		return
	}
	var part memoryPart
	if err := json.Unmarshal([]byte(text), &part); err != nil {
		t.Fatal(err)
	}
	play := playTarget
	if part.Spec.Fault != "" {
		play = playTool
	}
	os.Exit(exitOf(play(part)))
}

// playTarget takes as many bytes as each line says, and answers when each page of
// them was written to.
func playTarget(memoryPart) error {
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		size, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return err
		}
		for at := 0; at < size; at += os.Getpagesize() {
			block[at] = 1
		}
		fmt.Println("took", size)
	}
	return lines.Err()
}

// playTool injects as the tool does, and says so.
func playTool(part memoryPart) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	i, err := Inject(ctx, part.Spec, options(part.Dir))
	if err != nil {
		return err
	}
	fmt.Println("injected")
	<-i.Done()
	return i.Heal(context.Background())
}

// startPart starts this binary in a part; what it says is read line by line.
func startPart(t *testing.T, part memoryPart) (cmd *exec.Cmd, in io.WriteCloser, out *bufio.Reader) {
	t.Helper()
	text, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command("/proc/self/exe", "-test.run=^TestMemoryRole$")
	cmd.Env = append(os.Environ(), memoryRole+"="+string(text), "GORACE=atexit_sleep_ms=0")
	if part.Spec.Fault == "" {
		// A signal whose frame finds no memory kills the process that it is for, and
		// the runtime sends itself signals to preempt.
		cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1", "GOGC=off")
	}
	cmd.Stderr = os.Stderr
	in, _ = cmd.StdinPipe()
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, in, bufio.NewReader(pipe)
}

// target is a process of the test's own that takes memory as it is told.
type target struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startTarget(t *testing.T) *target {
	t.Helper()
	cmd, in, out := startPart(t, memoryPart{})
	x := &target{t, cmd, in, out}
	x.hears("ready\n")
	return x
}

func (x *target) hears(want string) {
	x.t.Helper()
	if line, err := x.out.ReadString('\n'); err != nil || line != want {
		x.t.Fatalf("the target said %q (%v), want %q", line, err, want)
	}
}

func (x *target) pid() int { return x.cmd.Process.Pid }

// ask tells the target to take memory; took waits until it has.
func (x *target) ask(size int) { fmt.Fprintln(x.in, size) }

func (x *target) took(size int) {
	x.t.Helper()
	x.hears(fmt.Sprintf("took %d\n", size))
}

// needGroups skips where no group can be made.
func needGroups(t *testing.T) {
	t.Helper()
	if err := tryMemory(t.Context(), Spec{}); err != nil {
		t.Skip(err)
	}
}

// groupsOf are the groups of a process' injections: other programs, and tests of
// other packages, have theirs beside them.
func groupsOf(t *testing.T, pid int) []string {
	t.Helper()
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if owner, ours := ownerOf(strings.TrimPrefix(d.Name(), "mslab-")); ours && owner.PID == pid {
			found = append(found, path)
		}
		return nil
	})
	return found
}
