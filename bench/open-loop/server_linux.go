package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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

// serve answers each request after the next of the delays, until its standard
// input ends; then it writes what it took. One thread does it all and never sleeps:
// to wake up would be a delay that it does not know of.
func serve(stdout io.Writer, list string) error {
	var delays []int64
	for _, word := range strings.Split(list, ",") {
		d, err := time.ParseDuration(word)
		if err != nil {
			return err
		}
		delays = append(delays, int64(d))
	}
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	s := &server{delays: delays, base: time.Now(), served: make([]int64, 0, 1<<20)}
	port, err := s.listen()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "http://127.0.0.1:%d/\n", port)
	var stop atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	for !stop.Load() {
		if err := s.turn(); err != nil {
			return err
		}
	}
	w := bufio.NewWriter(stdout)
	for _, ns := range s.served {
		fmt.Fprintln(w, ns)
	}
	return w.Flush()
}

// server is a loop over its connections; their requests have no body.
type server struct {
	delays   []int64 // ns, taken in turn
	next     int
	base     time.Time
	listener int
	epoll    int
	pending  []pending
	served   []int64
	events   [256]unix.EpollEvent
	buf      [4096]byte
}

// pending is a request whose answer is due later.
type pending struct {
	fd         int
	began, due int64
}

var answer = []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

func (s *server) listen() (port int, err error) {
	if s.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, fmt.Errorf("open a socket: %w", err)
	}
	if err := unix.Bind(s.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, fmt.Errorf("bind: %w", err)
	}
	if err := unix.Listen(s.listener, 4096); err != nil {
		return 0, fmt.Errorf("listen: %w", err)
	}
	at, err := unix.Getsockname(s.listener)
	if err != nil {
		return 0, fmt.Errorf("read the port: %w", err)
	}
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return 0, fmt.Errorf("set up epoll: %w", err)
	}
	return at.(*unix.SockaddrInet4).Port, s.watch(s.listener)
}

func (s *server) watch(fd int) error {
	return unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// turn takes what has arrived and sends what is due.
func (s *server) turn() error {
	n, err := unix.EpollWait(s.epoll, s.events[:], 0)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("wait for events: %w", err)
	}
	for i := range max(n, 0) {
		fd := int(s.events[i].Fd)
		if fd == s.listener {
			err = s.accept()
		} else {
			err = s.take(fd)
		}
		if err != nil {
			return err
		}
	}
	for i := 0; i < len(s.pending); {
		p := s.pending[i]
		now := int64(time.Since(s.base))
		if now < p.due {
			i++
			continue
		}
		s.send(p.fd)
		s.served = append(s.served, now-p.began)
		last := len(s.pending) - 1
		s.pending[i] = s.pending[last]
		s.pending = s.pending[:last]
	}
	return nil
}

func (s *server) accept() error {
	for {
		fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN, unix.EINTR, unix.ECONNABORTED:
			return nil
		default:
			return fmt.Errorf("accept: %w", err)
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if err := s.watch(fd); err != nil {
			return fmt.Errorf("watch a connection: %w", err)
		}
	}
}

// take reads a request. It is sent in one piece, being short.
func (s *server) take(fd int) error {
	n, err := unix.Read(fd, s.buf[:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil || n == 0:
		_ = unix.Close(fd)
		s.pending = slices.DeleteFunc(s.pending, func(p pending) bool { return p.fd == fd })
		return nil
	case !bytes.HasSuffix(s.buf[:n], []byte("\r\n\r\n")):
		return fmt.Errorf("take a request: %q is no whole one", s.buf[:n])
	}
	d := s.delays[s.next]
	s.next = (s.next + 1) % len(s.delays)
	if d == 0 {
		s.send(fd)
		return nil
	}
	now := int64(time.Since(s.base))
	s.pending = append(s.pending, pending{fd: fd, began: now, due: now + d})
	return nil
}

// send answers; a client that has gone is seen by take.
func (s *server) send(fd int) { _, _ = unix.Write(fd, answer) }

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
