//go:build amd64 || arm64

package ebpf

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The kernel's own timing of a probe costs about as much as the probe (50 ns a run
// here), for every process on the machine: it is switched on for a window at a time.
const (
	sampleWindow = 20 * time.Millisecond
	samplePeriod = time.Second
)

// sampler switches the kernel's timing of probes on and off.
type sampler struct {
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	on      io.Closer
	since   time.Duration
	sampled time.Duration // how long it has been on, but for a window that is open
}

// startSampler begins with a window. It gives nil where the kernel does not time
// probes for us: that takes CAP_SYS_ADMIN and Linux 5.8.
func startSampler() *sampler {
	s := &sampler{stop: make(chan struct{}), done: make(chan struct{})}
	if s.switchOn() != nil {
		return nil
	}
	go s.run()
	return s
}

func (s *sampler) run() {
	defer close(s.done)
	defer s.switchOff()
	wait := sampleWindow
	for {
		select {
		case <-s.stop:
			return
		case <-time.After(wait):
		}
		if wait == sampleWindow {
			s.switchOff()
			wait = samplePeriod - sampleWindow
			continue
		}
		if s.switchOn() != nil {
			return
		}
		wait = sampleWindow
	}
}

func (s *sampler) switchOn() error {
	on, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on, s.since = on, monotonic()
	return nil
}

func (s *sampler) switchOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on == nil {
		return
	}
	_ = s.on.Close() // a descriptor that holds a switch: closing cannot fail in a way that matters
	s.sampled += monotonic() - s.since
	s.on = nil
}

// time is how long the kernel has timed the probes.
func (s *sampler) time() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on == nil {
		return s.sampled
	}
	return s.sampled + monotonic() - s.since
}

// close ends the sampling.
func (s *sampler) close() {
	close(s.stop)
	<-s.done
}

// readCost adds up what the probes took and lost.
func (t *SyscallTracer) readCost(result *Syscalls) error {
	self := t.cost
	self.Drops = map[string]uint64{}
	var cores []uint64
	for i, reason := range dropReasons {
		if err := t.probes.coll.Maps[syscallsMapDrops].Lookup(uint32(i), &cores); err != nil {
			return fmt.Errorf("read the drops: %w", err)
		}
		if n := sum(cores); n > 0 {
			self.Drops[reason] = n
		}
	}
	var runtime time.Duration
	var runs uint64
	for _, program := range t.probes.stats {
		stats, err := program.Stats()
		if err != nil {
			continue // before Linux 5.8
		}
		runtime += stats.Runtime
		runs += stats.RunCount
		if stats.RecursionMisses > 0 {
			self.Drops["a probe was already running on that core"] += stats.RecursionMisses
		}
	}
	if t.sampler != nil {
		if sampled := t.sampler.time(); sampled > 0 {
			scale := max(float64(result.Elapsed)/float64(sampled), 1)
			self.Machine = time.Duration(float64(runtime) * scale)
			self.Runs = uint64(float64(runs) * scale)
		}
	}
	var calls uint64
	for i := range result.Calls {
		calls += result.Calls[i].Calls
	}
	self.CPU = time.Duration(calls) * self.PerCall
	result.Self = self
	return nil
}
