package server

import "sync"

// eventsLock appends events to a slice under one lock; the collector swaps the
// slice for an empty one.
type eventsLock struct {
	eventTotals
	mu       sync.Mutex
	filling  []event
	draining []event // owned by the collector between swaps
	*collector
}

func newEventsLock(capacity int) *eventsLock {
	l := &eventsLock{filling: make([]event, 0, capacity), draining: make([]event, 0, capacity)}
	l.collector = startCollector(l.drain)
	return l
}

func (l *eventsLock) record(e event) {
	l.mu.Lock()
	room := len(l.filling) < cap(l.filling)
	if room {
		l.filling = append(l.filling, e)
	}
	l.mu.Unlock()
	if !room {
		l.dropped.Add(1)
	}
}

func (l *eventsLock) drain() {
	l.mu.Lock()
	l.filling, l.draining = l.draining[:0], l.filling
	l.mu.Unlock()
	for _, e := range l.draining {
		l.add(e)
	}
}
