package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 10 * time.Second // from exec to both addresses on stdout
	stopTimeout  = 5 * time.Second  // from SIGTERM to the end
	adminTimeout = 2 * time.Second  // one reading of the counters
)

// child is a server process that plays one subject in one block.
type child struct {
	name    string
	cmd     *exec.Cmd
	pid     int
	dir     string // its data folder
	url     string // http://HOST:PORT of the ingest listener
	admin   string
	http    *http.Client
	stdout  *addresses
	stderr  *tail
	ended   chan struct{} // closed once it has ended and is reaped
	waitErr error         // valid after ended
	idleRSS int64
	failed  string   // why nothing more can be measured of it; "" while it can
	foreign *foreign // nil for a server of mslab's own
}

// startChild runs EXE serve for a player and waits until it listens.
func startChild(ctx context.Context, sp *spawner, exe, root string, p player) (*child, error) {
	dir, err := os.MkdirTemp(root, "data-")
	if err != nil {
		return nil, fmt.Errorf("start %s: make its data folder: %w", p.subject.Name, err)
	}
	c := &child{name: p.subject.Name, dir: dir, stdout: newAddresses(), stderr: &tail{limit: 8 << 10}, ended: make(chan struct{}),
		http: adminClient()}
	c.cmd = exec.Command(exe, serveArgs(p, dir)...)
	c.cmd.Dir = root
	c.cmd.Env = childEnv(os.Environ())
	c.cmd.Stdout, c.cmd.Stderr = c.stdout, c.stderr
	// A group of its own keeps the terminal's Ctrl-C from it: the runner
	// decides when it stops. Go checks in the child that its parent still
	// lives after the death signal is armed.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := sp.do(c.cmd.Start); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("start %s: %w", p.subject.Name, err)
	}
	c.pid = c.cmd.Process.Pid
	go func() {
		c.waitErr = c.cmd.Wait()
		close(c.ended)
	}()
	if err := c.await(ctx); err != nil {
		_ = c.cmd.Process.Kill()
		<-c.ended
		c.remove()
		return nil, err
	}
	return c, nil
}

func adminClient() *http.Client {
	return &http.Client{Timeout: adminTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
}

func serveArgs(p player, dir string) []string {
	flags := p.flags
	args := []string{"serve", "--phase", p.phase, "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--data", filepath.Join(dir, "data"), "--register=false"}
	if _, delayed := flags["sink-delay"]; delayed {
		args = append(args, "--fault-hooks")
	}
	for _, flag := range sortedKeys(flags) {
		args = append(args, "--"+flag+"="+flags[flag])
	}
	return args
}

// childEnv drops what would override a recipe from outside.
func childEnv(env []string) []string {
	kept := make([]string, 0, len(env))
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", SandboxVariable:
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}

// await waits for the two lines on stdout.
func (c *child) await(ctx context.Context) error {
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case <-c.stdout.complete:
		c.url, c.admin = c.stdout.found()
		return nil
	case <-c.ended:
		return fmt.Errorf("start %s: the server ended before it listened (%s)%s", c.name, exitText(c.waitErr), c.stderr.quote())
	case <-timer.C:
		return fmt.Errorf("start %s: the server did not say within %s where it listens%s", c.name, startTimeout, c.stderr.quote())
	case <-ctx.Done():
		return ctx.Err()
	}
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// alive says whether the process still runs.
func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// cpu reads the CPU clock of the server, or those of a foreign one's processes.
func (c *child) cpu() (time.Duration, error) {
	switch {
	case c.foreign == nil:
		return readCPU(c.pid)
	case c.foreign.unread != "":
		return 0, errors.New(c.foreign.unread)
	}
	return c.foreign.tree.clocks(), nil
}

// counters reads the server's own counters from the admin listener; a foreign
// one has none.
func (c *child) counters(ctx context.Context) (map[string]int64, error) {
	if c.foreign != nil {
		return nil, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read the counters of %s: %w", c.name, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the counters of %s: %w", c.name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the counters of %s: the server answered %s", c.name, resp.Status)
	}
	var counters map[string]int64
	if err := json.NewDecoder(resp.Body).Decode(&counters); err != nil {
		return nil, fmt.Errorf("read the counters of %s: %w", c.name, err)
	}
	return counters, nil
}

// stop ends the server, as end does, and removes its folder.
func (c *child) stop() error {
	defer c.remove()
	return c.end()
}

// end ends the server with SIGTERM and checks that it ended well; otherwise it
// is killed. The error says what was wrong.
func (c *child) end() error {
	if c.foreign != nil {
		return c.endForeign()
	}
	died := !c.alive()
	if !died {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
		_ = c.cmd.Process.Kill()
		<-c.ended
		return fmt.Errorf("%s did not end within %s of SIGTERM and was killed%s", c.name, stopTimeout, c.stderr.quote())
	}
	if died {
		return fmt.Errorf("%s ended by itself (%s)%s", c.name, exitText(c.waitErr), c.stderr.quote())
	}
	if c.waitErr != nil {
		return fmt.Errorf("%s ended badly after SIGTERM (%s)%s", c.name, exitText(c.waitErr), c.stderr.quote())
	}
	return nil
}

func (c *child) remove() {
	c.http.CloseIdleConnections()
	_ = os.RemoveAll(c.dir)
}

// stopAll stops children at once, so that the slowest decides how long it
// takes.
func stopAll(children []*child) error {
	err := endAll(children)
	for _, c := range children {
		c.remove()
	}
	return err
}

// endAll ends children at once and leaves their folders.
func endAll(children []*child) error {
	errs := make([]error, len(children))
	var group sync.WaitGroup
	for i, c := range children {
		group.Go(func() { errs[i] = c.end() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// addresses finds the two addresses in a server's stdout and drops the rest.
type addresses struct {
	mu         sync.Mutex
	line       []byte
	url, admin string
	complete   chan struct{} // closed once both are known
}

func newAddresses() *addresses { return &addresses{complete: make(chan struct{})} }

func (a *addresses) Write(data []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.admin != "" {
		return len(data), nil
	}
	a.line = append(a.line, data...)
	for a.admin == "" {
		end := bytes.IndexByte(a.line, '\n')
		if end < 0 {
			break
		}
		words := strings.Fields(string(a.line[:end]))
		a.line = a.line[end+1:]
		switch {
		case len(words) >= 2 && words[0] == "listening":
			a.url = words[1]
		case len(words) == 2 && words[0] == "admin" && a.url != "":
			a.admin = words[1]
			close(a.complete)
		}
	}
	return len(data), nil
}

func (a *addresses) found() (url, admin string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.url, a.admin
}

// tail keeps the end of what is written to it.
type tail struct {
	mu    sync.Mutex
	limit int
	data  []byte
}

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, data...)
	if over := len(t.data) - t.limit; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(data), nil
}

// quote ends an error message with what the server said last, in one line.
func (t *tail) quote() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.data)), "\n")
	if lines[0] == "" && len(lines) == 1 {
		return ""
	}
	return ": " + strings.Join(lines[max(0, len(lines)-3):], " | ")
}
