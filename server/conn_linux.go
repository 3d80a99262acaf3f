package server

import (
	"time"

	"golang.org/x/sys/unix"

	"mslab/server/wire"
)

const (
	// lingerTime is how long a connection that ends on an error is drained, so
	// that a reset does not eat the answer.
	lingerTime = time.Second
	// flushSize is the number of answer bytes from which pipelined answers are
	// written before the next request is looked at.
	flushSize = 64 << 10
)

// blockingConn is a connection whose thread blocks in read and write.
type blockingConn struct {
	*acceptor
	*session
	fd             int
	receiveTimeout time.Duration // what SO_RCVTIMEO stands at
}

// serve answers a connection's requests until it ends, and closes it.
func (a *acceptor) serve(fd int) {
	s := a.sessions.Get().(*session)
	c := blockingConn{acceptor: a, session: s, fd: fd, receiveTimeout: a.initialTimeout}
	if c.converse() {
		c.linger()
	}
	a.close(fd)
	s.reset()
	a.sessions.Put(s)
}

// converse reports whether the client may still be sending, so that the close
// must linger.
func (c *blockingConn) converse() (linger bool) {
	idleUntil := time.Time{} // made when first needed
	for {
		switch state, request := c.wire.Next(); state {
		case wire.Ready:
			if !c.answer(request) {
				return c.flush() && !c.wire.Idle()
			}
			idleUntil = time.Time{}
			if len(c.out) < flushSize {
				continue
			}
			if !c.flush() {
				return false
			}
		case wire.Continue:
			c.out = wire.AppendContinue(c.out)
			if !c.flush() {
				return false
			}
		case wire.Failed:
			problem := c.wire.Err()
			c.fail(problem.Status, problem.Reason)
			return c.flush()
		case wire.NeedMore:
			if !c.flush() {
				return false
			}
			if more, linger := c.receive(&idleUntil); !more {
				return linger
			}
		}
	}
}

// receive reads once, within what is left of the idle time between requests and
// of the read time within one.
func (c *blockingConn) receive(until *time.Time) (more, linger bool) {
	idle := c.wire.Idle()
	if idle && c.server.stopping.Load() {
		return false, false
	}
	limit := c.initialTimeout
	if !idle {
		limit = c.server.config.ReadTimeout
	}
	n, timedOut := c.read(c.wire.ReadBuffer(), limit, until)
	switch {
	case n > 0:
		c.wire.Advance(n)
		if idle {
			*until = time.Time{} // the read time begins with the first byte
		}
		return true, false
	case timedOut && !idle:
		c.fail(408, "the request took too long to arrive")
		return false, c.flush()
	default:
		return false, false
	}
}

// read reads once. until is when the limit is reached; zero means that it
// starts now. SO_RCVTIMEO is set anew only where it stands more than a tenth of
// the limit beyond what is left, so that the common read costs no second call.
func (c *blockingConn) read(buffer []byte, limit time.Duration, until *time.Time) (n int, timedOut bool) {
	left := limit
	if until.IsZero() {
		if c.receiveTimeout != limit || !c.wire.Idle() {
			*until = time.Now().Add(limit)
		}
	} else {
		left = time.Until(*until)
	}
	for {
		if left <= 0 {
			return 0, true
		}
		if c.receiveTimeout > left+limit/10 || c.receiveTimeout < left-limit/10 {
			if err := setReceiveTimeout(c.fd, left); err != nil {
				return 0, false
			}
			c.receiveTimeout = left
		}
		before := time.Now()
		n, err := unix.Read(c.fd, buffer)
		switch err {
		case nil:
			return n, false
		case unix.EAGAIN:
			return 0, true
		case unix.EINTR:
			// With a timeout set the kernel does not restart the call after the
			// runtime's SIGURG: go on with the time left.
			left -= time.Since(before)
		default:
			return 0, false
		}
	}
}

// flush writes the answers; false means that the connection is no more.
func (c *blockingConn) flush() bool {
	out := c.out
	for len(out) > 0 {
		n, err := unix.Write(c.fd, out)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return false // the client is gone, or took too long to read (EAGAIN)
		default:
			out = out[n:]
		}
	}
	c.out = c.out[:0]
	return true
}

// linger closes the sending side and drains the other for at most lingerTime.
func (c *blockingConn) linger() {
	if unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		return
	}
	discard := c.wire.ReadBuffer()
	for deadline := time.Now().Add(lingerTime); ; {
		left := time.Until(deadline)
		if left <= 0 || c.server.stopping.Load() || setReceiveTimeout(c.fd, left) != nil {
			return
		}
		if n, err := unix.Read(c.fd, discard); n <= 0 && err != unix.EINTR {
			return
		}
	}
}
