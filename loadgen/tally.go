package loadgen

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"mslab/results/record"
)

// tally accounts for the requests of one stretch, warm-up or measured time.
// All times are ns on the run's own clock. It is not safe for concurrent use.
type tally struct {
	deadline int64
	begin    int64 // start of the stretch
	rateEnd  int64 // requests that end later do not enter the rates; 0: none

	sent, answered, ok, failed, inDoubt, within, connects int64
	retries, exhausted                                    int64 // attempts after the first, and requests that failed with their last
	waited                                                int64 // open loop: no connection was free when they came due
	byClass                                               map[record.Class]int64
	okTimes                                               *hdrhistogram.Histogram
	times                                                 map[record.Class]*hdrhistogram.Histogram
	firstWait                                             *hdrhistogram.Histogram
	service                                               *serviceTimes // nil in a closed loop

	rateOK, rateAll int64
	lastEnd         int64

	// In flight, integrated over time by counters that the histograms know
	// nothing of: one side of Little's law.
	inFlight   int64
	area       float64 // request-nanoseconds
	integrated int64   // up to this time

	series      []record.Second
	second      record.Second // the current one
	secondTimes *hdrhistogram.Histogram
	watch       *watch
}

func newTally(deadline time.Duration) *tally {
	return &tally{
		deadline:    int64(deadline),
		byClass:     map[record.Class]int64{},
		okTimes:     record.NewHistogram(),
		times:       map[record.Class]*hdrhistogram.Histogram{},
		firstWait:   record.NewHistogram(),
		secondTimes: record.NewHistogram(),
	}
}

// open starts the stretch.
func (t *tally) open(now int64) {
	t.begin, t.integrated = now, now
	t.watch.open(now)
}

func (t *tally) integrate(now int64) {
	t.area += float64(t.inFlight) * float64(now-t.integrated)
	t.integrated = now
}

// start counts a request that goes out now.
func (t *tally) start(now int64) {
	t.integrate(now)
	t.inFlight++
	t.sent++
}

// ending is how a request ended.
type ending struct {
	start, now int64 // in an open loop start is the intended one
	sent       int64 // when a connection took it; open loop only
	class      record.Class
	delivered  bool // all of it had been handed to the kernel
	first      bool // it was its client's first of the stretch
	doubt      bool // an attempt before it may have been done
}

// end counts a request that ended.
func (t *tally) end(e ending) {
	t.integrate(e.now)
	t.inFlight--
	t.lastEnd = max(t.lastEnd, e.now)
	if e.now-t.begin >= int64(t.second.T+1)*int64(time.Second) {
		t.advance(e.now)
	}
	ns := record.Clamp(e.now - e.start)
	t.service.record(e)
	t.byClass[e.class]++
	if e.class.Answered() {
		t.answered++
	}
	inRate := t.rateEnd == 0 || e.now <= t.rateEnd
	if inRate {
		t.rateAll++
	}
	if e.first {
		_ = t.firstWait.RecordValue(ns)
	}
	if e.class != record.OK {
		t.failed++
		t.second.Failed++
		if e.delivered && e.class.InDoubt() {
			t.inDoubt++
		}
		_ = t.timesOf(e.class).RecordValue(ns) // ns is clamped to the range
		return
	}
	t.ok++
	t.second.OK++
	if inRate {
		t.rateOK++
	}
	if e.now-e.start <= t.deadline {
		t.within++
	}
	_ = t.okTimes.RecordValue(ns)
	_ = t.secondTimes.RecordValue(ns)
	t.watch.count(ns)
}

func (t *tally) timesOf(c record.Class) *hdrhistogram.Histogram {
	h := t.times[c]
	if h == nil {
		h = record.NewHistogram()
		t.times[c] = h
	}
	return h
}

// advance closes the seconds of the series that are over.
func (t *tally) advance(now int64) {
	for now-t.begin >= int64(t.second.T+1)*int64(time.Second) {
		t.closeSecond()
	}
}

func (t *tally) closeSecond() {
	if t.second.OK > 0 {
		t.second.P50 = t.secondTimes.ValueAtPercentile(50)
		t.second.P99 = t.secondTimes.ValueAtPercentile(99)
		t.secondTimes.Reset()
	}
	t.series = append(t.series, t.second)
	t.second = record.Second{T: t.second.T + 1}
}

// summedTime is the other side of Little's law: the time of all requests, as
// the histograms hold it, and unfinished, that of those still in flight.
func (t *tally) summedTime(unfinished int64) float64 {
	sum := float64(unfinished) + t.okTimes.Mean()*float64(t.okTimes.TotalCount())
	for _, h := range t.times {
		sum += h.Mean() * float64(h.TotalCount())
	}
	return sum
}

// latency returns the histogram of OK requests and those by class.
func (t *tally) latency() record.Latency {
	if t.service != nil {
		return latencyOf(t.okTimes, t.times, "response")
	}
	return latencyOf(t.okTimes, t.times, "service")
}

func latencyOf(ok *hdrhistogram.Histogram, times map[record.Class]*hdrhistogram.Histogram, kind string) record.Latency {
	l := record.NewLatency(ok, kind)
	for c, h := range times {
		if l.ByClass == nil {
			l.ByClass = map[record.Class]*record.Latency{}
		}
		of := record.NewLatency(h, kind)
		l.ByClass[c] = &of
	}
	return l
}

// serviceTimes are the times of an open loop's requests from when a connection
// took them: before its connect, where it was a new one. Those that were never
// sent have none.
type serviceTimes struct {
	ok    *hdrhistogram.Histogram
	times map[record.Class]*hdrhistogram.Histogram
}

func newServiceTimes() *serviceTimes {
	return &serviceTimes{record.NewHistogram(), map[record.Class]*hdrhistogram.Histogram{}}
}

func (s *serviceTimes) record(e ending) {
	if s == nil || e.class == record.Shed {
		return
	}
	h := s.ok
	if e.class != record.OK {
		if h = s.times[e.class]; h == nil {
			h = record.NewHistogram()
			s.times[e.class] = h
		}
	}
	_ = h.RecordValue(record.Clamp(e.now - e.sent)) // clamped to the range
}
