package main

import (
	"fmt"
	"io"
	"time"

	"mslab/scenarios"
)

// runLine shows a run on one line of a terminal, written over and over: for
// lessons, where text above and below is what the reader came for.
type runLine struct {
	w    io.Writer
	stop func() // ends the countdown of the slice
}

// watchLesson shows a lesson's run on w while it is played.
func watchLesson(w io.Writer, play *scenarios.Play) {
	if !isTerminal(w) {
		watchRun(w, progressPlain, play)
		return
	}
	play.Progress = (&runLine{w: w, stop: func() {}}).tell
}

func (l *runLine) tell(e scenarios.Event) {
	switch e := e.(type) {
	case scenarios.RunBegun:
		sayRun(l.w, e)
	case scenarios.SliceBegun:
		l.stop = countDown(e.Left.Round(time.Second), func(left time.Duration) {
			fmt.Fprintf(l.w, "\r\x1b[K%s: block %d of %d, %s, %s left", e.Arm, e.Block, e.Blocks, e.Subject, left)
		})
	case scenarios.SliceEnded:
		l.stop()
	case scenarios.Tracing:
		fmt.Fprintf(l.w, "\r\x1b[K%s: tracing %s, %s left", e.Arm, e.Subject, e.Left.Round(time.Second))
	case scenarios.RunEnded:
		fmt.Fprint(l.w, "\r\x1b[K")
	}
}

// countDown shows how much is left, now and every second until stop is called.
func countDown(left time.Duration, show func(time.Duration)) (stop func()) {
	began := time.Now()
	show(left)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				show(max(left-time.Since(began), 0).Round(time.Second))
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}
