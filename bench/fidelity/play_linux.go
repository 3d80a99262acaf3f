package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mslab/bench/harness"
	"mslab/results/record"
)

const (
	// settle is what a server gets after a slice to write what it has taken in.
	settle = 50 * time.Millisecond
	warmup = 300 * time.Millisecond
	// memoryLimit keeps a server without a garbage collector from eating the
	// machine, should a slice be made too long.
	memoryLimit = "GOMEMLIMIT=4GiB"
)

// server is a running subject.
type server struct {
	subject
	process *exec.Cmd
	url     string
	stderr  *strings.Builder
}

// playRound starts all subjects, plays a slice of each and then the same slices
// backwards, so that a drift of the machine falls on all alike, and stops them.
// The order rotates from round to round.
func (p *programs) playRound(ctx context.Context, o options, m *measurement, round int) (err error) {
	var servers []*server
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	for i, subject := range m.subjects {
		folder := filepath.Join(p.folder, fmt.Sprintf("round%d-%d", round, i))
		if err := os.Mkdir(folder, 0o755); err != nil {
			return fmt.Errorf("make data folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(folder) }()
		s, err := p.start(ctx, subject, folder)
		if err != nil {
			return err
		}
		servers = append(servers, s)
		if _, err := p.slice(ctx, o, s, warmup); err != nil {
			return err
		}
	}
	order := make([]int, len(servers))
	for i := range order {
		order[i] = (i + round*len(servers)/max(1, o.rounds)) % len(servers)
	}
	mirrored := slices.Clone(order)
	slices.Reverse(mirrored)
	for _, i := range append(order, mirrored...) {
		r, err := p.slice(ctx, o, servers[i], o.slice)
		if err != nil {
			return err
		}
		m.add(i, round, r)
	}
	return nil
}

var listening = regexp.MustCompile(`^listening (http://\S+)`)

func (p *programs) start(ctx context.Context, subject subject, folder string) (*server, error) {
	line := subject.command(p, folder)
	s := &server{subject: subject, process: exec.Command(line[0], line[1:]...), stderr: &strings.Builder{}}
	s.process.Stderr = s.stderr
	s.process.Env = append(os.Environ(), memoryLimit)
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	if err := harness.StartPinned(s.process, harness.ServerCore); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
				break
			}
		}
		_, _ = io.Copy(io.Discard, out) // ends with the process
		close(found)
	}()
	select {
	case s.url = <-found:
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
	}
	if s.url == "" {
		return nil, errors.Join(fmt.Errorf("start %s: it printed no address", s.name), s.stop(), ctx.Err())
	}
	return s, nil
}

// stop ends the server and waits for it.
func (s *server) stop() error {
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	timer := time.AfterFunc(10*time.Second, func() { _ = s.process.Process.Kill() })
	defer timer.Stop()
	if err := s.process.Wait(); err != nil {
		return fmt.Errorf("stop %s: %w; it said: %s", s.name, err, strings.TrimSpace(s.stderr.String()))
	}
	return nil
}

// slice drives one server and returns its CPU time per request and the rate.
func (p *programs) slice(ctx context.Context, o options, s *server, length time.Duration) (reading, error) {
	before, err := cpuTime(s.process.Process.Pid)
	if err != nil {
		return reading{}, err
	}
	out := filepath.Join(p.folder, "load.json")
	load := exec.CommandContext(ctx, p.mslab, "load", s.url+"/metrics", "--clients", strconv.Itoa(o.clients),
		"--duration", length.String(), "--connection", "new", "--metrics", "3", "--out", out)
	var said strings.Builder
	load.Stderr = &said
	if err := harness.StartPinned(load, harness.ClientCore); err != nil {
		return reading{}, fmt.Errorf("start the load: %w", err)
	}
	if err := load.Wait(); err != nil {
		return reading{}, errors.Join(fmt.Errorf("load on %s: %w; it said: %s", s.name, err, strings.TrimSpace(said.String())), ctx.Err())
	}
	time.Sleep(settle)
	after, err := cpuTime(s.process.Process.Pid)
	if err != nil {
		return reading{}, err
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return reading{}, fmt.Errorf("read the load's record: %w", err)
	}
	var r record.Record
	if err := json.Unmarshal(text, &r); err != nil {
		return reading{}, fmt.Errorf("read the load's record: %w", err)
	}
	if r.Counts.OK == 0 || r.Counts.Failed > r.Counts.Sent/100 {
		return reading{}, fmt.Errorf("load on %s: %d of %d requests failed: %v", s.name, r.Counts.Failed, r.Counts.Sent, r.Counts.ByClass)
	}
	return reading{cpu: float64((after - before).Nanoseconds()) / float64(r.Counts.OK), rps: r.RPS.OK}, nil
}

// cpuTime reads a process' CPU clock: user and system time of all its threads,
// those that have ended too, in ns. /proc counts in ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	const processScheduling = 2 // CPUCLOCK_SCHED, include/linux/posix-timers.h
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|processScheduling, &t); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
