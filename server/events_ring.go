package server

import "sync/atomic"

// eventsRing is a bounded lock-free ring with many producers and one consumer,
// the collector. Each slot carries a sequence number that says whose turn it
// is (D. Vyukov, "Bounded MPMC queue", 1024cores.net): equal to the position,
// the slot is free for the producer of that position; one more, it holds that
// position's event.
type eventsRing struct {
	eventTotals
	slots []ringSlot
	mask  uint64
	_     [64]byte // producers and the consumer write to different cache lines
	tail  atomic.Uint64
	_     [64]byte
	head  uint64 // the consumer's alone
	*collector
}

type ringSlot struct {
	sequence atomic.Uint64
	event    event
}

// newEventsRing makes a ring; capacity is a power of two.
func newEventsRing(capacity int) *eventsRing {
	r := &eventsRing{slots: make([]ringSlot, capacity), mask: uint64(capacity - 1)}
	for i := range r.slots {
		r.slots[i].sequence.Store(uint64(i))
	}
	r.collector = startCollector(r.drain)
	return r
}

func (r *eventsRing) record(e event) {
	position := r.tail.Load()
	for {
		slot := &r.slots[position&r.mask]
		switch sequence := slot.sequence.Load(); {
		case sequence == position:
			if r.tail.CompareAndSwap(position, position+1) {
				slot.event = e
				slot.sequence.Store(position + 1)
				return
			}
			position = r.tail.Load()
		case sequence < position:
			// The event of one lap ago is still in the slot: the ring is full.
			r.dropped.Add(1)
			return
		default:
			// Another producer took the position.
			position = r.tail.Load()
		}
	}
}

func (r *eventsRing) drain() {
	for {
		slot := &r.slots[r.head&r.mask]
		if slot.sequence.Load() != r.head+1 {
			return
		}
		r.add(slot.event)
		slot.sequence.Store(r.head + uint64(len(r.slots)))
		r.head++
	}
}
