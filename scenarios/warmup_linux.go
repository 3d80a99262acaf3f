package scenarios

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"mslab/loadgen"
	"mslab/results/record"
)

// warm loads a server for the warm-up, again and again until it is in a steady
// state, and waits until it has drained. None of it is counted.
func (r *runner) warm(ctx context.Context, c *cell, load Load) error {
	if load.Warmup == 0 || c.child.failed != "" {
		return nil
	}
	for c.warmth = (warmth{}); c.warmth.another(load.Warmup); {
		costs, err := r.warmOnce(ctx, c, load)
		if err != nil {
			return fmt.Errorf("warm %s: %w", c.child.name, err)
		}
		c.warmth.add(load.Warmup, costs)
	}
	if _, err := drain(ctx, c.child, 0); err != nil {
		return c.lost(ctx, err)
	}
	return nil
}

// warmOnce is one stretch of the warm-up; it returns what a request cost in each
// part of it.
func (r *runner) warmOnce(ctx context.Context, c *cell, load Load) ([]float64, error) {
	p := c.player.offer(load, c.child.url)
	p.Requests, p.RequestsPerClient, p.Duration = 0, 0, load.Warmup
	if c.timeline != nil && p.Metrics > 0 {
		p.Ledger = &c.timeline.warm
	}
	var ok atomic.Int64
	p.Ended = func(e record.Request) {
		if e.Class == record.OK {
			ok.Add(1)
		}
	}
	sampler := sampleCosts(c.child.cpu, load.Warmup/warmupParts, &ok)
	_, err := loadgen.Run(ctx, p)
	return sampler.end(), err
}

// costSampler reads at short intervals what a server has cost so far.
type costSampler struct {
	stop chan struct{}
	done chan []costSample
}

func sampleCosts(read func() (time.Duration, error), every time.Duration, ok *atomic.Int64) *costSampler {
	s := &costSampler{stop: make(chan struct{}), done: make(chan []costSample, 1)}
	begun := time.Now()
	if _, err := read(); err != nil {
		// A server whose CPU cannot be read costs time.
		read = func() (time.Duration, error) { return time.Since(begun), nil }
	}
	var samples []costSample
	take := func() {
		if spent, err := read(); err == nil {
			samples = append(samples, costSample{ok: ok.Load(), spent: spent})
		}
	}
	take()
	go func() {
		ticker := time.NewTicker(max(every, time.Millisecond))
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				take()
			case <-s.stop:
				s.done <- samples
				return
			}
		}
	}()
	return s
}

// end stops the sampler and returns the cost of a request between samples.
func (s *costSampler) end() []float64 {
	close(s.stop)
	return costs(<-s.done)
}
