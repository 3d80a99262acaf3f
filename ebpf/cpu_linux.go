//go:build amd64 || arm64

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

//go:generate go run ./generate objects cpu

const (
	shortestPeriod = 100 * time.Microsecond
	// drainPeriod is how often samples are fetched; nothing wakes the reader for
	// each.
	drainPeriod = 100 * time.Millisecond
	// roomPerCore is for samples that wait to be fetched: a quarter of a second of
	// the deepest stacks, more of usual ones.
	roomPerCore = 512 << 10
	mostRoom    = 64 << 20
)

// CPUSampler samples the stacks of a process by the clocks of all cores.
type CPUSampler struct {
	options CPUOptions
	rung    Rung
	coll    *ebpf.Collection
	links   []link.Link
	events  []int // perf events, one for each core
	pidfd   int
	reader  *ringbuf.Reader
	cost    *sampler
	started time.Duration
	clock   time.Duration // of the process at the start; -1: not known

	fetch sync.WaitGroup
	quit  chan struct{} // closed by end
	end   func()
	read  *collected
	err   error // of the reader, after fetch

	closed bool
}

// SampleCPU loads and attaches the probes; when it returns, stacks are sampled.
// The error is a *Missing where the machine does not allow it.
func SampleCPU(o CPUOptions) (*CPUSampler, error) {
	if o.Period == 0 {
		o.Period = DefaultCPUPeriod
	}
	if o.Period < shortestPeriod {
		return nil, fmt.Errorf("sample processor time every %s: want at least %s", o.Period, shortestPeriod)
	}
	if err := checkPID(o.PID, "", false); err != nil {
		return nil, fmt.Errorf("sample processor time: %w", err)
	}
	s, err := openSampler(o)
	if err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// CheckCPU tries whether processor time can be sampled here, by loading and
// attaching and taking it back, and gives the rung that works.
func CheckCPU() (Rung, error) {
	s, err := openSampler(CPUOptions{Period: DefaultCPUPeriod})
	if err != nil {
		return "", err
	}
	return s.rung, s.Close()
}

// openSampler loads and attaches; nothing is sampled yet.
func openSampler(o CPUOptions) (*CPUSampler, error) {
	_ = rlimit.RemoveMemlock()
	var tried []Attempt
	for _, rung := range []Rung{TPBTF, RawTP} {
		s := &CPUSampler{options: o, rung: rung, pidfd: -1, clock: -1, quit: make(chan struct{})}
		s.end = sync.OnceFunc(func() { close(s.quit) })
		err := s.open()
		if err == nil {
			return s, nil
		}
		tried = append(tried, Attempt{rung, cleanError(errors.Join(err, s.Close()))})
	}
	missing := diagnose(tried, "sampling stacks")
	if missing.Fix == newerKernel { // bpf_task_pt_regs is of 5.15
		missing.Fix = "use Linux 5.15 or newer with CONFIG_BPF_EVENTS and CONFIG_PERF_EVENTS"
	}
	return nil, missing
}

func (s *CPUSampler) open() error {
	spec, err := loadCpu()
	if err != nil {
		return fmt.Errorf("read the compiled probes: %w", err)
	}
	points := map[string]string{"switched_": "sched_switch"}
	if s.options.Follow {
		points["cpu_forked_"], points["cpu_freed_"] = "sched_process_fork", "sched_process_free"
	}
	keep := map[string]string{cpuProgCpuTick: ""}
	for prefix, point := range points {
		keep[prefix+string(s.rung)] = point
	}
	for name := range spec.Programs {
		if _, ok := keep[name]; !ok {
			delete(spec.Programs, name)
		}
	}
	cores, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count the cores: %w", err)
	}
	spec.Maps[cpuMapSamples].MaxEntries = roomFor(cores)
	if err := errors.Join(spec.Variables["period"].Set(uint64(s.options.Period)), spec.Variables["follow"].Set(s.options.Follow)); err != nil {
		return fmt.Errorf("set the period: %w", err)
	}
	if s.coll, err = ebpf.NewCollection(spec); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	for name, point := range keep {
		if point == "" {
			continue
		}
		l, err := attach(s.coll.Programs[name], attachment{name, "sched", point})
		if err != nil {
			return fmt.Errorf("attach to %s: %w", point, err)
		}
		s.links = append(s.links, l)
	}
	if s.reader, err = ringbuf.NewReader(s.coll.Maps[cpuMapSamples]); err != nil {
		return fmt.Errorf("read the samples: %w", err)
	}
	return s.openEvents(cores)
}

// roomFor gives the size of the ring, a power of two.
func roomFor(cores int) uint32 {
	room := uint32(1 << 20)
	for int(room) < cores*roomPerCore && room < mostRoom {
		room *= 2
	}
	return room
}

// openEvents makes the clock of each core that is online, stopped.
func (s *CPUSampler) openEvents(cores int) error {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK,
		Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Sample: uint64(s.options.Period), Bits: unix.PerfBitDisabled,
	}
	for core := range cores {
		event, err := unix.PerfEventOpen(&attr, -1, core, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if errors.Is(err, unix.ENODEV) {
			continue // offline
		}
		if err != nil {
			return fmt.Errorf("open the clock of core %d (perf_event_open): %w", core, err)
		}
		s.events = append(s.events, event)
		if err := unix.IoctlSetInt(event, unix.PERF_EVENT_IOC_SET_BPF, s.coll.Programs[cpuProgCpuTick].FD()); err != nil {
			return fmt.Errorf("attach to the clock of core %d: %w", core, err)
		}
	}
	if len(s.events) == 0 {
		return errors.New("open the clocks of the cores: none is online")
	}
	return nil
}

// start begins to sample.
func (s *CPUSampler) start() error {
	known, err := readIDs()
	if err != nil {
		return err
	}
	target, err := known.first(s.options.PID)
	if err != nil {
		return fmt.Errorf("sample process %d: %w", s.options.PID, err)
	}
	if s.pidfd, err = unix.PidfdOpen(s.options.PID, 0); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("sample process %d: it has ended", s.options.PID)
	}
	words := make([]uint64, 1<<22/64)
	words[target/64] = 1 << (target % 64)
	s.read = newCollected(known, target, s.options.PID)
	s.cost = startSampler()
	if err := s.coll.Variables["sampled"].Set(words); err != nil {
		return fmt.Errorf("say whom to sample: %w", err)
	}
	s.clock = processClock(s.options.PID)
	s.started = monotonic()
	for _, event := range s.events {
		if err := unix.IoctlSetInt(event, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
			return fmt.Errorf("start the clock of a core: %w", err)
		}
	}
	s.fetch.Go(s.fetchSamples)
	return nil
}

// processClock is the time that the kernel charged to all threads of a process,
// ended ones included (CPUCLOCK_SCHED of clock_gettime(2)); -1 where it has ended.
func processClock(pid int) time.Duration {
	const sched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return -1
	}
	return time.Duration(ts.Nano())
}

// fetchSamples takes samples out of the ring until there are no more to come.
func (s *CPUSampler) fetchSamples() {
	var record ringbuf.Record
	for last := false; ; {
		select {
		case <-s.quit:
			last = true
		default:
		}
		s.reader.SetDeadline(time.Now().Add(drainPeriod))
		if last {
			s.reader.SetDeadline(time.Now().Add(-time.Second))
		}
		for {
			err := s.reader.ReadInto(&record)
			if isTimeout(err) {
				break
			}
			if err != nil {
				s.err = fmt.Errorf("read the samples: %w", err)
				return
			}
			s.read.add(record.RawSample)
		}
		if last {
			return
		}
	}
}

// Wait lets the sampler run for d, or until the process or ctx ends. It is no
// error that the process ends.
func (s *CPUSampler) Wait(ctx context.Context, d time.Duration) error {
	end := time.Now().Add(d)
	for {
		left := time.Until(end)
		if left <= 0 || s.processEnded() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(left, 10*time.Millisecond)):
		}
	}
}

func (s *CPUSampler) processEnded() bool {
	if s.pidfd < 0 {
		return errors.Is(unix.Kill(s.options.PID, 0), unix.ESRCH)
	}
	poll := []unix.PollFd{{Fd: int32(s.pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0
}

// Stop ends the sampling and gives the profile. It also closes the sampler.
func (s *CPUSampler) Stop() (*CPUProfile, error) {
	if s.closed {
		return nil, errors.New("stop sampling processor time: the sampler is closed")
	}
	p := &CPUProfile{Clock: -1, Before: s.clock, Ended: s.processEnded()}
	if s.clock >= 0 && !p.Ended && !s.options.Follow {
		if clock := processClock(s.options.PID); clock >= 0 {
			p.Clock = clock - s.clock
		}
	}
	now := monotonic()
	err := s.detach()
	p.Elapsed = now - s.started
	s.end()
	s.fetch.Wait()
	if err = errors.Join(err, s.err); err == nil {
		err = s.readCounts(p, now)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("stop sampling processor time: %w", err), s.Close())
	}
	s.readCost(p)
	if kernel, err := btf.LoadKernelSpec(); err == nil && !tellsCharges(kernel) {
		p.Notes = append(p.Notes, "This kernel, without CONFIG_FAIR_GROUP_SCHED, does not show what it charges at a switch: a sample stands for time on a core, which the process' clock has more or less of.")
	}
	read := s.read
	s.read = nil // its files are still needed
	if err := s.Close(); err != nil {
		read.files.close()
		return nil, err
	}
	return p, read.build(p, s.options)
}

// detach stops the clocks and takes the probes off.
func (s *CPUSampler) detach() error {
	var errs []error
	for _, event := range s.events {
		errs = append(errs, unix.Close(event))
	}
	s.events = nil
	for _, l := range s.links {
		errs = append(errs, l.Close())
	}
	s.links = nil
	settle()
	return errors.Join(errs...)
}

// readCounts adds up what the cores counted.
func (s *CPUSampler) readCounts(p *CPUProfile, now time.Duration) error {
	var cores []cpuCore
	if err := s.coll.Maps[cpuMapCores].Lookup(uint32(0), &cores); err != nil {
		return fmt.Errorf("read the counts: %w", err)
	}
	var rest int64
	for i := range cores {
		c := &cores[i].Counts
		p.Samples += c.Samples
		p.Lost += c.Lost
		p.Late += c.Late
		p.Stolen += time.Duration(c.Excluded)
		p.Woken += time.Duration(c.Woken)
		p.Waking += time.Duration(c.Waking)
		rest += c.Pending
		if c.Since != 0 {
			rest += max(int64(now)-int64(c.Since), 0)
		}
	}
	s.read.giveLast(rest)
	return nil
}

// tellsCharges tells whether the probe of the switches finds the scheduler's own
// clock, as it does: from a task's cfs_rq.
func tellsCharges(kernel *btf.Spec) bool {
	has := func(of, name string) bool {
		var t *btf.Struct
		return kernel.TypeByName(of, &t) == nil && slices.ContainsFunc(t.Members, func(m btf.Member) bool { return m.Name == name })
	}
	return has("sched_entity", "cfs_rq") && has("cfs_rq", "rq")
}

// readCost reads what the probes took.
func (s *CPUSampler) readCost(p *CPUProfile) {
	p.Self = CPUCost{Rung: s.rung, Period: s.options.Period}
	if s.cost == nil {
		return
	}
	sampled := s.cost.time()
	if sampled <= 0 {
		return
	}
	scale := max(float64(p.Elapsed)/float64(sampled), 1)
	for _, program := range s.coll.Programs {
		if stats, err := program.Stats(); err == nil {
			p.Self.Machine += time.Duration(float64(stats.Runtime) * scale)
			p.Self.Runs += uint64(float64(stats.RunCount) * scale)
		}
	}
}

// Close takes the probes off and frees what the sampler holds. It may be called
// more than once.
func (s *CPUSampler) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.detach()
	s.end()
	s.fetch.Wait()
	if s.read != nil {
		s.read.files.close()
	}
	if s.reader != nil {
		err = errors.Join(err, s.reader.Close())
	}
	if s.cost != nil {
		s.cost.close()
	}
	if s.coll != nil {
		s.coll.Close()
	}
	if s.pidfd >= 0 {
		err = errors.Join(err, unix.Close(s.pidfd))
	}
	if err != nil {
		return fmt.Errorf("take the probes off: %w", err)
	}
	return nil
}
