package loadgen

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"mslab/results/record"
)

// DefaultProgressEvery is how often Plan.Progress is called where the plan does
// not say.
const DefaultProgressEvery = time.Second

// Progress is a glance at a running load. Rate and percentiles are those of the
// time since the last glance, where Plan.ProgressEvery is shorter than a second;
// else those of the last whole second of the stretch.
type Progress struct {
	Elapsed  time.Duration // since the stretch began: the warm-up, or the measured time
	Warmup   bool
	Sent     int64
	OK       int64
	Failed   int64
	InFlight int64
	ByClass  map[record.Class]int64 // the failed ones; nil while there are none
	RPS      float64                // OK requests a second
	P50, P99 time.Duration          // of OK requests; 0 where none ended
	// Second is the last whole second of the stretch; zero before one is over.
	Second record.Second
}

func (p *Plan) validateProgress() error {
	switch {
	case p.ProgressEvery < 0:
		return errors.New("check the load: the time between two glances must not be negative")
	case p.ProgressEvery > 0 && p.ProgressEvery < tickEvery:
		return fmt.Errorf("check the load: there cannot be a glance every %v, only every %v", p.ProgressEvery, tickEvery)
	}
	return nil
}

// watch collects what glances at less than a second show of the time since the
// last one. A nil one is asked for none.
type watch struct {
	times *hdrhistogram.Histogram
	since int64 // the last glance, on the run's clock
}

// watchDigits is the precision of percentiles in glances: 1 %, in a seventh of the
// memory that the record's take, since it is cleared at every glance.
const watchDigits = 2

func newWatch(p Plan) *watch {
	if p.Progress == nil || p.ProgressEvery >= DefaultProgressEvery {
		return nil
	}
	return &watch{times: hdrhistogram.New(int64(record.Shortest), int64(record.Longest), watchDigits)}
}

// open starts a stretch: what was collected before is of another.
func (w *watch) open(now int64) {
	if w != nil {
		w.times.Reset()
		w.since = now
	}
}

// count takes an OK request of ns nanoseconds; ns is within the range of records.
func (w *watch) count(ns int64) {
	if w != nil {
		_ = w.times.RecordValue(ns)
	}
}

// glance moves what was collected into p.
func (w *watch) glance(p *Progress, now int64) {
	if w == nil {
		return
	}
	p.RPS, p.P50, p.P99 = 0, 0, 0
	if n := w.times.TotalCount(); n > 0 && now > w.since {
		p.RPS = float64(n) / time.Duration(now-w.since).Seconds()
		p.P50 = time.Duration(w.times.ValueAtPercentile(50))
		p.P99 = time.Duration(w.times.ValueAtPercentile(99))
	}
	w.open(now)
}

// progress is a glance at the stretch.
func (t *tally) progress(now int64) Progress {
	p := Progress{
		Elapsed: time.Duration(now - t.begin), Sent: t.sent, OK: t.ok, Failed: t.failed, InFlight: t.inFlight,
	}
	if t.failed > 0 {
		p.ByClass = maps.Clone(t.byClass)
		delete(p.ByClass, record.OK)
	}
	n := len(t.series)
	if n > 0 {
		p.Second = t.series[n-1]
	}
	switch {
	case t.watch != nil:
		t.watch.glance(&p, now)
	case n > 0:
		p.RPS, p.P50, p.P99 = float64(p.Second.OK), time.Duration(p.Second.P50), time.Duration(p.Second.P99)
	case now > t.begin: // what there is of the first second
		p.RPS = float64(t.second.OK) / p.Elapsed.Seconds()
		p.P50 = time.Duration(t.secondTimes.ValueAtPercentile(50))
		p.P99 = time.Duration(t.secondTimes.ValueAtPercentile(99))
	}
	return p
}

// progressReporter calls Progress from one goroutine, so that a slow callback
// holds up no request. A nil one reports nothing.
type progressReporter struct {
	latest chan Progress
	done   sync.WaitGroup
}

func newProgressReporter(report func(Progress)) *progressReporter {
	if report == nil {
		return nil
	}
	r := &progressReporter{latest: make(chan Progress, 1)}
	r.done.Go(func() {
		for p := range r.latest {
			report(p)
		}
	})
	return r
}

// offer drops p where the callback still has an older one to deal with.
func (r *progressReporter) offer(p Progress) {
	if r == nil {
		return
	}
	select {
	case r.latest <- p:
	default:
	}
}

func (r *progressReporter) stop() {
	if r == nil {
		return
	}
	close(r.latest)
	r.done.Wait()
}
