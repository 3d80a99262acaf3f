package server

import "sync"

// limiterMutex is the original's first limiter: one lock over one map.
type limiterMutex struct {
	mu      sync.Mutex
	windows clientWindows
}

func newLimiterMutex(rate int) *limiterMutex {
	return &limiterMutex{windows: newClientWindows(rate, sweepFrom)}
}

func (l *limiterMutex) allow(client string, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.windows.allow(client, now)
}
