package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mslab/bench/harness"
	"mslab/results/record"
)

// child is the server, in a process of its own.
type child struct {
	url     string
	process *exec.Cmd
	in      io.Closer
	out     *bufio.Reader
	served  []int64 // ns, sorted: what the server took for each request
}

// startChild starts this program as the server, on a core of its own where
// there is one.
func startChild(ctx context.Context, delays string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{process: exec.CommandContext(ctx, self, "-serve", delays)}
	c.process.Stderr = os.Stderr
	in, err := c.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := harness.StartPinned(c.process, harness.ServerCore); err != nil {
		return nil, err
	}
	line, err := c.out.ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), c.process.Process.Kill(), c.process.Wait())
	}
	c.url = strings.TrimSpace(line)
	return c, nil
}

// stopFor keeps the server from doing anything, and returns for how long.
func (c *child) stopFor(d time.Duration) time.Duration {
	began := time.Now()
	_ = c.process.Process.Signal(syscall.SIGSTOP)
	time.Sleep(d)
	_ = c.process.Process.Signal(syscall.SIGCONT)
	return time.Since(began)
}

// end stops the server and takes over what it has timed.
func (c *child) end() error {
	_ = c.in.Close()
	lines := bufio.NewScanner(c.out)
	for lines.Scan() {
		ns, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			return errors.Join(err, c.process.Wait())
		}
		c.served = append(c.served, ns)
	}
	slices.Sort(c.served)
	return errors.Join(lines.Err(), c.process.Wait())
}

// percentile is exact.
func (c *child) percentile(p float64) int64 {
	if len(c.served) == 0 {
		return 0
	}
	i := int(p/100*float64(len(c.served))+0.5) - 1
	return c.served[min(max(i, 0), len(c.served)-1)]
}

// times are what the server took for its requests.
type times struct {
	mu   sync.Mutex
	next int
	all  []int64
}

// serve answers each request after the next of the delays, until its standard
// input ends; then it writes what it took.
func serve(stdout io.Writer, list string) error {
	var delays []time.Duration
	for _, word := range strings.Split(list, ",") {
		d, err := time.ParseDuration(word)
		if err != nil {
			return err
		}
		delays = append(delays, d)
	}
	runtime.GOMAXPROCS(64) // each connection blocks a thread
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "http://%s/\n", l.Addr())
	t := &times{all: make([]int64, 0, 1<<20)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go t.answer(conn, delays)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	t.mu.Lock()
	defer t.mu.Unlock()
	w := bufio.NewWriter(stdout)
	for _, ns := range t.all {
		fmt.Fprintln(w, ns)
	}
	return w.Flush()
}

// answer serves one connection, whose requests have no body.
func (t *times) answer(conn net.Conn, delays []time.Duration) {
	defer conn.Close()
	sleeps := len(delays) > 1 || delays[0] > 0
	var stream io.ReadWriter = conn
	if sleeps {
		// A thread that blocks in the kernel, as the delay has no room for the
		// hand-over from one that polls.
		f, err := conn.(*net.TCPConn).File()
		if err != nil {
			return
		}
		defer f.Close()
		stream = blocking(f.Fd())
		runtime.LockOSThread()
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	}
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	buf := make([]byte, 4096)
	for n := 0; ; {
		m, err := stream.Read(buf[n:])
		if err != nil {
			return
		}
		if n += m; !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			continue
		}
		n = 0
		began := time.Now()
		if sleeps {
			t.mu.Lock()
			d := delays[t.next%len(delays)]
			t.next++
			t.mu.Unlock()
			ts := unix.NsecToTimespec(int64(d))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
		}
		took := time.Since(began)
		if _, err := stream.Write(answer); err != nil {
			return
		}
		if sleeps {
			t.mu.Lock()
			t.all = append(t.all, int64(took))
			t.mu.Unlock()
		}
	}
}

// blocking is a socket in blocking mode.
type blocking int

func (b blocking) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(b), p)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (b blocking) Write(p []byte) (int, error) { return unix.Write(int(b), p) }

func medianOf(records []*record.Record, figure func(*record.Record) float64) float64 {
	var values []float64
	for _, r := range records {
		values = append(values, figure(r))
	}
	return median(values)
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
