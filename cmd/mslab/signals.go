package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that a signal ended.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return fmt.Sprintf("interrupted by %s", e.name()) }

func (e signalError) name() string {
	switch e.signal {
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return e.signal.String()
}

// exitCode is what a shell reports of a process that the signal ended.
func (e signalError) exitCode() int { return 128 + int(e.signal) }

// withSignals returns a context that the first SIGINT or SIGTERM ends; the
// second one has its default effect and kills. stop gives both their default
// effect back and waits for the goroutine.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	first := make(chan os.Signal, 1)
	signal.Notify(first, syscall.SIGINT, syscall.SIGTERM)
	// With a handler in place a write to a closed pipe is an error to report
	// instead of a silent death. (Ignoring it would be inherited by children.)
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	done, quit := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-first:
			signal.Stop(first)
			cancel(signalError{s.(syscall.Signal)})
		case <-quit:
		}
	}()
	return ctx, func() {
		close(quit)
		<-done
		signal.Stop(first)
		signal.Stop(pipe)
		cancel(nil)
	}
}

// interrupted returns the signal that ended the context, nil where none did.
func interrupted(ctx context.Context) error {
	var s signalError
	if ctx.Err() != nil && errors.As(context.Cause(ctx), &s) {
		return s
	}
	return nil
}
