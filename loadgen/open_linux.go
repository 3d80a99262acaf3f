package loadgen

import (
	"time"

	"golang.org/x/sys/unix"

	"mslab/results/record"
)

// openLoop starts the requests of a worker when they come due, whatever the
// server does. Its clients are connections: those without a request are idle,
// longest idle first, or, without a socket, places for further ones.
type openLoop struct {
	*worker
	queue
	idle    ring
	places  ring
	opened  bool  // a connection in this turn of the loop; see grow
	wakeAt  int64 // when the queue wants to be looked at; at most the next timer
	spun    int64 // ns of the measured time
	dialed0 int64 // connections made before the schedule began
	lowest  int   // fewest idle ones since the last trim
	trimAt  int64
}

func newOpenLoop(w *worker) *openLoop {
	n := len(w.clients)
	o := &openLoop{worker: w, idle: newRing(n), places: newRing(n), queue: queue{timeout: int64(w.plan.Timeout)}}
	w.live = 1 // until all is over
	w.measured.service = newServiceTimes()
	w.warm.service = newServiceTimes()
	for i := range w.clients {
		o.places.push(i)
	}
	return o
}

// connectFirst opens the connections to start with, before the schedule
// begins. Those that fail are left to the requests, which say why.
func (o *openLoop) connectFirst() error {
	if o.plan.Connection == New {
		return nil
	}
	for range o.plan.Clients {
		id := o.places.pop()
		c := &o.clients[id]
		if c.state = dialing; !o.dial(id, c) {
			o.giveUp(id, c)
		}
	}
	var err error
	for until := o.now() + int64(dialWait); o.dialing() && o.now() < until && !o.stop.Load() && err == nil; {
		var n int
		n, err = o.poller.wait(time.Millisecond)
		for i := range n {
			if ev := &o.poller.events[i]; ev.Fd >= 0 && o.clients[ev.Fd].generation == ev.Pad {
				o.handle(int(ev.Fd), &o.clients[ev.Fd], ev.Events)
			}
		}
	}
	for i := range o.clients {
		if c := &o.clients[i]; c.state == dialing {
			o.giveUp(i, c)
		}
	}
	return err
}

func (o *openLoop) dialing() bool {
	for i := range o.plan.Clients {
		if o.clients[i].state == dialing {
			return true
		}
	}
	return false
}

func (o *openLoop) dial(id int, c *client) bool {
	_, err := o.connect(id, c)
	return err == nil
}

func (o *openLoop) giveUp(id int, c *client) {
	o.disconnect(c)
	c.state = resting
	o.places.push(id)
}

// dialed takes the first event of a connection that has no request.
func (o *openLoop) dialed(id int, c *client) {
	if errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || errno != 0 || c.hup {
		o.giveUp(id, c)
		return
	}
	c.state = resting
	o.dialed0++
	o.idle.push(id)
}

// begin opens the warm-up or the measured time.
func (o *openLoop) begin(now int64) {
	o.current.connects += o.dialed0
	o.dialed0, o.spun = 0, 0
	o.queue.begin(newStretch(&o.plan, o.current, now, o.current == o.warm))
	o.wakeAt, o.trimAt, o.lowest = now, now+int64(trimEvery), o.idle.len()
}

// turn sheds what has waited too long and takes up what is due, then notes
// when to look again.
func (o *openLoop) turn() {
	now := o.now()
	for range noticedPerTurn {
		at, s, ok := o.tooLate(now)
		if !ok {
			break
		}
		o.shed(s.tally, at)
	}
	for range noticedPerTurn {
		if s := o.queue.latest; !s.left || s.next > now {
			break
		}
		o.takeUp(now)
		now = o.now()
	}
	if now >= o.trimAt {
		o.trim(now)
	}
	if !o.queue.latest.left && o.current == o.measured && o.queue.latest.end == 0 && !o.draining {
		o.nextPhase() // all that was asked for has come due
	}
	o.lookAgain()
}

func (o *openLoop) lookAgain() {
	if o.draining && o.warm.inFlight == 0 && o.measured.inFlight == 0 && o.retries.waiting == 0 {
		o.live = 0
	}
	o.wakeAt = o.now() + int64(time.Hour)
	if at, ok := o.wake(); ok {
		o.wakeAt = at
	}
	if o.growing() {
		o.wakeAt = 0
	}
}

// takeUp notices the next request and starts it, where there is a connection
// for it and nobody waits for one.
func (o *openLoop) takeUp(now int64) {
	s := o.queue.latest
	at := s.notice(now)
	id, ok := 0, o.oldest() == s && s.waiting == 1
	if ok {
		id, ok = o.place()
	}
	if !ok {
		s.sendLag(now - at)
		s.tally.waited++
		return
	}
	s.take()
	o.start(id, &o.clients[id], s, at)
	s.sendLag(o.clients[id].sent - at)
}

// place finds a connection that is idle, or the place for a new one.
func (o *openLoop) place() (id int, ok bool) {
	for o.idle.len() > 0 {
		id := o.idle.pop()
		o.lowest = min(o.lowest, o.idle.len())
		if o.clients[id].fd >= 0 {
			return id, true
		}
		o.places.push(id) // it was closed in its pause
	}
	if o.places.len() > 0 && (!o.opened || o.plan.Connection == New) {
		o.opened = true
		return o.places.pop(), true
	}
	return 0, false
}

// grow opens a connection for those that wait for one: one in each turn of the loop,
// since to open one takes as long as several requests do. A hundred in a row would
// make what comes due meanwhile late, which would ask for still more of them.
func (o *openLoop) grow() {
	o.opened = false
	if !o.growing() {
		return
	}
	o.opened = true
	id := o.places.pop()
	o.serve(id, &o.clients[id])
	o.lookAgain()
}

func (o *openLoop) growing() bool {
	return o.plan.Connection == Keep && o.places.len() > 0 && o.waitsForOne()
}

// start sends the request that was due at at.
func (o *openLoop) start(id int, c *client, s *stretch, at int64) {
	c.state, c.attempts = connecting, attempts{}
	c.tally, c.start, c.sent, c.expire = s.tally, at, o.now(), at+o.timeout
	o.launch(id, c)
}

// serve gives a connection, or the place for one, to the first request that
// waits.
func (o *openLoop) serve(id int, c *client) {
	for {
		at, s, ok := o.tooLate(o.now())
		if !ok {
			break
		}
		o.shed(s.tally, at)
	}
	if s := o.oldest(); s != nil && s.waiting > 0 {
		o.start(id, c, s, s.take())
		return
	}
	o.rest(id, c, 0)
}

// release takes back a connection that has no request any more.
func (o *openLoop) release(id int, c *client) {
	switch {
	case o.waitsForOne():
		o.enqueue(id)
		return
	case o.over():
		o.disconnect(c)
		o.closeIdle()
	}
	if c.fd >= 0 {
		o.idle.push(id)
	} else {
		o.places.push(id)
	}
	if o.draining {
		o.lookAgain()
	}
}

func (o *openLoop) waitsForOne() bool { return o.oldest() != nil && o.waiting() }

// over tells that connections have nothing more to do.
func (o *openLoop) over() bool { return o.draining && !o.waitsForOne() }

// shed gives up a request that was due at at and has waited for a connection
// until its timeout.
func (o *openLoop) shed(t *tally, at int64) {
	e := ending{start: at, now: at + o.timeout, class: record.Shed}
	if t == o.measured {
		o.session.ended(e, false)
	}
	t.end(e)
	if o.ledger != nil {
		o.session.batch(o.ids.next(), e, t == o.warm)
	}
}

// noticeAll takes up, where a stretch ends, what its schedule still holds.
func (o *openLoop) noticeAll() {
	for s := o.queue.latest; s.left && (s.end == 0 || s.next < s.end); {
		o.takeUp(o.now())
	}
}

// letGo closes the connections that are idle when the last request has come
// due: a server may hold a worker for them.
func (o *openLoop) letGo() {
	if !o.waitsForOne() {
		o.closeIdle()
	}
	o.lookAgain()
}

func (o *openLoop) closeIdle() {
	for o.idle.len() > 0 {
		id := o.idle.pop()
		o.disconnect(&o.clients[id])
		o.places.push(id)
	}
}

// trim closes connections beyond those to start with that no request has
// needed for a while.
func (o *openLoop) trim(now int64) {
	o.trimAt = now + int64(trimEvery)
	for n := min(o.lowest, o.connected-o.plan.Clients, o.idle.len()); n > 0; n-- {
		id := o.idle.pop()
		o.disconnect(&o.clients[id])
		o.places.push(id)
	}
	o.lowest = o.idle.len()
}

// wait waits for events until the next timer or the next request, the last
// moments of it awake.
func (o *openLoop) wait() (n int, err error) {
	d := o.untilNextTimer()
	now := o.now()
	due := time.Duration(o.wakeAt - now)
	switch {
	case d <= 0 || due <= 0 || o.live == 0:
		return 0, nil
	case due > spinFor:
		return o.poller.wait(min(d, due-spinFor))
	}
	end := now
	for end < o.wakeAt && n == 0 && err == nil {
		n, err = o.poller.ready()
		end = o.now()
	}
	o.spun += end - now
	return n, err
}

// finish reads what the pacing came to.
func (o *openLoop) finish(now int64) {
	if !o.out.began {
		return
	}
	s := o.queue.latest
	r := s.result(now, o.out.interrupted)
	r.spun = o.spun
	o.out.pace = r
	o.out.unfinished += s.unfinished(o.out.end)
}

// ring is a queue of the numbers below a bound, each at most once.
type ring struct {
	ids  []int32
	head int
	n    int
}

func newRing(size int) ring { return ring{ids: make([]int32, size)} }

func (r *ring) len() int { return r.n }

func (r *ring) push(id int) {
	r.ids[(r.head+r.n)%len(r.ids)] = int32(id)
	r.n++
}

func (r *ring) pop() int {
	id := r.ids[r.head]
	r.head, r.n = (r.head+1)%len(r.ids), r.n-1
	return int(id)
}
