package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// KeeperVariable is set for this program when it is started to keep a foreign
// subject's command. Test binaries refuse to test with it.
const KeeperVariable = "MSLAB_KEEPER"

// The descriptors that a keeper is started with, beside the standard ones.
const (
	keeperControl = 3 // says stop; ends with the run
	keeperStatus  = 4 // takes keeperSays
)

// keeperStop is what the run writes to end the command in order.
const keeperStop = 't'

// keeperSays is a line of the keeper's, in JSON.
type keeperSays struct {
	PID    int    `json:"pid,omitempty"`    // the command runs
	Error  string `json:"error,omitempty"`  // it does not
	Ended  string `json:"ended,omitempty"`  // how the command's first process ended
	Killed int    `json:"killed,omitempty"` // processes that had to be killed
}

// AnswerKeeper is the other end of a foreign subject's start. A program that
// calls Run calls it first of all, and where kept is true ends with that exit
// code at once. args are the program's, without its name.
//
// A keeper is the parent of one command and of whatever its processes leave
// behind (PR_SET_CHILD_SUBREAPER), so that none of them gets out of its tree. It
// ends when the last of them has. When it is told to stop, it sends SIGTERM to
// the command and, once that has ended, to what is left; what still lives 5 s
// later is killed. When the run ends, however it ends, its end of the pipe
// closes and the keeper gets a death signal: it then kills all at once. The
// death signal of the command itself would not do, since it reaches only a direct
// child.
func AnswerKeeper(args []string) (exit int, kept bool) {
	if os.Getenv(KeeperVariable) == "" {
		return 0, false
	}
	_ = os.Unsetenv(KeeperVariable)
	var stat unix.Stat_t
	if len(args) == 0 || unix.Fstat(keeperControl, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFIFO {
		_, _ = fmt.Fprintln(os.Stderr, "this command is for mslab itself: it keeps the processes of a subject")
		return 2, true
	}
	k := &keeper{status: json.NewEncoder(os.NewFile(keeperStatus, "status")), stop: make(chan struct{}), die: make(chan struct{}, 2)}
	return k.keep(args), true
}

type keeper struct {
	status *json.Encoder
	main   int           // the command's first process
	stop   chan struct{} // closed: end in order
	die    chan struct{} // takes a value: kill all now
}

func (k *keeper) keep(args []string) int {
	// The command's death signal comes when this thread ends.
	runtime.LockOSThread()
	// Notified rather than ignored: what is ignored stays so for the command.
	asked := make(chan os.Signal, 8)
	signal.Notify(asked, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	unix.CloseOnExec(keeperControl)
	unix.CloseOnExec(keeperStatus)
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err == nil {
		k.main, err = startCommand(args)
	}
	if err != nil {
		_ = k.status.Encode(keeperSays{Error: err.Error()})
		return 1
	}
	_ = k.status.Encode(keeperSays{PID: k.main})
	go k.listen(os.NewFile(keeperControl, "control"))
	go func() {
		for sig := range asked {
			if sig == unix.SIGTERM { // the run is gone
				k.die <- struct{}{}
				return
			}
		}
	}()
	mainEnded, allEnded := make(chan struct{}), make(chan struct{})
	killed := make(chan int, 1)
	go func() { killed <- k.end(mainEnded, allEnded) }()
	k.reap(mainEnded)
	close(allEnded)
	_ = k.status.Encode(keeperSays{Killed: <-killed})
	return 0
}

// startCommand starts the command in a process group of its own, so that one
// which signals its group does not reach its keeper.
func startCommand(args []string) (pid int, err error) {
	path, err := exec.LookPath(args[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }()
	pid, err = syscall.ForkExec(path, args, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{null.Fd(), 1, 2},
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, fmt.Errorf("run %s: %w", path, err)
	}
	return pid, nil
}

// listen waits for the word to stop, or for the end of the run.
func (k *keeper) listen(control io.Reader) {
	word := make([]byte, 1)
	for {
		n, err := control.Read(word)
		if n == 1 && word[0] == keeperStop {
			close(k.stop)
			word[0] = 0
			continue
		}
		if err != nil {
			k.die <- struct{}{}
			return
		}
	}
}

// reap waits for the children, adopted ones included, until there are none.
func (k *keeper) reap(mainEnded chan<- struct{}) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return
		case pid == k.main:
			_ = k.status.Encode(keeperSays{Ended: statusText(status)})
			close(mainEnded)
		}
	}
}

// statusText is how a process ended, as os.ProcessState says it.
func statusText(status unix.WaitStatus) string {
	if status.Signaled() {
		text := "signal: " + status.Signal().String()
		if status.CoreDump() {
			text += " (core dumped)"
		}
		return text
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// end ends the processes when it is time to, and returns how many of them it
// had to kill.
func (k *keeper) end(mainEnded, allEnded <-chan struct{}) (killed int) {
	select {
	case <-allEnded:
		return 0
	case <-k.die:
		return killTree(allEnded)
	case <-k.stop:
	}
	select {
	case <-mainEnded: // it left others behind, as a daemon does
	default:
		_ = unix.Kill(k.main, unix.SIGTERM)
	}
	limit := time.After(stopTimeout)
	for told := false; ; {
		select {
		case <-allEnded:
			return 0
		case <-k.die:
			return killTree(allEnded)
		case <-limit:
			return killTree(allEnded)
		case <-mainEnded:
			if !told {
				told = true
				for _, p := range descendantsOf(os.Getpid()) {
					_ = unix.Kill(p.pid, unix.SIGTERM)
				}
			}
			mainEnded = nil
		}
	}
}

// killTree kills what is below this process until nothing is left; what forks
// meanwhile is met in the next round.
func killTree(allEnded <-chan struct{}) int {
	killed := map[int]bool{}
	for {
		for _, p := range descendantsOf(os.Getpid()) {
			if p.state != "Z" && unix.Kill(p.pid, unix.SIGKILL) == nil {
				killed[p.pid] = true
			}
		}
		select {
		case <-allEnded:
			return len(killed)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// keeperEnv is the environment of a command: the user's, with what the command
// is told by it. GOMAXPROCS and the like stay: they are the user's own.
func keeperEnv(env []string, port int) []string {
	kept := make([]string, 0, len(env)+2)
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		if name != SandboxVariable && name != "PORT" {
			kept = append(kept, entry)
		}
	}
	return append(kept, fmt.Sprintf("PORT=%d", port), KeeperVariable+"=1")
}
