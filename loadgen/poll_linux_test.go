package loadgen

import (
	"testing"
	"time"
)

// TestPollerWaits: with epoll_pwait2 and with the timer that stands in for it
// on older kernels.
func TestPollerWaits(t *testing.T) {
	for _, old := range []bool{false, true} {
		p, err := newPoller()
		if err != nil {
			t.Fatal(err)
		}
		if old {
			if err := p.useTimerfd(); err != nil {
				t.Fatal(err)
			}
		}
		for _, d := range []time.Duration{3 * time.Millisecond, 0, time.Millisecond} {
			began := time.Now()
			if _, err := p.wait(d); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < d || took > d+time.Second {
				t.Errorf("old kernel %v: waited %v, want %v", old, took, d)
			}
		}
		time.AfterFunc(5*time.Millisecond, p.wake)
		if n, err := p.wait(10 * time.Second); err != nil || n != 1 || p.events[0].Fd != wakeTag {
			t.Errorf("old kernel %v: woken with %d events, %v", old, n, err)
		}
		p.close()
	}
}
