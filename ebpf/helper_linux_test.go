//go:build amd64 || arm64

package ebpf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helperVariable makes this test program play one of helpers instead of its tests.
const helperVariable = "MSLAB_EBPF_TEST_HELPER"

// helpers are the programs that the tests trace. Each announces itself by a line,
// waits for one, and does what it is for.
var helpers = map[string]func(args []string) error{
	"calls":      helpCalls,
	"files":      helpFiles,
	"network":    helpNetwork,
	"children":   helpChildren,
	"quickcalls": helpQuickCalls,
	"execs":      helpExecs,
	"ends":       helpEnds,
	"tracer":     helpTracer,
	"blocked":    helpBlocked,
	"check":      helpCheck,
	"outer":      helpOuter,
	"compat":     helpCompat,
}

func TestMain(m *testing.M) {
	name := os.Getenv(helperVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := helpers[name](os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// announce says that the helper is ready and waits until it shall go on.
func announce(words ...any) error {
	fmt.Println(append([]any{"ready"}, words...)...)
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if errors.Is(err, io.EOF) {
		return errors.New("the test has gone")
	}
	return err
}

// child is a helper that runs.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	ready []string
}

// startHelper starts a helper and waits for its announcement.
func startHelper(t *testing.T, name string, args ...string) *child {
	t.Helper()
	return startCommand(t, name, exec.Command("/proc/self/exe", args...))
}

func startCommand(t *testing.T, name string, cmd *exec.Cmd) *child {
	t.Helper()
	cmd.Env = append(os.Environ(), helperVariable+"="+name)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c.ready = c.line()
	return c
}

// line waits for the helper's next line.
func (c *child) line() []string {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("the helper said nothing: %v", err)
	}
	return strings.Fields(line)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// goOn lets the helper do what it waits to do.
func (c *child) goOn() {
	c.t.Helper()
	if _, err := io.WriteString(c.stdin, "go\n"); err != nil {
		c.t.Fatal(err)
	}
}

// traceOrSkip starts a tracer, and skips the test where this machine allows none.
func traceOrSkip(t *testing.T, o SyscallOptions) *SyscallTracer {
	t.Helper()
	tracer, err := TraceSyscalls(o)
	var missing *Missing
	if errors.As(err, &missing) {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tracer.Close(); err != nil {
			t.Error(err)
		}
	})
	return tracer
}

func stop(t *testing.T, tracer *SyscallTracer) Syscalls {
	t.Helper()
	result, err := tracer.Stop()
	if err != nil {
		t.Fatal(err)
	}
	checkTotals(t, result)
	return result
}

// checkTotals holds what is true of every result.
func checkTotals(t *testing.T, result Syscalls) {
	t.Helper()
	for _, s := range result.Calls {
		var errnos uint64
		for _, n := range s.Errnos {
			errnos += n
		}
		if errnos != s.Errors || s.Hist.Count() != s.Calls || s.Errors > s.Calls {
			t.Errorf("%s %s: %d calls, %d in the histogram, %d errors, %d by number", s.Name, s.Target, s.Calls, s.Hist.Count(), s.Errors, errnos)
		}
		// Each duration is in the bucket where it belongs: their middles add up to the
		// total as well as one of them is to a duration.
		middles, top := time.Duration(0), 0
		for b, n := range s.Hist.counts {
			if n > 0 {
				low, width := bucketBounds(b)
				middles += time.Duration(n * (low + width/2))
				top = b
			}
		}
		if off := (middles - s.Total).Abs(); float64(off) > 0.032*float64(s.Total)+float64(s.Calls) || top != bucketOf(uint64(s.Max)) {
			t.Errorf("%s: buckets add up to %v and end at %d, total %v, max %v in %d", s.Name, middles, top, s.Total, s.Max, bucketOf(uint64(s.Max)))
		}
		if s.P50() > s.P99() || s.P99() > s.Max || s.Mean() > s.Max || s.Total < s.Max {
			t.Errorf("%s: p50 %v, p99 %v, mean %v, max %v, total %v", s.Name, s.P50(), s.P99(), s.Mean(), s.Max, s.Total)
		}
	}
	if result.Self.Lost() != 0 {
		t.Errorf("lost %v", result.Self.Drops)
	}
}

// find adds up the rows of a call.
func find(result Syscalls, name string) SyscallStat {
	all := SyscallStat{Name: name, Hist: &Histogram{}, Errnos: map[string]uint64{}}
	for _, s := range result.Calls {
		if s.Name != name {
			continue
		}
		all.Calls += s.Calls
		all.Errors += s.Errors
		all.Total += s.Total
		all.Max = max(all.Max, s.Max)
		all.Hist.Add(s.Hist)
		for e, n := range s.Errnos {
			all.Errnos[e] += n
		}
	}
	return all
}

// onThreads runs f on so many locked threads at once.
func onThreads(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Add(1)
		go func() {
			defer wait.Done()
			runtime.LockOSThread()
			errs[i] = f(i)
		}()
	}
	wait.Wait()
	return errors.Join(errs...)
}

// helpCalls makes a known number of calls from several threads.
func helpCalls(args []string) error {
	var threads, writes, opens int
	if _, err := fmt.Sscan(strings.Join(args, " "), &threads, &writes, &opens); err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	missing, err := unix.BytePtrFromString("/no/such/file")
	if err != nil {
		return err
	}
	if err := announce(); err != nil {
		return err
	}
	if err := onThreads(threads, func(int) error { return makeCalls(null, missing, writes/threads, opens/threads) }); err != nil {
		return err
	}
	return announce()
}
