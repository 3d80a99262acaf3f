package scenarios

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mslab/loadgen"
)

const (
	// keeperGrace is what a keeper may take beyond the time that it gives its
	// processes, to kill those that are left.
	keeperGrace = 3 * time.Second
	readyPoll   = 20 * time.Millisecond
	readyAnswer = time.Second // one question whether a command is ready
)

// foreign is what a child has that is no server of mslab's own.
type foreign struct {
	spec    SubjectSpec
	tree    *tree  // nil: its processes cannot be read
	unread  string // why
	control *os.File
	heard   keeperHeard
}

// keeperHeard is what its keeper has said of a command.
type keeperHeard struct {
	mu      sync.Mutex
	says    keeperSays
	started chan struct{} // closed: the command runs, or does not
}

func (h *keeperHeard) get() keeperSays {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.says
}

// listen reads the lines until the keeper ends.
func (h *keeperHeard) listen(status *os.File) {
	defer func() { _ = status.Close() }()
	opened := sync.OnceFunc(func() { close(h.started) })
	defer opened()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		h.mu.Lock()
		_ = json.Unmarshal(lines.Bytes(), &h.says)
		h.mu.Unlock()
		opened()
	}
}

// startSubject starts the server of a player, or finds it where it runs already.
func (r *runner) startSubject(ctx context.Context, p player) (*child, error) {
	switch {
	case p.spec.URL != "":
		return findRunning(ctx, p)
	case p.spec.Foreign():
		return startCommandOf(ctx, r.spawner, r.exe, r.scratch, p)
	}
	return startChild(ctx, r.spawner, r.exe, r.scratch, p)
}

// offer is what the generator is asked for where the player listens at base.
func (p player) offer(l Load, base string) loadgen.Plan {
	o := l.offer(base)
	if !p.spec.Foreign() {
		return o
	}
	return p.spec.request(o, base)
}

// startCommandOf runs the command of a foreign subject under a keeper and waits
// until it is ready.
func startCommandOf(ctx context.Context, sp *spawner, exe, root string, p player) (*child, error) {
	fail := func(err error) (*child, error) { return nil, fmt.Errorf("start %s: %w", p.subject.Name, err) }
	dir, err := os.MkdirTemp(root, "data-")
	if err != nil {
		return fail(fmt.Errorf("make its folder: %w", err))
	}
	port, err := portFor(p.spec)
	if err != nil {
		return fail(errors.Join(err, os.RemoveAll(dir)))
	}
	c := &child{name: p.subject.Name, dir: dir, stderr: &tail{limit: 8 << 10}, ended: make(chan struct{}), http: &http.Client{},
		foreign: &foreign{spec: p.spec, heard: keeperHeard{started: make(chan struct{})}}}
	if err := c.runKeeper(sp, p.spec.expand(port, dir, exe), port); err != nil {
		return fail(errors.Join(err, os.RemoveAll(dir)))
	}
	err = c.awaitReady(ctx, port)
	if err != nil {
		c.kill()
		c.remove()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return fail(err)
	}
	c.findTree()
	return c, nil
}

// runKeeper starts this program once more to keep the command.
func (c *child) runKeeper(sp *spawner, command []string, port int) error {
	hear, control, err := os.Pipe()
	if err != nil {
		return err
	}
	status, say, err := os.Pipe()
	if err != nil {
		return errors.Join(err, hear.Close(), control.Close())
	}
	c.cmd = exec.Command(ownProgram(), command...)
	c.cmd.Env = keeperEnv(os.Environ(), port)
	c.cmd.ExtraFiles = []*os.File{hear, say}
	c.cmd.Stdout, c.cmd.Stderr = c.stderr, c.stderr
	c.cmd.WaitDelay = time.Second // a process that got away may hold the pipes open
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	err = errors.Join(sp.do(c.cmd.Start), hear.Close(), say.Close()) // those are the keeper's
	if err != nil {
		return errors.Join(err, control.Close(), status.Close())
	}
	c.foreign.control, c.foreign.tree = control, &tree{keeper: c.cmd.Process.Pid}
	listened := make(chan struct{})
	go func() { c.foreign.heard.listen(status); close(listened) }()
	go func() {
		c.waitErr = c.cmd.Wait()
		<-listened
		close(c.ended)
	}()
	<-c.foreign.heard.started
	says := c.foreign.heard.get()
	if says.PID == 0 {
		c.kill()
		if says.Error == "" {
			return fmt.Errorf("its keeper ended (%s)%s", exitText(c.waitErr), c.stderr.quote())
		}
		return errors.New(says.Error)
	}
	c.pid = says.PID
	return nil
}

// awaitReady waits until the command is ready at a port, or at the only other
// one on which its processes listen.
func (c *child) awaitReady(ctx context.Context, port int) error {
	spec := c.foreign.spec
	ctx, cancel := context.WithTimeout(ctx, spec.readyTimeout())
	defer cancel()
	told := spec.takesPort() || spec.fixedPort() > 0
	why := errors.New("nothing was tried")
	for {
		address := pickAddress(c.foreign.tree.listening(), port, told)
		err := c.ready(ctx, address)
		if err == nil {
			c.url = "http://" + address
			return nil
		}
		if ctx.Err() == nil {
			why = err
		}
		timer := time.NewTimer(readyPoll)
		select {
		case <-c.ended:
			timer.Stop()
			return fmt.Errorf("the command ended before it was ready (%s)%s", c.endText(), c.stderr.quote())
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("it was not ready within %s: %w%s%s", spec.readyTimeout(), why, c.elsewhere(port), c.stderr.quote())
		case <-timer.C:
		}
	}
}

// pickAddress is where a command is to be reached that was told a port: the
// port's own socket, else the only other one of a command that could not be told.
func pickAddress(own []listener, port int, told bool) string {
	others := map[int]string{}
	for _, l := range own {
		if l.port == port {
			return l.address
		}
		others[l.port] = l.address
	}
	if !told && len(others) == 1 {
		for _, address := range others {
			return address
		}
	}
	return joinHostPort("127.0.0.1", port)
}

// elsewhere names the ports on which a command listens that is not ready.
func (c *child) elsewhere(port int) string {
	var ports []string
	for _, l := range c.foreign.tree.listening() {
		if text := strconv.Itoa(l.port); !slices.Contains(ports, text) {
			ports = append(ports, text)
		}
	}
	spec := c.foreign.spec
	switch {
	case len(ports) == 0 && !spec.takesPort() && spec.fixedPort() == 0:
		return fmt.Sprintf("; it listens nowhere: tell it its port by %s in the command, or have it read PORT", portWord)
	case len(ports) == 0:
		return "; it listens nowhere"
	case len(ports) > 1 && !spec.takesPort() && spec.fixedPort() == 0:
		return fmt.Sprintf("; it listens on %s: say which one it is by %s in the command or by a ready URL", strings.Join(ports, " and "), portWord)
	case !slices.Contains(ports, strconv.Itoa(port)):
		return fmt.Sprintf("; it listens on %s, not on %d", strings.Join(ports, " and "), port)
	}
	return ""
}

// ready asks once. The error says what came instead.
func (c *child) ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, readyAnswer)
	defer cancel()
	where := c.foreign.spec.readyURL(address)
	if where == "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	// A connection of its own: one that is kept would be there while the load
	// runs. Redirects are answers, too.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s answered %s", where, resp.Status)
	}
	return nil
}

// findTree checks that it is the command's own processes that listen: what
// another one does for it, such as a container's, is not in its tree.
func (c *child) findTree() {
	u, err := url.Parse(c.url)
	if err != nil {
		return
	}
	for _, l := range c.foreign.tree.listening() {
		if strconv.Itoa(l.port) == u.Port() {
			return
		}
	}
	c.foreign.unread = fmt.Sprintf("port %s is not seen to be held by a process of its command", u.Port())
}

// findRunning looks for the processes of a server that runs already.
func findRunning(ctx context.Context, p player) (*child, error) {
	fail := func(err error) (*child, error) { return nil, fmt.Errorf("reach %s: %w", p.subject.Name, err) }
	u, err := url.Parse(p.spec.URL)
	if err != nil {
		return fail(err)
	}
	port, _ := strconv.Atoi(u.Port())
	if port == 0 {
		port = map[string]int{"http": 80, "https": 443}[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, readyAnswer)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", joinHostPort(u.Hostname(), port))
	if err != nil {
		return fail(fmt.Errorf("%w; a URL is a server that runs already, so start it first", err))
	}
	remote := conn.RemoteAddr()
	_ = conn.Close()
	c := &child{name: p.subject.Name, url: p.spec.URL, stderr: &tail{}, ended: make(chan struct{}), http: &http.Client{},
		foreign: &foreign{spec: p.spec}}
	if !isLocal(remote) {
		c.foreign.unread = remote.String() + " is not on this machine"
		return c, nil
	}
	holders := holdersOf(port)
	if len(holders) == 0 {
		c.foreign.unread = fmt.Sprintf("the process that listens on port %d belongs to another user or is out of sight; as that user or as root it can be read", port)
		return c, nil
	}
	if holders = withoutAncestors(holders, processTable(), os.Getpid()); len(holders) == 0 {
		c.foreign.unread = fmt.Sprintf("the process that listens on port %d started this mslab, whose own cost would be in its figures", port)
		return c, nil
	}
	c.pid = holders[0]
	c.foreign.tree = &tree{holders: holders}
	return c, nil
}

// isLocal says whether an address is one of this machine's.
func isLocal(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return false
	}
	if tcp.IP.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		return ok && network.IP.Equal(tcp.IP)
	})
}

// portFor is the port that a command is told. One that it is bound to must not
// be taken: the load would go to whoever has it.
func portFor(s SubjectSpec) (int, error) {
	port := s.fixedPort()
	if port == 0 {
		return freePort()
	}
	for _, l := range listeners() {
		if l.port == port {
			return 0, fmt.Errorf("port %d is taken already; all subjects of a block run at once, so give each a port of its own, by %s in its command if it takes one", port, portWord)
		}
	}
	return port, nil
}

// freePort finds a port on which nobody listens, below those from which the
// kernel takes the generator's.
func freePort() (int, error) {
	const low, high = 10240, 32768
	var err error
	for range 100 {
		port := low + rand.IntN(high-low)
		// The wildcard is refused where any address has the port.
		var l net.Listener
		if l, err = net.Listen("tcp", ":"+strconv.Itoa(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port between %d and %d: %w", low, high, err)
}

func joinHostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// endText says how a child's process ended.
func (c *child) endText() string {
	if c.foreign == nil {
		return exitText(c.waitErr)
	}
	if ended := c.foreign.heard.get().Ended; ended != "" {
		return ended
	}
	return "its keeper: " + exitText(c.waitErr)
}

// kill ends a command at once, with all of its processes.
func (c *child) kill() {
	_ = c.foreign.control.Close()
	select {
	case <-c.ended:
	case <-time.After(keeperGrace):
		c.killKeeper()
	}
}

// killKeeper is for a keeper that does not do its work, stopped by a user, say:
// what is below it is killed from here, but for what this user may not kill.
func (c *child) killKeeper() {
	for limit := time.Now().Add(time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		for _, p := range descendantsOf(c.cmd.Process.Pid) {
			_ = unix.Kill(p.pid, unix.SIGKILL)
		}
		if left := slices.DeleteFunc(descendantsOf(c.cmd.Process.Pid), func(p process) bool { return p.state == "Z" }); len(left) == 0 {
			break
		}
	}
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// endForeign ends a command in order; a server that runs already is left alone.
// The error says what was wrong: that it ended before, or had to be killed. How
// it ends by SIGTERM is its own affair.
func (c *child) endForeign() error {
	if c.cmd == nil {
		return nil
	}
	died := !c.alive()
	_, _ = c.foreign.control.Write([]byte{keeperStop})
	defer func() { _ = c.foreign.control.Close() }()
	timer := time.NewTimer(stopTimeout + keeperGrace)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
		c.killKeeper()
		return fmt.Errorf("the keeper of %s did not end within %s and was killed, with what was below it", c.name, stopTimeout+keeperGrace)
	}
	switch n := c.foreign.heard.get().Killed; {
	case died:
		return fmt.Errorf("%s ended by itself (%s)%s", c.name, c.endText(), c.stderr.quote())
	case n == 1:
		return fmt.Errorf("a process of %s did not end within %s of SIGTERM and was killed%s", c.name, stopTimeout, c.stderr.quote())
	case n > 1:
		return fmt.Errorf("%d processes of %s did not end within %s of SIGTERM and were killed%s", n, c.name, stopTimeout, c.stderr.quote())
	}
	return nil
}

// greet reads a server's memory before its first load, and notes what will not
// be known of it.
func (r *runner) greet(c *child) error {
	switch {
	case c.foreign == nil:
		m, err := readMemory(c.pid)
		c.idleRSS = m.rss
		return err
	case c.foreign.unread != "":
		r.note(fmt.Sprintf("CPU, memory, threads and context switches of %s are not known: %s.", c.name, c.foreign.unread))
		return nil
	}
	at, err := readTree(c.foreign.tree, true)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.idleRSS, _, _ = at.memoryOf()
	return nil
}

// absent puts a foreign subject that did not start in a later block in its
// place, so that the run goes on with the others.
func (r *runner) absent(cells []*cell, p player, why error) []*cell {
	if n := len(cells); n > 0 && cells[n-1].player.subject.Name == p.subject.Name {
		cells[n-1].child.failed = why.Error()
		return cells
	}
	c := &child{name: p.subject.Name, stderr: &tail{}, http: &http.Client{}, ended: make(chan struct{}), failed: why.Error(),
		foreign: &foreign{spec: p.spec, unread: "it did not start"}}
	return append(cells, &cell{player: p, child: c})
}
