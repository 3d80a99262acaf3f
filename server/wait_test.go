package server_test

import (
	"sync"
	"testing"
	"time"

	"mslab/server"
)

// TestWaitsAreCounted sends to a server whose file is slow, and whose threads
// take turns at it behind a lock: the counters say where the time went.
func TestWaitsAreCounted(t *testing.T) {
	const clients, requests, delay = 16, 12, time.Millisecond
	for name, locked := range map[string]bool{"threads": true, "async": false} {
		t.Run(name, func(t *testing.T) {
			r := start(t, phaseByName(t, name), func(c *server.Config) {
				c.FaultHooks, c.SinkDelay = true, delay
				c.Recipe.Listen = "backlog1024"
			})
			before, begun := r.Counters(), time.Now()
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					for range requests {
						if answer, err := postSeed(r.URL()); err != nil || answer != 200 {
							t.Errorf("status %d, %v", answer, err)
						}
					}
				})
			}
			all.Wait()
			waitUntil(t, "the sink has drained", func() bool { return r.Counters().SinkPending == 0 })
			after, wall := r.Counters(), time.Since(begun)
			wrote := time.Duration(after.SinkWriteNS - before.SinkWriteNS)
			waited := time.Duration(after.MutexWaitNS - before.MutexWaitNS)
			// A wait for the file is one of about clients writes, for each request;
			// the runtime measures one of eight.
			queued := clients * requests * clients * delay
			switch {
			case locked && wrote < clients*requests*delay:
				t.Errorf("%v within writes, %d of them sleep %v each", wrote, clients*requests, delay)
			case locked && (waited < queued/4 || waited > 6*queued):
				t.Errorf("waited %v for locks, want about %v", waited, queued)
			case wrote < delay || wrote > wall:
				t.Errorf("%v within writes, one at a time, in %v", wrote, wall)
			}
		})
	}
}
