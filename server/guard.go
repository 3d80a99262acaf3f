package server

import "sync/atomic"

// guardCapacity is how much the queue guard lets wait: connections for a worker
// in the pool, batches for their acknowledgement elsewhere.
const guardCapacity = 10000

// guard bounds the batches whose acknowledgement is outstanding. A nil guard
// lets everything pass.
type guard struct {
	outstanding atomic.Int64
}

func newGuard(r Recipe) *guard {
	if r.Guard != "queue" || r.Exec == "pool" {
		return nil
	}
	return &guard{}
}

// enter takes a place; false means that there is none, and the request is
// answered with 503.
func (g *guard) enter() bool {
	if g == nil {
		return true
	}
	if g.outstanding.Add(1) > guardCapacity {
		g.outstanding.Add(-1)
		return false
	}
	return true
}

func (g *guard) leave() {
	if g != nil {
		g.outstanding.Add(-1)
	}
}
