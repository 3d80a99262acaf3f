package scenarios

import (
	"sync"
	"time"

	"mslab/loadgen"
	"mslab/results/record"
)

// progress tells how a run goes and how much of it is left. All but tell is
// called by the goroutine that plays.
type progress struct {
	mu      sync.Mutex
	watcher func(Event) // nil is silent
	every   time.Duration

	place   Place
	started time.Time
	planned time.Duration // of the whole run; whoever adds blocks adds their time
	done    time.Duration // planned, of the spans that are over
	span    time.Duration // planned, of the block or the traced trials now
	began   time.Time     // of that span
}

func newProgress(play Play, plan *Plan) *progress {
	now := time.Now()
	p := &progress{watcher: play.Progress, every: play.SampleEvery, started: now, began: now, planned: plan.Duration()}
	p.tell(RunBegun{Plan: &plan.Record, Expected: p.planned, Notes: plan.Notes})
	return p
}

// tell hands an event on, one at a time. A nil progress is silent.
func (p *progress) tell(e Event) {
	if p == nil || p.watcher == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watcher(e)
}

// left estimates the time that remains: what is planned, at the pace so far.
func (p *progress) left() time.Duration {
	pace := 1.0
	if p.done > 0 {
		pace = float64(p.began.Sub(p.started)) / float64(p.done)
	}
	left := time.Duration(float64(p.planned-p.done)*pace) - min(time.Since(p.began), time.Duration(float64(p.span)*pace))
	return max(left, 0)
}

// next begins a span of the plan, of which the one before it is over.
func (p *progress) next(span time.Duration) {
	p.span, p.began = span, time.Now()
}

// over ends the span.
func (p *progress) over() {
	p.done += p.span
	p.next(0)
}

// block says that a load of a block begins.
func (p *progress) block(arm *armPlay, block, load int) {
	if load == 0 {
		p.next(arm.blockDuration())
	}
	p.place = Place{Arm: arm.name, Load: load, Block: block, Blocks: arm.expected}
	p.tell(BlockBegun{Place: p.place, Left: p.left()})
}

func (p *progress) blockEnded() {
	p.over()
	p.tell(BlockEnded{Place: p.place, Left: p.left()})
}

func (p *progress) warming(c *cell, load Load) {
	if load.Warmup > 0 {
		p.tell(Warming{Subject: c.player.subject.Name})
	}
}

func (p *progress) slice(arm *armPlay, c *cell, load Load) {
	p.tell(SliceBegun{Place: p.place, Subject: c.player.subject.Name, Slice: len(c.parts) + 1, Slices: arm.slices,
		Expected: load.duration(), Left: p.left()})
}

// sliceEnded tells of a slice; part is nil where nothing was measured.
func (p *progress) sliceEnded(c *cell, part *record.Record) {
	e := SliceEnded{Place: p.place, Subject: c.player.subject.Name, Lost: c.child.failed}
	if part != nil {
		e.Counts = part.Counts
		if len(part.Slices) > 0 {
			e.Slice = part.Slices[0]
		}
	}
	p.tell(e)
}

// watch has a load tell of itself while it runs.
func (p *progress) watch(offer *loadgen.Plan) {
	if p.watcher == nil || p.every == 0 {
		return
	}
	offer.ProgressEvery = p.every
	offer.Progress = func(now loadgen.Progress) { p.tell(Sample{now}) }
}

func (p *progress) kept(trial *record.Record) { p.tell(TrialKept{Place: p.place, Trial: trial}) }

// traced says that a subject is being traced; the first of an arm begins a span.
func (p *progress) traced(arm *armPlay, subject string) {
	if p.span == 0 {
		p.next(arm.tracedDuration())
	}
	p.tell(Tracing{Arm: arm.name, Subject: subject, Left: p.left()})
}

// allTraced says that an arm's traced trials are over; counted is how many
// subjects' syscalls were counted, and why none can be, "" where they can.
func (p *progress) allTraced(arm *armPlay, counted int, why string) {
	p.span = arm.tracedDuration()
	p.over()
	p.tell(ArmTraced{Arm: arm.name, Counted: counted, Why: why, Left: p.left()})
}
