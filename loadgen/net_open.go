package loadgen

import (
	"sync"
	"time"

	"mslab/results/record"
)

// netOpen is the open loop of the net engine: one thread notices what is due
// and hands it to the goroutine of an idle connection. All of it is under the
// engine's mu.
type netOpen struct {
	queue
	idle    []*netClient // without a request; the last used one at the end
	work    []chan due   // of each client that has a goroutine
	lowest  int          // fewest idle ones since the last trim
	trimAt  int64
	started sync.WaitGroup
}

// due is a request that a connection takes.
type due struct {
	at      int64
	stretch *stretch
}

// driveOpen runs an open loop until all that came due has ended, or the
// context has. keepTime is called once its time runs.
func (e *netEngine) driveOpen(keepTime func()) {
	o := &netOpen{queue: queue{timeout: int64(e.plan.Timeout)}, work: make([]chan due, 0, len(e.clients))}
	e.open = o
	e.measured.service, e.warm.service = newServiceTimes(), newServiceTimes()
	e.connectFirst()
	e.beginWarmup()
	keepTime()
	sharp := newSharpTimer()
	defer sharp.close()
	for e.ctx.Err() == nil {
		next, over := e.turn()
		if over {
			break
		}
		// Not longer than this at a time, so that an interruption is seen.
		sharp.sleepUntil(e.base, min(next, e.now()+int64(5*time.Millisecond)))
	}
	e.mu.Lock()
	for _, work := range o.work {
		close(work)
	}
	e.mu.Unlock()
	o.started.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.out.began {
		e.out.pace = o.latest.result(e.now(), !e.satisfied())
	}
}

// connectFirst opens the connections to start with. Those that fail are left
// to the requests, which say why.
func (e *netEngine) connectFirst() {
	var all sync.WaitGroup
	for range e.plan.Clients {
		c := e.addClient()
		if e.plan.Connection == New {
			continue
		}
		all.Go(func() {
			c.tally = e.warm
			if e.plan.Warmup == 0 {
				c.tally = e.measured
			}
			_ = e.connect(c, time.Now().Add(dialWait))
		})
	}
	all.Wait()
}

// addClient starts the goroutine of a further connection, idle at first.
func (e *netEngine) addClient() *netClient {
	o := e.open
	c := &e.clients[len(o.work)]
	work := make(chan due, 1)
	c.id, c.left, c.buf = len(o.work), -1, make([]byte, 16<<10)
	c.answer.head = e.plan.Method == "HEAD"
	c.answer.capture = e.plan.Metrics > 0
	o.work = append(o.work, work)
	o.idle = append(o.idle, c)
	o.started.Go(func() { e.serve(c, work) })
	return c
}

// turn sheds what has waited too long, hands out what is due, and returns when
// to look again.
func (e *netEngine) turn() (next int64, over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, now := e.open, e.now()
	for at, s, ok := o.tooLate(now); ok; at, s, ok = o.tooLate(now) {
		e.shed(s.tally, at)
	}
	for range noticedPerTurn {
		if s := o.latest; !s.left || s.next > now {
			break
		}
		e.takeUp(o.latest, now)
		now = e.now()
	}
	if now >= o.trimAt {
		e.trim(now)
	}
	ended := !o.latest.left && e.current == e.measured && (o.latest.end == 0 || now >= o.latest.end)
	if ended && !e.draining {
		e.draining = true
		e.over()
		if e.plan.Duration > 0 {
			e.endRetry()
		}
	}
	if e.draining && !o.waiting() {
		for _, c := range o.idle {
			c.disconnect()
		}
	}
	if e.draining && e.warm.inFlight == 0 && e.measured.inFlight == 0 && e.retries.waiting == 0 {
		return 0, true
	}
	next = now + int64(time.Second)
	if at, ok := o.wake(); ok {
		next = at
	}
	return next, false
}

// takeUp notices the next request and hands it out, where there is a
// connection for it and nobody waits for one.
func (e *netEngine) takeUp(s *stretch, now int64) {
	o := e.open
	at := s.notice(now)
	s.sendLag(now - at)
	if o.oldest() != s || s.waiting > 1 {
		s.tally.waited++
		return
	}
	if len(o.idle) == 0 && len(o.work) < len(e.clients) {
		e.addClient()
	}
	n := len(o.idle)
	if n == 0 {
		s.tally.waited++
		return
	}
	c := o.idle[n-1]
	o.idle = o.idle[:n-1]
	o.lowest = min(o.lowest, n-1)
	o.work[c.id] <- due{s.take(), s}
}

// noticeAll takes up, where the warm-up ends, what its schedule still holds.
func (e *netEngine) noticeAll() {
	if e.open == nil {
		return
	}
	for s, now := e.open.latest, e.now(); s.left; {
		e.takeUp(s, now)
	}
}

func (e *netEngine) shed(t *tally, at int64) {
	end := ending{start: at, now: at + e.open.timeout, class: record.Shed}
	if t == e.measured {
		e.session.ended(end, false)
	}
	t.end(end)
	if e.ledger != nil {
		e.session.batch(e.ids.next(), end, t == e.warm)
	}
}

// serve sends the requests that one connection is given, and then those that
// wait.
func (e *netEngine) serve(c *netClient, work <-chan due) {
	defer func() { c.disconnect() }()
	for d := range work {
		for ok := true; ok; d, ok = e.nextDue(c) {
			e.take(c, d)
			if _, ended := e.complete(c); !ended {
				return // interrupted: the request stays in flight
			}
		}
	}
}

func (e *netEngine) take(c *netClient, d due) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c.attempts = attempts{}
	if e.plan.named() {
		copy(c.batch[:], e.ids.next())
	}
	c.tally, c.start, c.sent, c.inFlight, c.written = d.stretch.tally, d.at, e.now(), true, false
}

// nextDue is the first request that waits; where none does the connection is
// idle from now on.
func (e *netEngine) nextDue(c *netClient) (due, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.open
	for at, s, ok := o.tooLate(e.now()); ok; at, s, ok = o.tooLate(e.now()) {
		e.shed(s.tally, at)
	}
	if s := o.oldest(); s.waiting > 0 && e.ctx.Err() == nil {
		return due{s.take(), s}, true
	}
	if e.draining {
		c.disconnect()
	}
	o.idle = append(o.idle, c)
	return due{}, false
}

// trim closes connections beyond those to start with that no request has
// needed for a while; the longest idle ones are first in the list.
func (e *netEngine) trim(now int64) {
	o := e.open
	o.trimAt = now + int64(trimEvery)
	open := len(o.work) - len(o.idle)
	for _, c := range o.idle {
		if c.conn != nil {
			open++
		}
	}
	surplus := min(o.lowest, open-e.plan.Clients)
	for _, c := range o.idle {
		if surplus > 0 && c.conn != nil {
			c.disconnect()
			surplus--
		}
	}
	o.lowest = len(o.idle)
}

// unfinishedWaiting is the time of the requests that an interruption has left
// waiting, up to now.
func (e *netEngine) unfinishedWaiting(now int64) int64 {
	if e.open == nil || e.open.latest.tally != e.measured {
		return 0
	}
	return e.open.latest.unfinished(now)
}
