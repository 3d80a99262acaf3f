package loadgen

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"mslab/results/record"
)

const readEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// begin starts a client's next request. Its clock runs from here, before the
// socket is made: a SYN that waits is part of the latency.
func (w *worker) begin(id int, now int64) {
	c := &w.clients[id]
	if c.state != resting {
		return
	}
	if c.attempts.waits {
		w.again(id, c, now)
		return
	}
	if w.loop != nil {
		w.loop.serve(id, c)
		return
	}
	if !w.mayStart(c) {
		w.retire(id)
		return
	}
	c.state, c.attempts = connecting, attempts{}
	w.spend(c)
	c.tally, c.start, c.expire = w.current, now, now+int64(w.plan.Timeout)
	c.wanted = c.wanted || c.tally == w.measured
	c.tally.start(now)
	w.launch(id, c)
}

// again sends a request that failed once more. In an open loop it came due when its
// pause was over.
func (w *worker) again(id int, c *client, now int64) {
	c.state = connecting
	c.tally, c.start = w.current, now
	if w.loop != nil {
		c.start, c.sent = max(c.resume, w.current.begin), now
	}
	c.expire = c.start + int64(w.plan.Timeout)
	c.wanted = c.wanted || c.tally == w.measured
	w.resend(&c.attempts, c.tally, c.start)
	w.launch(id, c)
}

// launch sends the request that begins, on the connection that there is or a
// new one.
func (w *worker) launch(id int, c *client) {
	retry := c.attempts.again > 0
	if w.scripts[id].idAt != nil && !retry {
		copy(c.batch[:], w.ids.next())
	}
	if c.fd < 0 {
		c.carried = 0
	}
	c.last = w.plan.lastOn(c.carried)
	c.carried++
	c.written, c.broken = 0, false
	if retry {
		c.request = w.scripts[id].repeat(c.batch[:], c.last)
	} else {
		c.request = w.scripts[id].take(c.batch[:], c.last)
	}
	c.answer.reset()
	if !w.expiry.has(id) {
		w.expiry.set(id, c.expire)
	}
	if c.reused = c.fd >= 0; c.reused {
		c.state = sending
		w.send(id, c)
		return
	}
	w.open(id, c)
}

// open connects and sends the request in flight.
func (w *worker) open(id int, c *client) {
	c.state = connecting
	if class, err := w.connect(id, c); err != nil {
		w.fail(id, c, class, w.now())
		return
	}
	w.send(id, c)
}

// connect opens a socket and starts to connect it.
func (w *worker) connect(id int, c *client) (record.Class, error) {
	family := unix.AF_INET6
	if w.target.addr.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		// No descriptor or no memory is, like no port, a limit of this side.
		return record.NoLocalPort, fmt.Errorf("open a socket: %w", err)
	}
	c.fd, c.hup, c.writable = fd, false, true
	w.connected++
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := w.bindSource(fd); err != nil {
		return record.NoLocalPort, err
	}
	if err := unix.Connect(fd, w.to); err != nil && err != unix.EINPROGRESS {
		return connectClass(err), err
	}
	// Registered after connect: before it, epoll would report a hang-up.
	if err := w.poller.add(fd, int32(id), c.generation, readEvents|unix.EPOLLOUT); err != nil {
		return record.NoLocalPort, err
	}
	return "", nil
}

// bindSource takes the next source address; the kernel chooses the port when
// it knows the destination, so that one port serves many destinations.
func (w *worker) bindSource(fd int) error {
	if len(w.sources) == 0 {
		return nil
	}
	source := w.sources[w.connects%len(w.sources)]
	w.connects++
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("bind to a source address: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}); err != nil {
		return fmt.Errorf("bind to source address %s: %w", source, err)
	}
	return nil
}

// socketAddress is the form that connect takes.
func socketAddress(to netip.AddrPort) (unix.Sockaddr, error) {
	addr, port := to.Addr(), int(to.Port())
	if addr.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: addr.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: port, Addr: addr.As16()}
	if zone := addr.Zone(); zone != "" {
		link, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, fmt.Errorf("look up the zone of %s: %w", addr, err)
		}
		sa.ZoneId = uint32(link.Index)
	}
	return sa, nil
}

// connectClass maps what connect says. A network that cannot be reached or a
// firewall that forbids it refuses, too.
func connectClass(err error) record.Class {
	switch err {
	case unix.EADDRNOTAVAIL, unix.EADDRINUSE, unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return record.NoLocalPort
	case unix.ETIMEDOUT:
		return record.ConnectTimeout
	case unix.ECONNRESET, unix.EPIPE:
		return record.Reset
	}
	return record.ConnectRefused
}

// send writes what is left of the request. On a socket that still connects it
// doubles as the question whether it has: over loopback the handshake is
// usually over by the time connect returns.
func (w *worker) send(id int, c *client) {
	for c.written < len(c.request) {
		n, errno := send(c.fd, c.request[c.written:])
		if errno == unix.EAGAIN {
			w.awaitWritable(id, c)
			return
		}
		if errno != 0 {
			w.sendFailed(id, c, errno)
			return
		}
		if c.state == connecting {
			c.state = sending
			c.tally.connects++
		}
		c.written += n
	}
	c.state = waiting
}

func (w *worker) awaitWritable(id int, c *client) {
	if c.writable {
		return
	}
	c.writable = true
	if err := w.poller.modify(c.fd, int32(id), c.generation, readEvents|unix.EPOLLOUT); err != nil {
		w.fail(id, c, record.BrokenPipe, w.now())
	}
}

func (w *worker) sendFailed(id int, c *client, errno unix.Errno) {
	switch {
	case c.state == connecting:
		w.fail(id, c, connectClass(errno), w.now())
	case c.reused && c.written == 0:
		// The server closed while the client paused, and nothing of this
		// request has gone out.
		c.reused = false
		w.disconnect(c)
		c.carried = 1
		w.open(id, c)
	case errno == unix.EPIPE:
		// The server closed first. An answer that it sent before is worth more
		// than the broken pipe.
		c.broken = true
		w.read(id, c)
	default:
		w.fail(id, c, record.Reset, w.now())
	}
}

// handle acts on a connection's events.
func (w *worker) handle(id int, c *client, events uint32) {
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.hup = true
	}
	switch c.state {
	case connecting, sending:
		generation := c.generation
		if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			w.send(id, c)
		}
		if c.generation == generation && (c.state == sending || c.state == waiting) &&
			events&^unix.EPOLLOUT != 0 {
			w.read(id, c)
		}
	case waiting:
		if events&^unix.EPOLLOUT != 0 {
			w.read(id, c)
		}
	case dialing:
		w.loop.dialed(id, c)
	case resting, closing:
		if events&^unix.EPOLLOUT != 0 {
			w.idleEvent(id, c)
		}
	}
}

// readTurns is how many full buffers a connection may take in one turn.
const readTurns = 16

// read takes what has arrived of the answer. An answer that pours in without
// end leaves the loop its turn: its timeout, and the other clients, are due.
func (w *worker) read(id int, c *client) {
	for turn := 0; ; turn++ {
		if turn == readTurns {
			// Registered anew, the connection reports again what is still there.
			if w.poller.modify(c.fd, int32(id), c.generation, readEvents) == nil {
				c.writable = false
				return
			}
		}
		n, errno := receive(c.fd, w.buf)
		switch {
		case errno == unix.EAGAIN:
			if c.broken {
				w.fail(id, c, record.BrokenPipe, w.now())
			}
			return
		case errno != 0:
			w.fail(id, c, c.failure(readClass(errno)), w.now())
			return
		case n == 0:
			c.hup = true
			if done, class := c.answer.eof(); done {
				w.complete(id, c, false)
			} else {
				w.fail(id, c, c.failure(class), w.now())
			}
			return
		}
		rest, done, err := c.answer.feed(w.buf[:n])
		switch {
		case err != nil:
			w.fail(id, c, record.Malformed, w.now())
			return
		case done:
			w.complete(id, c, len(rest) > 0)
			return
		case n < len(w.buf) && !c.hup && !c.broken:
			return // drained; what comes later is a new edge
		}
	}
}

// failure is the class of a connection that ended early: the broken pipe came
// first.
func (c *client) failure(class record.Class) record.Class {
	if c.broken {
		return record.BrokenPipe
	}
	return class
}

func readClass(errno unix.Errno) record.Class {
	if errno == unix.ETIMEDOUT {
		return record.ReadTimeout
	}
	return record.Reset
}

// complete ends a request with its whole answer. surplus tells that more bytes
// came with it: where no other request is out, the answer is not as long as it
// said, and what it says is not to be trusted.
func (w *worker) complete(id int, c *client, surplus bool) {
	now := w.now()
	w.clock = now
	sent := c.state == waiting
	class := w.check.class(&c.answer)
	if surplus {
		class = record.Malformed // see feed
	}
	w.end(c, class, now)
	announced := c.answer.close && !c.hup
	last := !c.attempts.waits && !w.mayStart(c)
	switch {
	case last:
		c.state = resting
		w.retire(id)
		return
	case announced && sent && !surplus:
		c.state = closing
		w.pace.set(id, now+int64(closeWait))
		w.idleEvent(id, c)
		return
	case c.answer.close || c.last || !sent || surplus:
		w.disconnect(c)
	case c.hup:
		w.disconnect(c) // closed behind a kept answer: nothing is lost, reopen
	}
	w.rest(id, c, now)
}

// fail ends a request without an answer, and its connection.
func (w *worker) fail(id int, c *client, class record.Class, now int64) {
	w.clock = now
	w.end(c, class, now)
	if class == record.ConnectRefused || class == record.NoLocalPort {
		c.resume = max(c.resume, now+int64(refusedPause))
	}
	w.disconnect(c)
	w.rest(id, c, now)
}

// end accounts for the request in flight, and says when the next is due, or the
// same again.
func (w *worker) end(c *client, class record.Class, now int64) {
	e := ending{start: c.start, sent: c.sent, now: now, class: class, delivered: c.state == waiting}
	if c.tally == w.measured {
		e.first = !c.began
		c.began = true
		c.answered = c.answered || class.Answered()
		w.session.ended(e, c.reused)
	}
	c.tally.end(e)
	pause, again := w.settle(&c.attempts, c.batch[:], e, c.tally, w.noRetries())
	if !again {
		pause = w.thinker.next()
	}
	c.resume = now + int64(pause)
}

// idleEvent looks at a connection without a request: its end is expected in
// closing, and harmless in a pause. Anything else that arrives was not asked
// for, so that the connection cannot be trusted any more.
func (w *worker) idleEvent(id int, c *client) {
	n, errno := receive(c.fd, w.buf)
	if errno == unix.EAGAIN {
		return
	}
	if c.state == closing {
		if n > 0 && errno == 0 {
			return // surplus before the close
		}
		w.disconnect(c)
		w.pace.remove(id)
		w.clock = w.now()
		w.rest(id, c, w.clock)
		return
	}
	w.disconnect(c)
}

// disconnect closes the connection, where there is one.
func (w *worker) disconnect(c *client) {
	if c.fd < 0 {
		return
	}
	_ = unix.Close(c.fd)
	c.fd = -1
	c.generation++
	w.connected--
}
