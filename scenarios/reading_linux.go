package scenarios

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"mslab/results/record"
)

// accounting is what the kernel has counted for a process since it started,
// threads that have ended included.
type accounting struct {
	user, system           time.Duration
	voluntary, involuntary int64 // context switches
}

// readAccounting reads a child's resource usage. /proc/PID/status and its tasks
// know only threads that are alive, and wait4 tells all only once the child has
// ended; but waitid(2) hands out the same totals (getrusage of the whole thread
// group, ended threads included) when a child STOPS. So it is stopped and
// continued at once, which takes about 0.1 ms and costs each of its threads two
// voluntary switches: one to stop, one to block again.
func readAccounting(c *child) (accounting, error) {
	fail := func(err error) (accounting, error) {
		return accounting{}, fmt.Errorf("read the resource usage of %s: %w", c.name, err)
	}
	if !c.alive() {
		return fail(errors.New("it has ended"))
	}
	if err := unix.Kill(c.pid, unix.SIGSTOP); err != nil {
		return fail(err)
	}
	defer func() { _ = unix.Kill(c.pid, unix.SIGCONT) }()
	for limit := time.Now().Add(time.Second); ; {
		var info unix.Siginfo
		var ru unix.Rusage
		err := unix.Waitid(unix.P_PID, c.pid, &info, unix.WSTOPPED|unix.WNOHANG, &ru)
		switch {
		case err != nil && err != unix.EINTR:
			return fail(err)
		case err == nil && info.Signo == int32(unix.SIGCHLD):
			return accounting{
				user: time.Duration(ru.Utime.Nano()), system: time.Duration(ru.Stime.Nano()),
				voluntary: ru.Nvcsw, involuntary: ru.Nivcsw,
			}, nil
		}
		if time.Now().After(limit) {
			return fail(errors.New("it did not stop within 1 s"))
		}
		time.Sleep(20 * time.Microsecond)
	}
}

// readCPU reads a process' CPU clock: user and system time of all its threads,
// in ns. The clock's id is made of the pid as in the kernel's
// include/linux/posix-timers.h: (^pid << 3) | CPUCLOCK_SCHED.
func readCPU(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// memory is what /proc/PID/status says at this moment.
type memory struct {
	rss, rssMax int64 // bytes
	threads     int64
}

func readMemory(pid int) (memory, error) {
	fail := func(err error) (memory, error) {
		return memory{}, fmt.Errorf("read /proc of process %d: %w", pid, err)
	}
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return fail(err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return fail(err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return fail(err)
	}
	return memory{rss: int64(status.VmRSS), rssMax: int64(status.VmHWM), threads: int64(stat.NumThreads)}, nil
}

// network is what the kernel counts for a whole network namespace.
type network struct {
	overflows, drops, synRetransmits int64
}

func readNetwork() (network, error) {
	self, err := procfs.Self()
	if err != nil {
		return network{}, fmt.Errorf("read /proc/self/net/netstat: %w", err)
	}
	stat, err := self.Netstat()
	if err != nil {
		return network{}, fmt.Errorf("read /proc/self/net/netstat: %w", err)
	}
	value := func(v *float64) int64 {
		if v == nil {
			return 0
		}
		return int64(*v)
	}
	return network{value(stat.TcpExt.ListenOverflows), value(stat.TcpExt.ListenDrops), value(stat.TcpExt.TCPSynRetrans)}, nil
}

func readDisturbance() disturbance {
	var d disturbance
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if stat, err := fs.Stat(); err == nil {
			d.steal = stat.CPUTotal.Steal
		}
	}
	if data, err := os.ReadFile(cgroupCPUStat()); err == nil {
		for line := range strings.Lines(string(data)) {
			_, _ = fmt.Sscanf(line, "nr_throttled %d", &d.throttled)
		}
	}
	return d
}

// cgroupCPUStat is the file that counts throttling for this process' cgroup, ""
// where there is none.
func cgroupCPUStat() string {
	self, err := procfs.Self()
	if err != nil {
		return ""
	}
	groups, err := self.Cgroups()
	if err != nil {
		return ""
	}
	for _, g := range groups {
		switch {
		case g.HierarchyID == 0:
			return "/sys/fs/cgroup" + g.Path + "/cpu.stat"
		case slices.Contains(g.Controllers, "cpu"):
			return "/sys/fs/cgroup/cpu" + g.Path + "/cpu.stat"
		}
	}
	return ""
}

// reading is all that is known of a server at one moment at which nothing is in
// flight.
type reading struct {
	cpu         time.Duration
	accounting  accounting
	network     network
	disturbance disturbance
	counters    map[string]int64
	tree        treeReading // of a foreign subject
}

// readBefore reads ahead of a stretch. The CPU clock comes last, so that what
// the reading costs the server is not in the stretch.
func (r *runner) readBefore(ctx context.Context, c *child) (reading, error) {
	var at reading
	var err error
	if c.foreign != nil {
		return r.readForeignBefore(c)
	}
	if at.counters, err = c.counters(ctx); err != nil {
		return at, err
	}
	if r.proc {
		if at.accounting, err = readAccounting(c); err != nil {
			return at, err
		}
	}
	if r.netstat {
		if at.network, err = readNetwork(); err != nil {
			return at, err
		}
	}
	at.disturbance = readDisturbance()
	at.cpu, err = readCPU(c.pid)
	return at, err
}

// readAfter reads after a stretch whose counters were read when the server had
// drained. The CPU clock comes first.
func (r *runner) readAfter(c *child, counters map[string]int64) (reading, error) {
	at := reading{counters: counters}
	var err error
	if at.cpu, err = readCPU(c.pid); err != nil {
		return at, err
	}
	at.disturbance = readDisturbance()
	if r.netstat {
		if at.network, err = readNetwork(); err != nil {
			return at, err
		}
	}
	if r.proc {
		at.accounting, err = readAccounting(c)
	}
	return at, err
}

// difference is the server's part of a record between two readings.
func difference(before, after reading, ok int64) *record.Server {
	s := &record.Server{
		CPUNS:    int64(after.cpu - before.cpu),
		UserNS:   int64(after.accounting.user - before.accounting.user),
		SystemNS: int64(after.accounting.system - before.accounting.system),
		CtxSwitches: record.CtxSwitches{
			Voluntary:   after.accounting.voluntary - before.accounting.voluntary,
			Involuntary: after.accounting.involuntary - before.accounting.involuntary,
		},
		ListenDrops:     after.network.drops - before.network.drops,
		ListenOverflows: after.network.overflows - before.network.overflows,
		SynRetransmits:  after.network.synRetransmits - before.network.synRetransmits,
		Counters:        map[string]int64{},
	}
	for name, value := range after.counters {
		if gauge(name) {
			continue
		}
		s.Counters[name] = value - before.counters[name]
	}
	if ok > 0 {
		s.CPUPerRequest = float64(s.CPUNS) / float64(ok)
	}
	return s
}

// gauge names the counters whose differences mean nothing.
func gauge(name string) bool { return name == "connections_active" || name == "sink_pending" }

// sample watches a server's threads, and a foreign one's processes, until what
// it returns is called.
func (r *runner) sample(c *child) (end func() treeSample) {
	switch {
	case c.foreign != nil && c.foreign.unread == "":
		return sampleTree(c.foreign.tree)
	case c.foreign == nil && r.proc:
		sampler := sampleThreads(c.pid)
		return func() treeSample { return treeSample{threads: sampler.end()} }
	}
	return func() treeSample { return treeSample{} }
}

// threadSampler watches a process' thread count from a thread of the
// generator.
type threadSampler struct {
	stop chan struct{}
	done chan int64
}

const sampleEvery = 20 * time.Millisecond

func sampleThreads(pid int) *threadSampler {
	s := &threadSampler{stop: make(chan struct{}), done: make(chan int64, 1)}
	go func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		var most int64
		for {
			if m, err := readMemory(pid); err == nil {
				most = max(most, m.threads)
			}
			select {
			case <-ticker.C:
			case <-s.stop:
				s.done <- most
				return
			}
		}
	}()
	return s
}

// end stops the sampler and returns the most threads that it saw.
func (s *threadSampler) end() int64 {
	close(s.stop)
	return <-s.done
}
