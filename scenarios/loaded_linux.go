package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mslab/loadgen"
	"mslab/results/record"
)

// UnderLoad starts a phase's server as a run does, a fresh process on cores of
// its own, loads it, and ends the load once look has returned. It returns what
// the load counted, warm-up apart, and the error of look, or why there was
// nothing to look at.
func UnderLoad(ctx context.Context, l Loaded, look Look) (_ *record.Record, err error) {
	player, load, err := l.plan()
	if err != nil {
		return nil, err
	}
	allowed, err := allowedCores()
	if err != nil {
		return nil, err
	}
	r := &runner{plan: &Plan{cores: splitCores(allowed)}}
	if r.exe, err = (Play{Executable: l.Executable}).executable(); err != nil {
		return nil, err
	}
	release, err := r.claimCores()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	data, err := newScratch()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, data.remove()) }()
	c, err := startChild(ctx, r.spawner, r.exe, data.dir, player)
	if err != nil {
		return nil, err
	}
	server := LoadedServer{Subject: player.subject, PID: c.pid, URL: c.url, Admin: c.admin, Load: load.record(1)}
	server.Load.DurationS = 0 // as long as it takes
	counted, err := lookAt(ctx, c, load, server, look)
	return counted, errors.Join(err, c.stop())
}

// longest is how long a load goes on when nothing ends it.
const longest = 24 * time.Hour

// lookAt loads the server and calls look from the end of the warm-up on. The
// two end together.
func lookAt(ctx context.Context, c *child, load Load, s LoadedServer, look Look) (*record.Record, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	offer := load.offer(c.url)
	offer.Duration, offer.Warmup = longest, load.Warmup
	warm := make(chan struct{})
	offer.Started = func() { close(warm) }

	looked := make(chan error, 1)
	go func() {
		select {
		case <-warm:
		case <-ctx.Done():
			looked <- context.Cause(ctx)
			return
		}
		err := look(ctx, s)
		cancel(errLooked)
		looked <- err
	}()
	watched := make(chan struct{})
	go func() { // a server that ends is not waited for
		defer close(watched)
		select {
		case <-c.ended:
			cancel(errServerEnded)
		case <-ctx.Done():
		}
	}()
	counted, loadErr := loadgen.Run(ctx, offer)
	cancel(errLooked)
	err := <-looked
	<-watched
	switch cause := context.Cause(ctx); cause {
	case errLooked:
	case errServerEnded:
		return counted, nil // stop says how it ended
	default:
		return counted, cause // that look was cut short is only what follows
	}
	if loadErr != nil {
		loadErr = fmt.Errorf("load %s: %w", c.name, loadErr)
	}
	return counted, errors.Join(err, loadErr)
}

// Why a look and its load end together.
var (
	errLooked      = errors.New("looked at")
	errServerEnded = errors.New("the server ended")
)
