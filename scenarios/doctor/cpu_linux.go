package doctor

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"mslab/results"
	"mslab/scenarios"
)

// machine holds what several checks share, so that it is tried once.
type machine struct {
	again []string

	net, user trialInside
	watch     struct {
		sync.Once
		seen scenarios.Disturbance
		err  error
	}
}

func cores(context.Context) results.Finding {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return results.Fails("allow sched_getaffinity, which a seccomp filter may forbid", "ask for the cores that this process may use: %v", err)
	}
	if n := set.Count(); n >= 2 {
		return results.Works("this process may run on %d; server and generator get cores of their own", n)
	}
	return results.Fails("give this machine or container two cores or more", "this process may run on 1: server and generator would share it")
}

func pinning(context.Context) results.Finding {
	who, err := scenarios.TryPinning()
	if err != nil {
		return results.Fails("allow sched_setaffinity, which a seccomp filter may forbid", "%v", err)
	}
	return results.Works("pinned a thread of its own; %s", who)
}

// cpuClock reads the CPU clock of a child, which is what a run ranks by.
func (m *machine) cpuClock(ctx context.Context) results.Finding {
	const fix = "allow clock_gettime on other processes, which a seccomp filter may forbid"
	// The child's death signal comes when the thread that starts it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := m.command(ctx, stageWait)
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return results.Fails("allow this program to start itself", "start a child process: %v", cause(err))
	}
	defer func() {
		_ = stdin.Close() // which is its sign to end
		_ = cmd.Wait()
	}()
	for {
		cpu, err := scenarios.ReadCPU(cmd.Process.Pid)
		switch {
		case err != nil:
			return results.Fails(fix, "%v", err)
		case cpu > 0:
			return results.Works("read that of a child process: %s", cpu)
		case ctx.Err() != nil:
			return results.Fails(fix, "the CPU clock of a child stayed at 0")
		}
		time.Sleep(time.Millisecond)
	}
}

func governor(context.Context) results.Finding {
	switch g := results.CaptureEnvironment().Governor; g {
	case "none":
		return results.Works("no cpufreq: the kernel does not change the frequency, as in most virtual machines")
	case "performance":
		return results.Works("performance on all cores")
	default:
		return results.Fails("cpupower frequency-set -g performance", "%s: the cores' speed follows their load", g)
	}
}

// slowClock is the reading of a clock that takes a system call: through the
// vDSO (vdso(7)) it takes some 20 to 60 ns.
const slowClock = 200 * time.Nanosecond

func clockSource(context.Context) results.Finding {
	source := readWord("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	cost := clockCost()
	if cost > slowClock {
		return results.Fails("choose tsc or the hypervisor's clock in /sys/devices/system/clocksource/clocksource0/current_clocksource",
			"%s; a reading takes %s, which the generator pays twice a request", source, cost)
	}
	return results.Works("%s; a reading takes %s", source, cost)
}

// clockCost is the median of batches of readings.
func clockCost() time.Duration {
	const batches, readings = 15, 1000
	costs := make([]time.Duration, batches)
	for i := range costs {
		begin := time.Now()
		for range readings - 1 {
			_ = time.Now()
		}
		costs[i] = time.Since(begin) / readings
	}
	slices.Sort(costs)
	return costs[batches/2]
}

// watchFor is short for a user, and long against the 10 ms in which the kernel
// counts steal and the 100 ms of a CPU quota's period.
const watchFor = 200 * time.Millisecond

func (m *machine) disturbance() (scenarios.Disturbance, error) {
	m.watch.Do(func() { m.watch.seen, m.watch.err = scenarios.WatchDisturbance(watchFor) })
	return m.watch.seen, m.watch.err
}

func (m *machine) steal(context.Context) results.Finding {
	d, err := m.disturbance()
	switch {
	case err != nil:
		return results.Fails("allow sched_getaffinity, which a seccomp filter may forbid", "%v", err)
	case d.Struck:
		return results.Fails("use a machine whose cores are its own; compare within one run only",
			"all cores busy for %s: other virtual machines took %.1f %% of them", watchFor, 100*d.Stolen)
	}
	return results.Works("all cores busy for %s: other virtual machines took %.1f %%", watchFor, 100*d.Stolen)
}

func (m *machine) cpuQuota(context.Context) results.Finding {
	d, err := m.disturbance()
	limits := results.CaptureEnvironment().Cgroup
	switch {
	case err != nil:
		return results.Fails("allow sched_getaffinity, which a seccomp filter may forbid", "%v", err)
	case d.Throttled > 0:
		return results.Fails("raise or lift the CPU quota of this cgroup or container",
			"all cores busy for %s: the cgroup's quota ran out %d times (%s)", watchFor, d.Throttled, limits)
	}
	return results.Works("all cores busy for %s: not throttled (cgroup %s)", watchFor, limits)
}

// wantMemory is for a handful of servers, the generator and their files' pages.
const wantMemory = 1 << 30

func memory(context.Context) results.Finding {
	const fix = "close other programs, or raise the memory limit of this cgroup or container"
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return results.Fails("mount /proc", "%v", err)
	}
	info, err := fs.Meminfo()
	if err != nil || info.MemAvailableBytes == nil {
		return results.Fails("mount /proc", "/proc/meminfo does not say what is available")
	}
	left, of := int64(*info.MemAvailableBytes), "the machine"
	if group := memoryLeft(); group < left {
		left, of = group, "this cgroup"
	}
	if left < wantMemory {
		return results.Fails(fix, "%s has %s left; %s are wanted", of, sizeText(left), sizeText(wantMemory))
	}
	return results.Works("%s has %s left", of, sizeText(left))
}

func readWord(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return "unreadable"
	}
	return strings.TrimSpace(string(data))
}
