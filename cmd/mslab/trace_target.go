package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"

	"mslab/profile"
	"mslab/results"
	"mslab/scenarios"
	"mslab/server/registry"
)

// traced is the process that a view looks at.
type traced struct {
	pid   int
	title string
	// ended is closed once the process has ended.
	ended <-chan struct{}
	// requests counts what the process serves.
	requests requestCount
	// command is a command of the user that waits to be let run; nil for a
	// process that runs already.
	command *tracedCommand
}

// tracedCommand is a command while it is traced.
type tracedCommand struct {
	args  []string
	held  *command
	begun bool // it is waited for
	ended chan struct{}
	end   commandEnd // valid after ended, as is err
	err   error      // of letting it run
}

// close ends the command where it still runs, and waits for whoever waits for it.
func (c *tracedCommand) close() {
	c.held.close()
	if c.begun {
		<-c.ended
	}
}

// failed says how the command failed, or that it could not be let run; nil for one
// that ended with status 0 or was never waited for.
func (c *tracedCommand) failed() error {
	if !c.begun {
		return nil
	}
	<-c.ended
	if c.err != nil {
		return c.err
	}
	return c.end.Err()
}

// begin lets the command run, once the tracer stands. Where nothing waits it
// does nothing.
func (t *traced) begin(ctx context.Context) {
	if c := t.command; c != nil {
		c.begun = true
		go func() {
			c.end, c.err = c.held.wait(ctx)
			close(c.ended)
		}()
	}
}

// hasEnded says whether the process has ended.
func (t *traced) hasEnded() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// outcome says, in words and for programs, how the process has ended; both are
// empty for one that still runs.
func (t *traced) outcome() (string, *results.TracedCommand) {
	c := t.command
	switch {
	case !t.hasEnded() && c == nil:
		return "", nil
	case !t.hasEnded():
		return "", &results.TracedCommand{Args: c.args, ExitCode: -1}
	case c == nil:
		return fmt.Sprintf("The process (pid %d) ended while it was traced.", t.pid), nil
	}
	code := exitCodeOf(c.end)
	how := fmt.Sprintf("ended with exit code %d", code)
	if status, ok := signaled(c.end); ok {
		how = "was ended by " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("The command %s after %s.", how, results.FormatNS(float64(c.end.Length))),
		&results.TracedCommand{Args: c.args, ExitCode: code}
}

// exitCodeOf is what a shell would say: 128 + N where signal N ended it.
func exitCodeOf(end commandEnd) int {
	if end.state == nil {
		return -1
	}
	if status, ok := signaled(end); ok {
		return 128 + int(status.Signal())
	}
	return end.state.ExitCode()
}

// signaled gives the status of a command that a signal ended.
func signaled(end commandEnd) (syscall.WaitStatus, bool) {
	if end.state == nil {
		return 0, false
	}
	status, ok := end.state.Sys().(syscall.WaitStatus)
	return status, ok && status.Signaled()
}

// lookAtProcess is what a view does with a process. ctx ends early where there is
// nothing to look at any more.
type lookAtProcess func(ctx context.Context, t *traced) error

// with finds or starts what is meant, and looks at it.
func (o *traceOptions) with(ctx context.Context, stdout, stderr io.Writer, look lookAtProcess) error {
	switch {
	case o.command != nil:
		return o.withCommand(ctx, stdout, stderr, look)
	case o.phase != "":
		return o.underLoad(ctx, stderr, look)
	case o.url != "":
		return o.withAdmin(ctx, look)
	case o.pid != 0:
		if entry, err := serverByPID(registry.Dir(), o.pid); err == nil {
			return o.withEntry(ctx, entry, look)
		}
		title, err := processTitle(o.pid)
		if err != nil {
			return err
		}
		return withProcess(ctx, o.pid, title, requestCount{why: "it is no server that mslab serve has registered for this user"}, look)
	}
	entry, err := liveServer(registry.Dir(), choice{otherwise: "let --phase N start one under load, or give --pid or -- COMMAND", by: "--pid"})
	if err != nil {
		return err
	}
	return o.withEntry(ctx, entry, look)
}

// withProcess looks at a process that runs.
func withProcess(ctx context.Context, pid int, title string, requests requestCount, look lookAtProcess) error {
	ended, stop, err := watchEnd(pid)
	if err != nil {
		return err
	}
	defer stop()
	return look(ctx, &traced{pid: pid, title: title, ended: ended, requests: requests})
}

// withEntry looks at a server of the registry. Without its counters it is a
// process like any other.
func (o *traceOptions) withEntry(ctx context.Context, e registry.Entry, look lookAtProcess) error {
	title := fmt.Sprintf("phase %d %s (pid %d)", e.Phase, e.Name, e.PID)
	if e.Admin == "" {
		return withProcess(ctx, e.PID, title, requestCount{why: `the server has no admin listener; start it without --admin ""`}, look)
	}
	admin, err := profile.OpenAdmin(ctx, e.Admin)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return withProcess(ctx, e.PID, title, requestCount{why: err.Error()}, look)
	}
	defer admin.Close()
	return withProcess(ctx, e.PID, title, requestCount{admin: admin}, look)
}

// withAdmin looks at the server whose admin listener is at an address.
func (o *traceOptions) withAdmin(ctx context.Context, look lookAtProcess) error {
	if err := profile.CheckAddress(o.url); err != nil {
		return usage(err)
	}
	admin, err := profile.OpenAdmin(ctx, o.url)
	if err != nil {
		return err
	}
	defer admin.Close()
	pid, err := processAt(admin.URL())
	if err != nil {
		return fmt.Errorf("find the process behind %s: %w", admin.URL(), err)
	}
	return withProcess(ctx, pid, fmt.Sprintf("the server at %s (pid %d)", admin.URL(), pid), requestCount{admin: admin}, look)
}

// processAt finds the process with an admin listener: in the registry, or, where
// it did not register, by its socket.
func processAt(admin string) (int, error) {
	entries, err := registry.List(registry.Dir())
	if i := slices.IndexFunc(entries, func(e registry.Entry) bool { return e.Admin == admin }); err == nil && i >= 0 {
		return entries[i].PID, nil
	}
	return listenerOf(admin)
}

// underLoad looks at a server that is started for it.
func (o *traceOptions) underLoad(ctx context.Context, stderr io.Writer, look lookAtProcess) error {
	counted, err := scenarios.UnderLoad(ctx, o.load, func(ctx context.Context, s scenarios.LoadedServer) error {
		admin, err := profile.OpenAdmin(ctx, s.Admin)
		if err != nil {
			return err
		}
		defer admin.Close()
		title := fmt.Sprintf("phase %d %s under load (%d clients, %d metrics a body, connections %s)",
			*s.Subject.Phase, s.Subject.Name, s.Load.Clients, s.Load.Metrics, map[bool]string{true: "kept", false: "new"}[s.Load.Connection == "keep"])
		return withProcess(ctx, s.PID, title, requestCount{admin: admin}, look)
	})
	if err != nil {
		return err
	}
	return tellFailures(stderr, counted)
}

// withCommand starts a command that waits for its tracer.
func (o *traceOptions) withCommand(ctx context.Context, stdout, stderr io.Writer, look lookAtProcess) error {
	machine := o.format == formatJSON || o.format == formatCSV
	held, err := startCommand(o.command, streamsOf(plainWriter(stdout), plainWriter(stderr), machine))
	if err != nil {
		return err
	}
	c := &tracedCommand{args: o.command, held: held, ended: make(chan struct{})}
	defer c.close()
	t := &traced{pid: held.PID, title: commandTitle(o.command), ended: c.ended, command: c,
		requests: requestCount{why: "a command is no server of mslab serve"}}
	if err := look(ctx, t); err != nil {
		return err
	}
	return c.failed()
}

// titleLength is what a title has room for, in letters.
const titleLength = 100

// commandTitle is a command on one line, as it may be typed, or the begin of it.
func commandTitle(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = arg
		if arg == "" || strings.ContainsFunc(arg, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
			quoted[i] = strconv.Quote(arg)
		}
	}
	title := []rune(strings.Join(quoted, " "))
	if len(title) > titleLength {
		return string(title[:titleLength-1]) + "…"
	}
	return string(title)
}

// requestCount counts the requests of a server from its own counters.
type requestCount struct {
	admin *profile.Admin // nil where nothing tells
	why   string         // why it is nil

	first, last int64
}

// begin reads the counter when the tracer has begun.
func (c *requestCount) begin(ctx context.Context) error {
	if c.admin == nil {
		return nil
	}
	n, err := c.admin.Requests(ctx)
	if err != nil {
		return err
	}
	c.first, c.last = n, n
	return nil
}

// read returns the requests of a window; nil where the server does not tell, for
// the reason that is in why then.
func (c *requestCount) read(ctx context.Context, window string) *int64 {
	if c.admin == nil {
		return nil
	}
	n, err := c.admin.Requests(ctx)
	if err != nil {
		c.why = err.Error()
		return nil
	}
	since := n - c.first
	if window == results.WindowInterval {
		since = n - c.last
	}
	c.last = n
	return &since
}

// note says why requests are not known.
func (c *requestCount) note() string { return "No figures by request: " + c.why + "." }
