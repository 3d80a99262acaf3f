package loadgen

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"mslab/results/record"
)

const rawSupported = true

// clientState is where a client of the raw engine stands.
type clientState uint8

const (
	resting    clientState = iota // between requests, pacing or about to start
	connecting                    // the request waits for its connection
	sending                       // part of the request has been written
	waiting                       // all of it has
	closing                       // answered; the server's close is to come
	retired                       // will send nothing any more
	dialing                       // open loop: connects without a request
)

// client is one closed-loop client of the raw engine; in an open loop, a
// connection or the place for one.
type client struct {
	state      clientState
	fd         int   // -1: no connection
	generation int32 // of the connection, to drop events of closed ones
	hup        bool  // the peer has closed its side
	writable   bool  // EPOLLOUT is registered
	reused     bool  // the request went out on a kept connection
	carried    int   // requests that the connection has taken
	last       bool  // the request in flight is the connection's last
	broken     bool  // a write met EPIPE: only an answer already sent can follow
	queued     bool  // in the ready list

	tally    *tally // of the request in flight
	request  []byte
	written  int
	start    int64 // in an open loop when the request was due
	sent     int64 // in an open loop when the connection took it
	expire   int64 // when the request in flight times out
	resume   int64 // not before this does the next request start
	answer   response
	batch    [correlationSize]byte // ID of the request in flight
	attempts attempts              // at it
	left     int64                 // requests still to send; < 0: no bound
	wanted   bool                  // of the measured time: had a request out,
	began    bool                  // has ended one,
	answered bool                  // got an answer
}

func (c *client) inFlight() bool {
	return c.state == connecting || c.state == sending || c.state == waiting
}

// worker runs clients on one thread. It shares nothing with other threads but
// the poller's wake-up and the interruption flag.
type worker struct {
	*session
	poller      *poller
	clients     []client
	ready       []int // clients to start, in order
	pace        *timers
	expiry      *timers // lazy: an entry may be earlier than its client's timeout
	buf         []byte
	live        int
	to          unix.Sockaddr
	clock       int64 // when the last event was handled
	left        int64 // requests left of all clients; < 0: no bound
	current     *tally
	draining    bool
	stop        atomic.Bool // interrupted
	lag         *hdrhistogram.Histogram
	nextShow    int64
	connects    int         // attempted, to walk through the sources
	connected   int         // sockets that are open
	thread      threadClock // when the measured time began
	measuredCPU bool
	before      usage
	thinker     thinker
	loop        *openLoop // nil in a closed loop
	out         outcome
}

// Timers beside those of the clients, as offsets from the number of clients.
const (
	phaseTimer = iota // warm-up or measured time ends
	tickTimer
	extraTimers
)

// driveRaw runs the load on an epoll loop.
func driveRaw(ctx context.Context, s *session) (*outcome, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	defer p.close()
	w := newWorker(s, p)
	if w.to, err = socketAddress(s.target.addr); err != nil {
		return nil, err
	}
	runtime.GC() // so that what was made ready does not have one run amid the requests
	awake := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(awake)
		w.stop.Store(true)
		p.wake()
	})
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		sharpenTimers(true)
		defer sharpenTimers(false)
		done <- w.run()
	}()
	err = <-done
	if !unhook() {
		<-awake // the poller must outlive the wake-up
	}
	return &w.out, err
}

// sharpenTimers sets the thread's timer slack to 1 ns, from 50 µs, and back to
// its default.
func sharpenTimers(sharp bool) {
	slack := uintptr(0)
	if sharp {
		slack = 1
	}
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0)
}

func newWorker(s *session, p *poller) *worker {
	n := s.plan.MaxConnections // as many as there are clients in a closed loop
	w := &worker{
		session: s, poller: p,
		clients: make([]client, n), ready: make([]int, 0, n),
		pace: newTimers(n + extraTimers), expiry: newTimers(n),
		buf: make([]byte, 64<<10), live: n, left: -1,
		lag: record.NewHistogram(), thinker: newThinker(&s.plan),
	}
	if s.plan.Requests > 0 {
		w.left = s.plan.Requests
	}
	for i := range w.clients {
		c := &w.clients[i]
		c.fd, c.left = -1, -1
		if s.plan.RequestsPerClient > 0 {
			c.left = s.plan.RequestsPerClient
		}
		c.answer.head = s.plan.Method == "HEAD"
		c.answer.capture = s.plan.Metrics > 0
	}
	if s.plan.Open() {
		w.loop = newOpenLoop(w)
	}
	return w
}

// run is the loop; it returns when no client is left or the run is
// interrupted. All connections are closed by then.
func (w *worker) run() error {
	var err error
	if w.loop != nil {
		err = w.loop.connectFirst()
	}
	now := w.now()
	w.beginWarmup(now)
	for i := range w.clients {
		if w.loop == nil {
			w.enqueue(i)
		}
	}
	for w.live > 0 && !w.stop.Load() && err == nil {
		now = w.now()
		w.fire(now)
		w.startReady(now)
		if w.loop != nil {
			w.loop.turn()
			w.loop.grow()
		}
		err = w.poll()
	}
	w.finish()
	return err
}

func (w *worker) beginWarmup(now int64) {
	n := len(w.clients)
	w.pace.set(n+tickTimer, now+int64(tickEvery))
	w.nextShow = now + int64(w.plan.ProgressEvery)
	if w.plan.Warmup == 0 {
		w.beginMeasured()
		return
	}
	w.warm.open(now)
	w.current = w.warm
	if w.loop != nil {
		w.loop.begin(now)
	}
	w.pace.set(n+phaseTimer, now+int64(w.plan.Warmup))
}

func (w *worker) beginMeasured() {
	if w.plan.Started != nil {
		w.plan.Started()
	}
	w.before = readUsage()
	w.thread = readThreadClock()
	now := w.now()
	w.measured.open(now)
	w.session.begun()
	w.current, w.out.began = w.measured, true
	w.nextShow = now + int64(w.plan.ProgressEvery)
	if w.plan.Duration > 0 {
		w.measured.rateEnd = now + int64(w.plan.Duration)
		w.pace.set(len(w.clients)+phaseTimer, w.measured.rateEnd)
	}
	if w.loop != nil {
		w.loop.begin(now)
		return
	}
	for i := range w.clients {
		// Who still waits for an answer of the warm-up wants one, too.
		w.clients[i].wanted = w.clients[i].inFlight()
	}
}

// drain stops new requests and lets go of every client that has none out.
func (w *worker) drain() {
	w.draining = true
	w.measureBusy()
	w.dropRetries()
	if w.loop != nil {
		w.loop.letGo()
		return
	}
	for i := range w.clients {
		if c := &w.clients[i]; !c.inFlight() {
			w.retire(i)
		}
	}
}

// measureBusy reads the thread's CPU time over the time in which requests were
// started; waiting for stragglers afterwards is no idleness.
func (w *worker) measureBusy() {
	if w.measuredCPU || !w.out.began {
		return
	}
	w.measuredCPU = true
	wall := w.now() - w.measured.begin
	w.out.busy, w.out.waiting = readThreadClock().load(w.thread, wall)
	if w.loop != nil && wall > 0 {
		// A thread that spins until a request is due has time to spare.
		w.out.busy = max(w.out.busy-float64(w.loop.spun)/float64(wall), 0)
	}
}

// finish closes what is open and reads the clocks.
func (w *worker) finish() {
	w.measureBusy()
	now := w.now()
	out := &w.out
	out.interrupted = w.live > 0
	out.end = now
	if out.began {
		out.usage = readUsage().since(w.before)
		if !out.interrupted && w.measured.lastEnd > w.measured.begin {
			out.end = max(w.measured.lastEnd, w.measured.rateEnd)
		}
		w.measured.integrate(out.end)
		w.measured.advance(out.end)
	}
	for i := range w.clients {
		c := &w.clients[i]
		if c.inFlight() {
			if c.tally == w.measured {
				out.unfinished += out.end - c.start
			}
			e := ending{start: c.start, now: now, class: record.ReadTimeout, delivered: c.state == waiting}
			e.doubt = c.attempts.doubt
			w.session.batch(c.batch[:], e, c.tally == w.warm)
		}
		w.giveUp(&c.attempts, c.batch[:])
		if c.wanted && !c.answered {
			out.starved++
		}
		w.disconnect(c)
	}
	if w.loop != nil {
		w.loop.finish(now)
	}
	out.sources = min(w.connects, len(w.sources))
	if w.lag.TotalCount() > 0 {
		out.lagP99 = w.lag.ValueAtPercentile(99)
	}
}

// poll handles the events that are there, or waits for some.
func (w *worker) poll() error {
	n, err := w.poller.ready()
	if n == 0 && err == nil && len(w.ready) == 0 {
		if w.loop != nil {
			n, err = w.loop.wait()
		} else if d := w.untilNextTimer(); d > 0 {
			n, err = w.poller.wait(d)
		}
	}
	for i := range n {
		ev := &w.poller.events[i]
		if ev.Fd < 0 {
			continue // a wake-up: the loop's condition has the news
		}
		c := &w.clients[ev.Fd]
		if c.generation != ev.Pad || c.fd < 0 {
			continue
		}
		w.handle(int(ev.Fd), c, ev.Events)
		if w.loop == nil {
			// Clients start once all answers have been taken: requests that go out
			// in a row find the server awake, where one after each answer wakes it
			// each time (bench/load has what that is worth).
			continue
		}
		if len(w.ready) > 0 {
			w.startReady(w.clock)
		}
		if w.clock >= w.loop.wakeAt {
			w.loop.turn()
		}
	}
	return err
}

func (w *worker) untilNextTimer() time.Duration {
	_, due, _ := w.pace.first() // the tick is always set
	if _, expire, ok := w.expiry.first(); ok {
		due = min(due, expire)
	}
	return time.Duration(due - w.now())
}

// startReady starts the clients that were ready when it was called. Those that
// fail at once come back with the next turn, so that timers and interruptions
// are never starved.
func (w *worker) startReady(now int64) {
	n := len(w.ready)
	for i := range n {
		id := w.ready[i]
		w.clients[id].queued = false
		w.begin(id, now)
		if i+1 < n {
			now = w.now()
		}
	}
	w.ready = w.ready[:copy(w.ready, w.ready[n:])]
}

func (w *worker) enqueue(id int) {
	if c := &w.clients[id]; !c.queued && c.state != retired {
		c.queued = true
		w.ready = append(w.ready, id)
	}
}

// fire acts on every timer that is due.
func (w *worker) fire(now int64) {
	for {
		id, due, ok := w.pace.first()
		if !ok || due > now {
			break
		}
		w.pace.remove(id)
		_ = w.lag.RecordValue(record.Clamp(now - due))
		switch id - len(w.clients) {
		case phaseTimer:
			w.nextPhase()
		case tickTimer:
			w.tick(now)
		default:
			w.paced(id, now)
		}
	}
	for {
		id, due, ok := w.expiry.first()
		if !ok || due > now {
			return
		}
		w.expiry.remove(id)
		c := &w.clients[id]
		switch {
		case !c.inFlight():
		case c.expire > now:
			w.expiry.set(id, c.expire)
		case c.state == connecting:
			w.fail(id, c, record.ConnectTimeout, now)
		default:
			w.fail(id, c, record.ReadTimeout, now)
		}
	}
}

func (w *worker) nextPhase() {
	if w.loop != nil {
		w.loop.noticeAll()
	}
	if w.current == w.warm {
		w.beginMeasured()
	} else {
		w.drain()
	}
}

func (w *worker) tick(now int64) {
	w.pace.set(len(w.clients)+tickTimer, now+int64(tickEvery))
	w.current.advance(now)
	if now < w.nextShow {
		return
	}
	w.nextShow += int64(w.plan.ProgressEvery)
	p := w.current.progress(now)
	p.Warmup = w.current == w.warm
	w.progress.offer(p)
}

// paced is called when a client's pause, or its wait for a close, is over.
func (w *worker) paced(id int, now int64) {
	c := &w.clients[id]
	switch c.state {
	case closing:
		w.disconnect(c)
		w.rest(id, c, now)
	case resting:
		w.enqueue(id)
	}
}

// rest lets a client wait until its next request is due.
func (w *worker) rest(id int, c *client, now int64) {
	c.state = resting
	switch {
	case c.attempts.waits && c.resume > now:
		w.pace.set(id, c.resume)
	case c.attempts.waits:
		w.enqueue(id)
	case w.loop != nil:
		w.loop.release(id, c)
	case !w.mayStart(c):
		w.retire(id)
	case c.resume > now:
		w.pace.set(id, c.resume)
	default:
		w.enqueue(id)
	}
}

func (w *worker) mayStart(c *client) bool {
	if w.loop != nil {
		return !w.loop.over()
	}
	return !w.draining && (w.current == w.warm || w.left != 0 && c.left != 0)
}

// spend takes one request from the bounds. When the last one is taken, every
// client that pauses closes its connection: a server may hold a worker for it.
func (w *worker) spend(c *client) {
	if w.current == w.warm {
		return
	}
	if c.left > 0 {
		c.left--
	}
	if w.left > 0 {
		if w.left--; w.left == 0 {
			w.retireResting()
		}
	}
}

func (w *worker) retireResting() {
	for i := range w.clients {
		if c := &w.clients[i]; c.state == resting && !c.attempts.waits {
			w.retire(i)
		}
	}
}

// noRetries tells that requests are not sent again any more.
func (w *worker) noRetries() bool { return w.draining && w.plan.Duration > 0 }

// dropRetries gives up the requests that wait to be sent again, where their time is
// over.
func (w *worker) dropRetries() {
	if !w.noRetries() || w.retries.waiting == 0 {
		return
	}
	for i := range w.clients {
		c := &w.clients[i]
		if !c.attempts.waits {
			continue
		}
		w.giveUp(&c.attempts, c.batch[:])
		w.pace.remove(i)
		if c.state == closing {
			w.disconnect(c)
			c.state = resting
		}
		if w.loop != nil && !c.queued { // one that is queued will find that out
			w.loop.release(i, c)
		}
	}
}

// retire ends a client and its connection.
func (w *worker) retire(id int) {
	c := &w.clients[id]
	if c.state == retired {
		return
	}
	if w.loop != nil {
		w.loop.release(id, c)
		return
	}
	w.disconnect(c)
	w.pace.remove(id)
	c.state = retired
	w.live--
}
