package server

import (
	"sync"
	"sync/atomic"
	"time"
)

// event is one decision of the limiter.
type event struct {
	at      int64 // ns, by the server's clock
	allowed bool
}

// events notes the limiter's decisions. A collector drains them in the
// background and adds them up.
type events interface {
	// record notes a decision. It never waits for the collector: where there is
	// no room the event is dropped and counted.
	record(event)
	// counts are the events added up and those dropped so far.
	counts() (recorded, dropped int64)
	// close stops the collector after it has drained what is there. No record
	// may be under way.
	close()
}

const (
	eventsCapacity   = 1 << 16 // events between two drains
	eventsDrainEvery = 20 * time.Millisecond
)

func newEvents(variant string) events {
	if variant == "ring" {
		return newEventsRing(eventsCapacity)
	}
	return newEventsLock(eventsCapacity)
}

// eventTotals is what the collector makes of the events.
type eventTotals struct {
	allowed, denied, dropped atomic.Int64
}

func (t *eventTotals) add(e event) {
	if e.allowed {
		t.allowed.Add(1)
	} else {
		t.denied.Add(1)
	}
}

func (t *eventTotals) counts() (recorded, dropped int64) {
	return t.allowed.Load() + t.denied.Load(), t.dropped.Load()
}

// collector calls drain until it is closed, and once more then.
type collector struct {
	stop chan struct{}
	done sync.WaitGroup
}

func startCollector(drain func()) *collector {
	c := &collector{stop: make(chan struct{})}
	c.done.Go(func() {
		ticker := time.NewTicker(eventsDrainEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				drain()
			case <-c.stop:
				drain()
				return
			}
		}
	})
	return c
}

func (c *collector) close() {
	close(c.stop)
	c.done.Wait()
}
