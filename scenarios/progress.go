package scenarios

import (
	"fmt"
	"io"
	"time"

	"mslab/results"
)

// progress tells the user how far a run is: one line written over and over on
// a terminal, a line for each block elsewhere.
type progress struct {
	w       io.Writer // nil is silent
	live    bool
	shown   bool // the terminal's line holds something
	started time.Time
	planned time.Duration // of all blocks
	done    time.Duration // planned, of the blocks that are over
}

func newProgress(w io.Writer, live bool, plan *Plan) *progress {
	p := &progress{w: w, live: live, started: time.Now(), planned: plan.Duration()}
	if w != nil {
		_, _ = fmt.Fprintf(w, "%s: about %s\n", plan.Record.Scenario, p.planned.Round(time.Second))
		for _, note := range plan.Notes {
			p.say(note)
		}
	}
	return p
}

// say prints a sentence, broken where a terminal would break it within a word.
func (p *progress) say(text string) { _, _ = fmt.Fprintln(p.w, results.Wrap(text)) }

// left estimates the time that remains: what is planned, at the pace so far.
func (p *progress) left() time.Duration {
	left := p.planned - p.done
	if p.done > 0 {
		pace := float64(time.Since(p.started)) / float64(p.done)
		left = time.Duration(float64(left) * pace)
	}
	return max(left, 0).Round(time.Second)
}

// slice says on a terminal what is being played, and every second how much is
// left, until end is called.
func (p *progress) slice(arm string, block, blocks int, subject string) (end func()) {
	if p.w == nil || !p.live {
		return func() {}
	}
	p.shown = true
	began, left := time.Now(), p.left()
	show := func() {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s: block %d of %d, %s, %s left", arm, block, blocks, subject,
			max(left-time.Since(began), 0).Round(time.Second))
	}
	show()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				show()
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop); <-done }
}

// block notes that a block is over; planned is the time it was planned to take.
func (p *progress) block(arm string, block, blocks int, planned time.Duration) {
	p.done += planned
	if p.w != nil && !p.live {
		_, _ = fmt.Fprintf(p.w, "%s: block %d of %d done, %s left\n", arm, block, blocks, p.left())
	}
}

// traced says that a subject is being traced.
func (p *progress) traced(arm, subject string) {
	if p.w == nil || !p.live {
		return
	}
	p.shown = true
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s: tracing %s, %s left", arm, subject, p.left())
}

// allTraced notes that an arm's traced trials are over, as block does of a
// block; counted is how many subjects' syscalls were counted, and why none can
// be, "" where they can.
func (p *progress) allTraced(arm string, counted int, why string, planned time.Duration) {
	p.done += planned
	switch {
	case p.w == nil || p.live:
	case why != "":
		p.say(fmt.Sprintf("%s: syscalls are not counted: %s", arm, why))
	default:
		_, _ = fmt.Fprintf(p.w, "%s: syscalls of %s counted, %s left\n", arm, count(counted, "subject"), p.left())
	}
}

// end clears the terminal's line.
func (p *progress) end() {
	if p.shown {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}
