package scenarios

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleForeign is a server that is none of mslab's, in one of many manners:
// args are the manner and the port.
const roleForeign = "foreign"

// foreignCommand is a command line that plays the role.
func foreignCommand(t *testing.T, manner string, args ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"env", roleEnv + "=" + roleForeign, "GORACE=atexit_sleep_ms=0", exe, manner}, args...)
}

func foreignRole(args []string) int {
	manner, port := args[0], args[1]
	if port == "env" {
		port = os.Getenv("PORT")
	}
	err := playForeign(manner, port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func playForeign(manner, port string) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	listen := func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:"+port) }
	switch manner {
	case "plain":
	case "inherited": // the child of a prefork server: the listener is descriptor 3
		listen = func() (net.Listener, error) { return net.FileListener(os.NewFile(3, "listener")) }
	case "prefork":
		return prefork(port)
	case "daemon":
		return daemon(port)
	case "stubborn":
		signal.Ignore(unix.SIGTERM)
	case "mute":
		select {}
	case "broken":
		return fmt.Errorf("the reason it broke")
	case "elsewhere":
		port = "0"
	case "late":
		time.Sleep(700 * time.Millisecond)
	case "unready":
		begun := time.Now()
		inner := handler
		handler = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/health" && time.Since(begun) < 700*time.Millisecond {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			inner(w, r)
		}
	case "dies":
		var n atomic.Int64
		inner := handler
		handler = func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) > 200 {
				fmt.Fprintln(os.Stderr, "enough of this")
				os.Exit(3)
			}
			inner(w, r)
		}
	case "forking", "deaf": // a process for each request
		if manner == "deaf" {
			signal.Ignore(unix.SIGCHLD)
		}
		handler = func(w http.ResponseWriter, _ *http.Request) {
			burner := exec.Command("/proc/self/exe", "burn", "0")
			if err := burner.Run(); err != nil && manner == "forking" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
	case "burn": // 20 ms of CPU time
		burnThread(20 * time.Millisecond)
		return nil
	case "threads": // a thread for each request, which ends
		handler = func(w http.ResponseWriter, _ *http.Request) {
			done := make(chan struct{})
			go func() {
				runtime.LockOSThread()
				burnThread(time.Millisecond)
				close(done)
			}()
			<-done
		}
	case "strict": // answers one path only
		handler = func(w http.ResponseWriter, r *http.Request) {
			body := new(bytes.Buffer)
			_, _ = body.ReadFrom(r.Body)
			if r.URL.Path != "/p" || r.Method != http.MethodPut || body.String() != "text" || r.Header.Get("X-Key") != "value" {
				w.WriteHeader(http.StatusTeapot)
			}
		}
	default:
		return fmt.Errorf("no manner %s", manner)
	}
	l, err := listen()
	if err != nil {
		return err
	}
	return http.Serve(l, handler)
}

// burnThread uses CPU time of this thread.
func burnThread(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := func() time.Duration {
		var ts unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
		return time.Duration(ts.Nano())
	}
	for end := now() + d; now() < end; {
	}
}

// prefork listens and has two children serve; SIGTERM ends all three.
func prefork(port string) error {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGTERM)
	var children []*exec.Cmd
	for range 2 {
		child := exec.Command("/proc/self/exe", "inherited", port)
		child.ExtraFiles, child.Stderr = []*os.File{file}, os.Stderr
		if err := child.Start(); err != nil {
			return err
		}
		children = append(children, child)
	}
	<-asked
	for _, child := range children {
		_ = child.Process.Signal(unix.SIGTERM)
		_ = child.Wait()
	}
	return nil
}

// daemon leaves a server behind, in a session of its own, which has a child that
// ignores SIGTERM and does nothing; and ends.
func daemon(port string) error {
	for _, args := range [][]string{{"plain", port}, {"sleeper", "0"}} {
		child := exec.Command("/proc/self/exe", args...)
		if args[0] == "sleeper" {
			child = exec.Command("sh", "-c", "trap '' TERM; sleep 1000 & wait")
		}
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return err
		}
	}
	return nil
}

// startForeign starts a server of that manner outside of any run and returns
// its port once it accepts.
func startForeign(t *testing.T, manner string) (pid, port int) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	args := foreignCommand(t, manner, strconv.Itoa(port))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(unix.SIGTERM); _ = cmd.Wait() })
	eventually(t, 10*time.Second, "the server listens", func() bool {
		conn, err := net.Dial("tcp", joinHostPort("127.0.0.1", port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return cmd.Process.Pid, port
}

// playForeignRole plays the command args[1:] into the folder args[0], for long.
func playForeignRole(args []string) int {
	_ = os.Unsetenv(roleEnv) // of this process, not of what it starts
	p, err := NewPlan(&Scenario{Name: "x", Subjects: []SubjectSpec{{Name: "a", Command: args[1:]}}, Arms: []Arm{shortArm(100)}}, Options{})
	if err == nil {
		_, _, err = Run(context.Background(), p, Play{Executable: "/bin/false", Dir: args[0]})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
