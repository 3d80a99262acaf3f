package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"mslab/bench/harness"
	"mslab/results"
	"mslab/scenarios"
)

// bench is what all rounds share.
type bench struct {
	options
	folder  string
	stderr  io.Writer
	tools   []tool
	request request
	kinds   []kind
	absent  []string // what is left out, and why
}

// Limits of what is waited for.
const (
	serverStart = 10 * time.Second
	serverStop  = 10 * time.Second
	toolGrace   = 30 * time.Second
)

// playRound plays each tool once against each server, in an order that is drawn.
func (b *bench) playRound(ctx context.Context, m *measurement, round int) error {
	for k, kind := range b.kinds {
		var line strings.Builder
		for _, t := range harness.Order(len(b.tools), round) {
			r, err := b.play(ctx, kind, b.tools[t], fmt.Sprintf("%s-%d-%d", kind.name, round, t))
			if err != nil {
				return fmt.Errorf("%s against %s: %w", b.tools[t].name, kind.name, err)
			}
			m.set(k, t, round, r)
			fmt.Fprintf(&line, " %s %.0fk", b.tools[t].name, r.rps()/1000)
			if !good(&r) {
				line.WriteString("!")
			}
		}
		fmt.Fprintf(b.stderr, "round %d of %d, %s:%s\n", round+1, b.runs, kind.name, &line)
	}
	return nil
}

// play starts a fresh server, has the tool drive it, and holds what the tool says
// against what the server counted. A tool that fails is a reading with a problem;
// an error is one of the bench itself.
func (b *bench) play(ctx context.Context, k kind, t tool, name string) (r reading, err error) {
	s := shot{request: b.request, connections: b.connections, duration: t.length(b.duration), folder: filepath.Join(b.folder, name)}
	if err := os.Mkdir(s.folder, 0o755); err != nil {
		return r, fmt.Errorf("make a folder for what it writes: %w", err)
	}
	defer func() { _ = os.RemoveAll(s.folder) }()
	server, err := k.start(ctx, s.folder)
	if err != nil {
		return r, err
	}
	defer func() {
		if server != nil {
			_, stopErr := server.stop()
			err = errors.Join(err, stopErr)
		}
	}()
	s.url = server.url + b.request.path
	began, busy := time.Now(), busySeconds()
	before, err := scenarios.ReadCPU(server.process.Process.Pid)
	if err != nil {
		return r, err
	}
	command, toolErr := t.run(ctx, s)
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	after, err := scenarios.ReadCPU(server.process.Process.Pid)
	if err != nil {
		return r, err
	}
	busy, took := busySeconds()-busy, time.Since(began).Seconds()
	counted, err := server.stop()
	server = nil
	if err != nil {
		return r, err
	}
	r.requests, r.span = counted.requests, counted.span.Seconds()
	if t.warmups {
		r.requests -= int64(b.connections)
	}
	if counted.malformed > 0 {
		toolErr = errors.Join(toolErr, fmt.Errorf("the server refused %d requests as malformed", counted.malformed))
	}
	if toolErr == nil {
		r.said, toolErr = t.read(ctx, t.program, s, command.stdout.String())
	}
	if state := command.process.ProcessState; state != nil && r.requests > 0 {
		client := state.UserTime() + state.SystemTime()
		r.client = float64(client.Nanoseconds()) / float64(r.requests)
		r.server = float64((after - before).Nanoseconds()) / float64(r.requests)
		r.others = max(0, busy-client.Seconds()-(after-before).Seconds()) / took
	}
	r.judge(toolErr, b.connections)
	return r, nil
}

// ran is a tool's process, and what it printed.
type ran struct {
	process *exec.Cmd
	stdout  *strings.Builder
}

// run plays the tool on its core; the error says why it failed.
func (t tool) run(ctx context.Context, s shot) (ran, error) {
	out := ran{stdout: &strings.Builder{}}
	ctx, cancel := context.WithTimeout(ctx, s.duration+toolGrace)
	defer cancel()
	arguments, err := t.command(s)
	out.process = exec.CommandContext(ctx, t.program, arguments...)
	if err != nil {
		return out, fmt.Errorf("prepare %s: %w", t.name, err)
	}
	var stderr strings.Builder
	out.process.Dir, out.process.Stdout, out.process.Stderr = s.folder, out.stdout, &stderr
	out.process.WaitDelay = time.Second
	if err := harness.StartPinned(out.process, harness.ClientCore); err != nil {
		return out, fmt.Errorf("start %s: %w", t.name, err)
	}
	if err := out.process.Wait(); err != nil {
		return out, fmt.Errorf("%w; it said: %.300s", err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// server is a running one.
type server struct {
	url     string
	process *exec.Cmd
	stderr  *strings.Builder
	// count is what it has served, asked before it is stopped; nil where it
	// prints that at its end.
	count func() (counted, error)
	// printed is what it printed, once it has ended.
	printed chan string
}

// counted is what a server says of itself.
type counted struct {
	requests, malformed int64
	span                time.Duration // from the first request to the last; 0 where it does not say
}

// startServer starts a server on its core and takes the address that it prints;
// one that prints nothing in time has none.
func startServer(line ...string) (*server, error) {
	s, first, err := launch(line)
	if err != nil {
		return nil, err
	}
	select {
	case head := <-first:
		s.url = strings.TrimSpace(strings.TrimPrefix(head, "listening "))
	case <-time.After(serverStart):
	}
	return s, nil
}

// startSilent starts a server that prints nothing.
func startSilent(line ...string) (*server, error) {
	s, _, err := launch(line)
	return s, err
}

// launch starts a server; first gets the first line that it prints.
func launch(line []string) (s *server, first chan string, err error) {
	s = &server{process: exec.Command(line[0], line[1:]...), stderr: &strings.Builder{}, printed: make(chan string, 1)}
	s.process.Stderr = s.stderr
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", line[0], err)
	}
	if err := harness.StartPinned(s.process, harness.ServerCore); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", line[0], err)
	}
	first = make(chan string, 1)
	go func() {
		lines := bufio.NewReader(out)
		head, _ := lines.ReadString('\n') // what it prints may end at once
		first <- head
		rest, _ := io.ReadAll(lines)
		s.printed <- string(rest)
	}()
	return s, first, nil
}

// stop asks for the count, ends the server and waits for it.
func (s *server) stop() (counted, error) {
	var c counted
	var err error
	if s.count != nil {
		c, err = s.count()
	}
	if signalErr := s.process.Process.Signal(syscall.SIGTERM); signalErr != nil {
		err = errors.Join(err, fmt.Errorf("stop the server: %w", signalErr))
	}
	timer := time.AfterFunc(serverStop, func() { _ = s.process.Process.Kill() })
	defer timer.Stop()
	printed := <-s.printed // ends with the process
	if waitErr := s.process.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("the server ended badly: %w; it said: %s", waitErr, strings.TrimSpace(s.stderr.String())))
	}
	if s.count == nil && err == nil {
		c, err = readCount(printed)
	}
	return c, err
}

// busySeconds is how long all cores together have not been idle, in ticks of
// 10 ms; 0 where the machine does not say. Time that a hypervisor took is in it.
func busySeconds() float64 {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return 0
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0
	}
	c := stat.CPUTotal
	return c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal
}

// conditions tell how busy the machine is: the load average of the last minute,
// and the time of a fixed piece of socket work.
func conditions() condition {
	c := condition{calibration: results.Calibrate(), environment: results.CaptureEnvironment()}
	if proc, err := procfs.NewDefaultFS(); err == nil {
		if load, err := proc.LoadAvg(); err == nil {
			c.load = load.Load1
		}
	}
	return c
}
