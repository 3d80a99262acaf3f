package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mslab/server"
)

// serveVariable makes the test binary serve a phase instead of testing, so that
// the kernel's view of a server process can be looked at from outside.
const (
	serveVariable  = "MSLAB_TEST_SERVE_PHASE"
	listenVariable = "MSLAB_TEST_SERVE_LISTEN"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(serveVariable); name != "" {
		if err := serveForTest(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveForTest(name string) error {
	phase, err := server.FindPhase(name)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(phase.Recipe.Processors())
	recipe := phase.Recipe
	if listen := os.Getenv(listenVariable); listen != "" {
		recipe.Listen = listen
	}
	s, err := server.New(server.Config{
		Phase: phase, Recipe: recipe, Address: "127.0.0.1:0", DataDir: os.Getenv("MSLAB_TEST_DATA"), ReadTimeout: time.Minute,
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println(s.URL())
	return s.Serve(ctx)
}

// startProcess runs a phase in a process of its own, under a wrapper such as
// strace where one is given. stop sends SIGTERM to the server and waits.
func startProcess(t *testing.T, phase string, wrapper ...string) (url string, pid int, stop func()) {
	t.Helper()
	arguments := append(wrapper, os.Args[0])
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Env = append(os.Environ(), serveVariable+"="+phase, "MSLAB_TEST_DATA="+t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
			if err := command.Wait(); err != nil {
				t.Errorf("phase %s ended with %v", phase, err)
			}
		})
	}
	t.Cleanup(stop)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("read the server's address: %v", err)
	}
	return strings.TrimSpace(line), command.Process.Pid, stop
}

// TestClonesPerRequest counts clone(2) calls by strace: one a request in phase
// 1, none in phase 5, within 1 % plus the runtime's own 32.
func TestClonesPerRequest(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace, which is not installed")
	}
	const requests = 1000
	for phase, want := range map[string]int{"1": requests, "5": 0} {
		t.Run("phase "+phase, func(t *testing.T) {
			summary := filepath.Join(t.TempDir(), "calls")
			if exec.Command(strace, "-o", summary, "true").Run() != nil {
				t.Skip("needs ptrace, which this machine does not allow")
			}
			url, _, stop := startProcess(t, phase, strace, "-f", "-qq", "-c", "-e", "trace=clone,clone3,fork,vfork", "-o", summary)
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for range requests {
				answer, err := client.Post(url+"/metrics", "application/json", strings.NewReader(seedBody))
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
			stop()
			clones := clonesIn(t, summary)
			t.Logf("%d clones for %d requests", clones, requests)
			if low, high := want*99/100, want*101/100+32; clones < low || clones > high {
				t.Errorf("%d clones for %d requests, want %d to %d", clones, requests, low, high)
			}
		})
	}
}

func clonesIn(t *testing.T, summary string) int {
	t.Helper()
	text, err := os.ReadFile(summary)
	if err != nil {
		t.Fatal(err)
	}
	clones := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) >= 5 && regexp.MustCompile(`^(clone3?|v?fork)$`).MatchString(fields[len(fields)-1]) {
			n, err := strconv.Atoi(fields[3])
			if err != nil {
				t.Fatalf("line of strace %q: %v", line, err)
			}
			clones += n
		}
	}
	return clones
}

// TestBacklogInTheKernel reads the accept queue's limit with ss.
func TestBacklogInTheKernel(t *testing.T) {
	ss, err := exec.LookPath("ss")
	if err != nil {
		t.Skip("needs ss (iproute2), which is not installed")
	}
	somaxconn, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Skipf("needs /proc/sys/net/core/somaxconn: %v", err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(somaxconn)))
	if err != nil {
		t.Fatal(err)
	}
	forEachPhase(t, func(t *testing.T, phase server.Phase) {
		r := start(t, phase, nil)
		want := 10
		if phase.Number >= 7 {
			want = min(most, 1024)
		}
		_, port, _ := strings.Cut(r.address(), ":")
		table, err := exec.Command(ss, "-Hltn", "sport = :"+port).Output()
		if err != nil {
			t.Fatalf("ss: %v", err)
		}
		fields := strings.Fields(string(table))
		if len(fields) < 3 || fields[2] != strconv.Itoa(want) {
			t.Errorf("ss says %q, want a backlog of %d", table, want)
		}
	})
}

// TestThreadsOfTheProcess looks at a server from outside: each connection held
// is a thread in phase 1, and none in phase 5, whose workers are there already.
func TestThreadsOfTheProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	const held = 40
	for phase, want := range map[string]int{"1": held, "5": 16} {
		t.Run("phase "+phase, func(t *testing.T) {
			url, pid, _ := startProcess(t, phase)
			for range held {
				conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				send(t, conn, "POST ")
			}
			threads := 0
			for deadline := time.Now().Add(5 * time.Second); threads < want && time.Now().Before(deadline); {
				time.Sleep(20 * time.Millisecond)
				tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
				if err != nil {
					t.Fatal(err)
				}
				threads = len(tasks)
			}
			// The runtime has threads of its own: the collector's, the monitor, idle ones.
			if threads < want || threads > want+20 {
				t.Errorf("%d threads with %d connections held, want %d and the runtime's own", threads, held, want)
			}
		})
	}
}

// TestQueueGuard fills the pool's queue: a connection beyond it is answered 503
// without being read, while all workers are held. The server is a process of
// its own, since both ends' descriptors would be many for one.
func TestQueueGuard(t *testing.T) {
	const queued = 16 + 10000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < queued+200 {
		t.Skipf("needs %d open files, RLIMIT_NOFILE allows %d (%v)", queued+200, limit.Cur, err)
	}
	t.Setenv(listenVariable, "backlog1024") // at 10 the SYN timer would take minutes
	url, _, _ := startProcess(t, "5")
	var answered net.Conn
	for i := range queued + 1 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		answered = conn
	}
	_ = answered.SetDeadline(time.Now().Add(5 * time.Second))
	answer, err := http.ReadResponse(bufio.NewReader(answered), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || !answer.Close {
		t.Errorf("status %d, Retry-After %q, close %v; want 503 with a Retry-After and the end", answer.StatusCode, answer.Header.Get("Retry-After"), answer.Close)
	}
}
