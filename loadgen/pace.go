package loadgen

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"mslab/results/record"
)

const (
	// spinFor is how long before a request is due its engine stops sleeping: as
	// long as a thread takes to wake up, nine times in ten, on a virtual machine.
	spinFor = 50 * time.Microsecond
	// behindLimit is the part of the schedule by which the generator may be late.
	behindLimit = 0.01
	// What is not held against the generator however short the schedule, since
	// other processes take a core for that long: to be behind at its end, and to
	// have been late somewhere.
	hiccupAtEnd = 10 * time.Millisecond
	hiccup      = 100 * time.Millisecond
	// noticedPerTurn is how many requests are taken up before the answers that
	// have arrived meanwhile get their turn.
	noticedPerTurn = 64
	// dialWait is how long the connections to start with may take before the
	// schedule begins without those that are missing.
	dialWait = time.Second
	// trimEvery is how long a connection beyond those to start with stays idle at
	// least before it is closed.
	trimEvery = time.Second
)

// stretch is the warm-up or the measured time of an open loop. Its requests
// come due one after the other, and are taken by connections in the same
// order; those in between wait. Both walk the same schedule, so that it does
// not matter how many they are.
type stretch struct {
	tally    *tally
	begin    int64 // on the run's clock
	end      int64 // 0: where its schedule ends
	due      schedule
	taken    schedule
	next     int64 // when the next request comes due
	left     bool  // there is a next one
	waiting  int64 // due and not taken
	lag      *hdrhistogram.Histogram
	count    int64 // that came due
	late     int64 // of these, noticed only after the end
	latest   int64 // the largest lateness at which one was noticed, ns
	first    int64 // when the first and the last came due, and when the last
	last     int64 // was noticed
	noticed  int64
	headTime int64 // when the first of those that wait was due
}

func newStretch(p *Plan, t *tally, begin int64, warmup bool) *stretch {
	s := &stretch{tally: t, begin: begin, due: scheduleOf(p, warmup), taken: scheduleOf(p, warmup), lag: record.NewHistogram()}
	if p.Duration > 0 && !warmup {
		s.end = begin + int64(p.Duration)
	}
	s.advance()
	return s
}

func (s *stretch) advance() {
	at, ok := s.due.next()
	s.next, s.left = s.begin+at, ok
}

// notice counts the next request, which is due by now, and returns when it was.
func (s *stretch) notice(now int64) int64 {
	at := s.next
	s.tally.start(at)
	if s.count++; s.count == 1 {
		s.first = at
	}
	s.last, s.noticed, s.latest = at, now, max(s.latest, now-at)
	if s.end > 0 && now > s.end {
		s.late++
	}
	if s.waiting++; s.waiting == 1 {
		s.head()
	}
	s.advance()
	return at
}

// head looks at the first of those that wait.
func (s *stretch) head() {
	at, _ := s.taken.next()
	s.headTime = s.begin + at
}

// take hands out the first of those that wait.
func (s *stretch) take() int64 {
	at := s.headTime
	if s.waiting--; s.waiting > 0 {
		s.head()
	}
	return at
}

// sendLag notes how long after it was due a request went out, or joined those
// that wait for a connection.
func (s *stretch) sendLag(ns int64) { _ = s.lag.RecordValue(record.Clamp(ns)) }

// unfinished is the summed time of those that still wait, up to now.
func (s *stretch) unfinished(now int64) (sum int64) {
	for s.waiting > 0 {
		sum += now - s.take()
	}
	return sum
}

// queue is what is due in an open loop: the measured time's requests behind
// those that the warm-up has left.
type queue struct {
	latest, before *stretch // before is nil without a warm-up
	timeout        int64
}

// begin opens the next stretch; requests of the last one may still wait.
func (q *queue) begin(s *stretch) { q.before, q.latest = q.latest, s }

// oldest is the stretch whose requests are to be taken first.
func (q *queue) oldest() *stretch {
	if q.before != nil && q.before.waiting > 0 {
		return q.before
	}
	return q.latest
}

func (q *queue) waiting() bool { return q.oldest().waiting > 0 }

// wake is when the queue wants to be looked at: a request comes due or has
// waited too long.
func (q *queue) wake() (at int64, ok bool) {
	if s := q.latest; s.left {
		at, ok = s.next, true
	}
	if s := q.oldest(); s.waiting > 0 && (!ok || s.headTime+q.timeout < at) {
		at, ok = s.headTime+q.timeout, true
	}
	return at, ok
}

// tooLate takes the first of those that wait where its time is over.
func (q *queue) tooLate(now int64) (at int64, s *stretch, ok bool) {
	if s = q.oldest(); s.waiting == 0 || s.headTime+q.timeout > now {
		return 0, nil, false
	}
	return s.take(), s, true
}

// paceResult is what an open loop's pacing came to.
type paceResult struct {
	count          int64   // requests that came due
	asked          float64 // requests a second by the schedule
	achieved       float64 // noticed by the generator within its time
	behind         float64 // part of the schedule by which it was late
	lag            *hdrhistogram.Histogram
	spun           int64 // ns that the engine span to be in time
	schedule, late time.Duration
}

// result sums up the stretch, which was left at now where it was interrupted.
func (s *stretch) result(now int64, interrupted bool) *paceResult {
	r := &paceResult{count: s.count, lag: s.lag, late: time.Duration(s.latest)}
	switch {
	case s.end > 0 && !interrupted:
		span := float64(s.end-s.begin) / float64(time.Second)
		r.asked, r.achieved = float64(s.count)/span, float64(s.count-s.late)/span
		r.schedule = time.Duration(s.end - s.begin)
	case s.count > 1:
		// Between the first and the last there is one gap less than requests.
		gaps := float64(s.count-1) * float64(time.Second)
		if s.last > s.first {
			r.asked, r.achieved = gaps/float64(s.last-s.first), gaps/float64(max(s.noticed-s.first, 1))
		}
		r.schedule = time.Duration(s.last - s.begin)
	}
	if r.asked > 0 {
		r.behind = max(1-r.achieved/r.asked, 0)
	}
	if time.Duration(float64(r.schedule)*r.behind) <= hiccupAtEnd {
		r.behind = 0
	}
	if r.late > hiccup && r.schedule > 0 {
		r.behind = max(r.behind, float64(r.late)/float64(r.schedule))
	}
	return r
}

// judge says where the generator, not the server, fell behind.
func (r *paceResult) judge() error {
	if r == nil || r.behind <= behindLimit {
		return nil
	}
	return fmt.Errorf("the generator fell %.1f %% behind its schedule (over 1 %%): it kept to %.0f of %.0f requests/s, and was up to %v late; offer less, or give it a core of its own",
		100*r.behind, r.achieved, r.asked, r.late.Round(time.Microsecond))
}
