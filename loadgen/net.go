package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"mslab/results/record"
)

// netEngine drives clients as goroutines on net.Conn: for https, and where
// there is no epoll. It costs more per request than the raw engine and paces
// pauses to about a millisecond; accounting, requests and parser are the same.
type netEngine struct {
	*session
	ctx      context.Context // ends the run
	mu       sync.Mutex      // guards what follows and the tallies
	current  *tally
	draining bool
	left     int64 // requests left of all clients; < 0: no bound
	sources  int   // connections that took a source address
	before   usage
	out      outcome
	clients  []netClient
	thinker  thinker
	over     context.CancelFunc // ends the pauses, once no request is left
	paused   context.Context
	noRetry  context.Context // done once no request is sent again
	endRetry context.CancelFunc
	cut      bool     // an interruption left a request without its retry
	open     *netOpen // nil in a closed loop
}

// netClient is one closed-loop client of the net engine, or a connection of an
// open loop.
type netClient struct {
	id       int
	conn     net.Conn
	peek     syscall.RawConn // of the TCP connection beneath, nil where unknown
	left     int64
	inFlight bool  // this and the next are read by others, under mu
	start    int64 // in an open loop when the request was due
	sent     int64 // in an open loop when the connection took it
	tally    *tally
	written  bool
	kept     bool // the request went out on a kept connection
	carried  int  // requests that the connection has taken
	answer   response
	batch    [correlationSize]byte
	attempts attempts
	buf      []byte
	wanted   bool
	began    bool
	answered bool
}

// driveNet runs the load on goroutines.
func driveNet(ctx context.Context, s *session) (*outcome, error) {
	e := &netEngine{session: s, ctx: ctx, left: -1, clients: make([]netClient, s.plan.MaxConnections), thinker: newThinker(&s.plan)}
	e.paused, e.over = context.WithCancel(ctx)
	defer e.over()
	e.noRetry, e.endRetry = context.WithCancel(ctx)
	defer e.endRetry()
	if s.plan.Requests > 0 {
		e.left = s.plan.Requests
	}
	var clock sync.WaitGroup
	stop := make(chan struct{})
	if s.plan.Open() {
		e.driveOpen(func() { clock.Go(func() { e.keepTime(stop) }) })
	} else {
		e.beginWarmup()
		clock.Go(func() { e.keepTime(stop) })
		e.driveClients()
	}
	close(stop)
	clock.Wait()
	e.finish()
	return &e.out, nil
}

// driveClients runs a closed loop until every client has sent its last
// request.
func (e *netEngine) driveClients() {
	var clients sync.WaitGroup
	for i := range e.clients {
		c := &e.clients[i]
		c.id, c.left, c.buf = i, -1, make([]byte, 16<<10)
		if e.plan.RequestsPerClient > 0 {
			c.left = e.plan.RequestsPerClient
		}
		c.answer.head = e.plan.Method == "HEAD"
		c.answer.capture = e.plan.Metrics > 0
		clients.Go(func() { e.drive(c) })
	}
	clients.Wait()
}

func (e *netEngine) beginWarmup() {
	if e.plan.Warmup == 0 {
		e.beginMeasured()
		return
	}
	e.current = e.warm
	e.warm.open(e.now())
	e.beginStretch()
}

// beginStretch opens an open loop's warm-up or measured time.
func (e *netEngine) beginStretch() {
	if e.open != nil {
		e.open.begin(newStretch(&e.plan, e.current, e.current.begin, e.current == e.warm))
	}
}

// beginMeasured runs under mu, or before there are clients.
func (e *netEngine) beginMeasured() {
	if e.plan.Started != nil {
		e.plan.Started()
	}
	e.before = readUsage()
	now := e.now()
	e.measured.open(now)
	e.session.begun()
	e.current, e.out.began = e.measured, true
	if e.plan.Duration > 0 {
		e.measured.rateEnd = now + int64(e.plan.Duration)
	}
	e.beginStretch()
	for i := range e.clients {
		e.clients[i].wanted = e.clients[i].inFlight
	}
}

// keepTime ends warm-up and measured time, and shows progress.
func (e *netEngine) keepTime(stop <-chan struct{}) {
	tick := time.NewTicker(e.plan.ProgressEvery)
	defer tick.Stop()
	var phase <-chan time.Time
	if e.plan.Warmup > 0 {
		phase = time.After(e.plan.Warmup)
	} else if e.plan.Duration > 0 {
		phase = time.After(e.plan.Duration)
	}
	for {
		select {
		case <-stop:
			return
		case <-e.ctx.Done():
			return
		case <-tick.C:
			e.show()
		case <-phase:
			phase = e.nextPhase()
		}
	}
}

func (e *netEngine) show() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	e.current.advance(now)
	p := e.current.progress(now)
	p.Warmup = e.current == e.warm
	e.progress.offer(p)
}

func (e *netEngine) nextPhase() <-chan time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == e.warm {
		e.noticeAll()
		e.beginMeasured()
		if e.plan.Duration > 0 {
			return time.After(e.plan.Duration)
		}
		return nil
	}
	if e.open != nil {
		return nil // the schedule tells when it ends
	}
	e.draining = true
	e.over()
	e.endRetry()
	return nil
}

func (e *netEngine) finish() {
	now := e.now()
	out := &e.out
	out.end = now
	out.interrupted = e.ctx.Err() != nil && !e.satisfied()
	if out.began {
		out.usage = readUsage().since(e.before)
		if !out.interrupted && e.measured.lastEnd > e.measured.begin {
			out.end = max(e.measured.lastEnd, e.measured.rateEnd)
		}
		e.measured.integrate(out.end)
		e.measured.advance(out.end)
	}
	out.unfinished += e.unfinishedWaiting(out.end)
	for i := range e.clients {
		c := &e.clients[i]
		if c.inFlight {
			if c.tally == e.measured {
				out.unfinished += out.end - c.start
			}
			end := ending{start: c.start, now: now, class: record.ReadTimeout, delivered: c.written, doubt: c.attempts.doubt}
			e.session.batch(c.batch[:], end, c.tally == e.warm)
		}
		if c.wanted && !c.answered {
			out.starved++
		}
	}
	out.sources = min(e.sources, len(e.session.sources))
}

// satisfied tells whether all that was asked for has been sent and answered.
func (e *netEngine) satisfied() bool {
	if e.measured.inFlight > 0 || !e.out.began || e.cut {
		return false
	}
	if e.draining || e.open == nil && e.left == 0 {
		return true
	}
	if e.open != nil {
		return false
	}
	for i := range e.clients {
		if e.clients[i].left != 0 {
			return false
		}
	}
	return true
}

// drive sends one client's requests, one after the other.
func (e *netEngine) drive(c *netClient) {
	defer func() { c.disconnect() }()
	for e.begin(c) {
		class, ok := e.complete(c)
		if !ok {
			return // interrupted: the request stays in flight
		}
		pause := e.think()
		if class == record.ConnectRefused || class == record.NoLocalPort {
			pause = max(pause, refusedPause)
		}
		if pause > 0 && !e.pause(pause) {
			return
		}
	}
}

// complete sends a request, and again where it failed and may be; ok is false where
// the run was interrupted meanwhile.
func (e *netEngine) complete(c *netClient) (class record.Class, ok bool) {
	for {
		if class, ok = e.exchange(c); !ok {
			return class, false
		}
		pause, again := e.end(c, class)
		if !again {
			return class, true
		}
		if class == record.ConnectRefused || class == record.NoLocalPort {
			pause = max(pause, refusedPause)
		}
		due := e.now() + int64(pause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-e.noRetry.Done():
		}
		timer.Stop()
		if !e.again(c, due) {
			return class, e.ctx.Err() == nil
		}
	}
}

// again begins the next attempt, where there is still one to be.
func (e *netEngine) again(c *netClient, due int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.noRetry.Err() != nil {
		e.cut = e.cut || e.ctx.Err() != nil
		e.giveUp(&c.attempts, c.batch[:])
		return false
	}
	c.tally, c.start, c.inFlight, c.written = e.current, e.now(), true, false
	if e.open != nil {
		c.start, c.sent = max(due, c.tally.begin), c.start
	}
	c.wanted = c.wanted || e.open == nil && c.tally == e.measured
	e.resend(&c.attempts, c.tally, c.start)
	return true
}

func (e *netEngine) think() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.thinker.next()
}

// pause returns false where there is nothing left to pause for.
func (e *netEngine) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.paused.Done():
		return false
	}
}

// begin takes a request from the bounds; false means that none is left.
func (e *netEngine) begin(c *netClient) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	measured := e.current == e.measured
	if e.draining || e.ctx.Err() != nil || measured && (e.left == 0 || c.left == 0) {
		return false
	}
	if measured {
		c.wanted = true
		if c.left > 0 {
			c.left--
		}
		if e.left > 0 {
			if e.left--; e.left == 0 {
				e.over()
			}
		}
	}
	c.attempts = attempts{}
	if e.plan.named() {
		copy(c.batch[:], e.ids.next())
	}
	c.tally, c.start, c.inFlight, c.written = e.current, e.now(), true, false
	c.tally.start(c.start)
	return true
}

func (e *netEngine) end(c *netClient, class record.Class) (pause time.Duration, again bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	end := ending{start: c.start, sent: c.sent, now: e.now(), class: class, delivered: c.written}
	if c.tally == e.measured {
		end.first = !c.began
		c.began = true
		c.answered = c.answered || class.Answered()
		e.session.ended(end, c.kept)
	}
	c.inFlight = false
	c.tally.end(end)
	pause, again = e.settle(&c.attempts, c.batch[:], end, c.tally, e.noRetry.Err() != nil)
	if !again && e.open == nil && (e.draining || c.tally == e.measured && (e.left == 0 || c.left == 0)) {
		c.disconnect()
	}
	return pause, again
}

// exchange sends the request and reads its answer; ok is false where the run
// was interrupted meanwhile.
func (e *netEngine) exchange(c *netClient) (class record.Class, ok bool) {
	deadline := e.base.Add(time.Duration(c.start) + e.plan.Timeout)
	if c.conn != nil && c.dead() {
		c.disconnect()
	}
	if c.kept = c.conn != nil; !c.kept {
		if class := e.connect(c, deadline); class != "" {
			return class, e.ctx.Err() == nil
		}
	}
	last := e.plan.lastOn(c.carried)
	c.carried++
	var request []byte
	if c.attempts.again > 0 {
		request = e.scripts[c.id].repeat(c.batch[:], last)
	} else {
		request = e.scripts[c.id].take(c.batch[:], last)
	}
	_ = c.conn.SetDeadline(deadline)
	conn := c.conn
	unhook := context.AfterFunc(e.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	c.answer.reset()
	n, err := conn.Write(request)
	c.written = err == nil
	class = e.read(c, err)
	if e.ctx.Err() != nil && !class.Answered() {
		return "", false
	}
	if !class.Answered() || c.answer.close || n < len(request) || last {
		c.disconnect()
	}
	return class, true
}

// read takes the answer, even where the write failed: the server may have
// answered before it closed.
func (e *netEngine) read(c *netClient, writeErr error) record.Class {
	if writeErr != nil && !errors.Is(writeErr, syscall.EPIPE) {
		return ioClass(writeErr)
	}
	for {
		n, err := c.conn.Read(c.buf)
		rest, done, perr := c.answer.feed(c.buf[:n])
		switch {
		case perr != nil:
			return record.Malformed
		case done:
			if len(rest) > 0 {
				return record.Malformed // see feed
			}
			return e.check.class(&c.answer)
		case err == nil:
			continue
		case writeErr != nil:
			return record.BrokenPipe
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			done, class := c.answer.eof()
			if done {
				return e.check.class(&c.answer)
			}
			return class
		}
		return ioClass(err)
	}
}

func ioClass(err error) record.Class {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return record.ReadTimeout
	case errors.Is(err, syscall.EPIPE):
		return record.BrokenPipe
	}
	return record.Reset
}

// connect dials, and shakes hands for https; an empty class means success.
func (e *netEngine) connect(c *netClient, deadline time.Time) record.Class {
	d := net.Dialer{Deadline: deadline, KeepAlive: -1}
	e.mu.Lock()
	if n := len(e.session.sources); n > 0 {
		d.LocalAddr = &net.TCPAddr{IP: e.session.sources[e.sources%n].AsSlice()}
		e.sources++
	}
	e.mu.Unlock()
	conn, err := d.DialContext(e.ctx, "tcp", e.target.addr.String())
	if err != nil {
		return dialClass(err)
	}
	if sc, ok := conn.(syscall.Conn); ok {
		c.peek, _ = sc.SyscallConn()
	}
	if e.target.tls {
		t := tls.Client(conn, &tls.Config{ServerName: e.target.host, NextProtos: []string{"http/1.1"}, RootCAs: e.roots})
		ctx, cancel := context.WithDeadline(e.ctx, deadline)
		defer cancel()
		if err := t.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return handshakeClass(err)
		}
		conn = t
	}
	c.conn, c.carried = conn, 0
	e.mu.Lock()
	c.tally.connects++
	e.mu.Unlock()
	return ""
}

func dialClass(err error) record.Class {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return record.ConnectTimeout
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EMFILE):
		return record.NoLocalPort
	case errors.Is(err, syscall.ECONNRESET):
		return record.Reset
	}
	return record.ConnectRefused
}

// handshakeClass maps a failed TLS handshake: a certificate that is not
// trusted or a server that speaks no TLS is a malformed answer.
func handshakeClass(err error) record.Class {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return record.ConnectTimeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return record.Reset
	case errors.Is(err, io.EOF):
		return record.EOFBefore
	}
	return record.Malformed
}

// dead tells whether the server has closed a kept connection, or sent on it
// what nobody asked for, without taking anything from it.
func (c *netClient) dead() bool {
	// A deadline that has passed would be taken for a close.
	_ = c.conn.SetDeadline(time.Time{})
	_, encrypted := c.conn.(*tls.Conn)
	return c.peek != nil && peerClosed(c.peek, encrypted)
}

func (c *netClient) disconnect() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn, c.peek = nil, nil
	}
}
