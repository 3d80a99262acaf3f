package chaos

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
)

// lease keeps an element in a set of the kernel that expires by itself: what is
// left of a partition, without its process, drops nothing after nftLease.
type lease struct {
	set      *nftables.Set
	elements []nftables.SetElement

	stop   chan struct{}
	done   chan struct{}
	lapsed atomic.Bool // it ran out: the process did not get to renew it
}

func newLease(t *nftables.Table, port int) *lease {
	return &lease{
		set: &nftables.Set{
			ID: 1, Table: t, Name: nftSet, KeyType: nftables.TypeInetService, HasTimeout: true,
		},
		elements: []nftables.SetElement{{Key: binaryutil.BigEndian.PutUint16(uint16(port)), Timeout: nftLease}},
		stop:     make(chan struct{}), done: make(chan struct{}),
	}
}

// keep renews the lease until end is called.
func (l *lease) keep(n *netfilter) {
	defer close(l.done)
	tick := time.NewTicker(nftRenewal)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.stop:
			return
		}
		if err := l.renew(n); err != nil {
			l.lapsed.Store(true)
			return
		}
	}
}

// renew puts a new element in the place of the one that is there, in one
// transaction: kernels before 6.13 do not prolong one by adding it again. It
// fails where the element has run out.
func (l *lease) renew(n *netfilter) error {
	if err := n.bound(); err != nil {
		return err
	}
	if err := n.SetDeleteElements(l.set, []nftables.SetElement{{Key: l.elements[0].Key}}); err != nil {
		return err
	}
	if err := n.SetAddElements(l.set, l.elements); err != nil {
		return err
	}
	if err := n.Flush(); err != nil {
		return fmt.Errorf("renew the lease: %w", err)
	}
	return nil
}

// end stops renewing, and waits until that has stopped. It is called once.
func (l *lease) end() {
	close(l.stop)
	<-l.done
}
