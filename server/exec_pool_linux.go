package server

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mslab/server/wire"
)

// poolWorkers is the original's number of worker threads.
const poolWorkers = 16

// execPool lets 16 threads take connections from a queue. With Guard queue it
// holds 10,000, and the acceptor answers 503 beyond; with none a connection
// waits in the kernel until a worker is free.
type execPool struct {
	*acceptor
	bounded bool
	queue   chan int
	closer  *closer
}

func newExecPool(a *acceptor, guard string) *execPool {
	e := &execPool{acceptor: a, bounded: guard == "queue", queue: make(chan int)}
	if e.bounded {
		e.queue = make(chan int, guardCapacity)
	}
	return e
}

func (e *execPool) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e.closer = startCloser(e.acceptor)
	defer e.closer.stop()
	var workers sync.WaitGroup
	for range poolWorkers {
		workers.Go(e.worker)
	}
	defer workers.Wait()
	defer close(e.queue)
	for {
		fd, err := e.accept()
		if err != nil {
			return err
		}
		e.hand(fd)
	}
}

func (e *execPool) hand(fd int) {
	if !e.bounded {
		e.queue <- fd
		return
	}
	select {
	case e.queue <- fd:
	default:
		e.server.counters.overloaded.Add(1)
		e.closer.answerOverloaded(fd)
	}
}

func (e *execPool) worker() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for fd := range e.queue {
		e.serve(fd)
	}
}

// closer lingers on refused connections, all in one thread, so that the
// acceptor does not wait for any of them.
type closer struct {
	*acceptor
	refused chan int
	done    sync.WaitGroup
	answer  []byte
}

// closerCapacity bounds the connections that linger, and those that wait to;
// beyond it they are closed at once.
const closerCapacity = 1024

func startCloser(a *acceptor) *closer {
	c := &closer{acceptor: a, refused: make(chan int, closerCapacity)}
	c.answer = wire.AppendResponse(nil, &wire.Response{
		Status: 503, Body: appendProblem(nil, "overloaded"), RetryAfter: 1, Close: true,
	})
	c.done.Go(c.run)
	return c
}

// answerOverloaded answers 503 without reading the request.
func (c *closer) answerOverloaded(fd int) {
	// A fresh socket's buffer takes the answer whole or the client is gone.
	if _, err := unix.SendmsgN(fd, c.answer, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); err != nil {
		c.close(fd)
		return
	}
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	select {
	case c.refused <- fd:
	default:
		c.close(fd)
	}
}

func (c *closer) stop() {
	close(c.refused)
	c.done.Wait()
}

type lingering struct {
	fd       int
	deadline time.Time
}

// run drains the refused connections until their client closes or lingerTime
// has passed.
func (c *closer) run() {
	var waiting []lingering
	discard := make([]byte, 16<<10)
	for open := true; open || len(waiting) > 0; {
		waiting, open = c.collect(waiting, open)
		now := time.Now()
		kept := waiting[:0]
		for _, l := range waiting {
			n, _, err := unix.Recvfrom(l.fd, discard, unix.MSG_DONTWAIT)
			ended := n == 0 && err == nil || err != nil && err != unix.EAGAIN && err != unix.EINTR
			if ended || now.After(l.deadline) || c.server.stopping.Load() {
				c.close(l.fd)
				continue
			}
			kept = append(kept, l)
		}
		waiting = kept
	}
}

// collect takes what was refused, waiting for the first where none lingers and
// for a moment where some do.
func (c *closer) collect(waiting []lingering, open bool) ([]lingering, bool) {
	if len(waiting) == 0 {
		fd, ok := <-c.refused
		if !ok {
			return waiting, false
		}
		waiting = append(waiting, lingering{fd, time.Now().Add(lingerTime)})
	} else {
		time.Sleep(time.Millisecond)
	}
	for open && len(waiting) < closerCapacity {
		select {
		case fd, ok := <-c.refused:
			if !ok {
				return waiting, false
			}
			waiting = append(waiting, lingering{fd, time.Now().Add(lingerTime)})
		default:
			return waiting, open
		}
	}
	return waiting, open
}
