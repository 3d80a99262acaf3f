package ebpf

import (
	"time"

	"github.com/google/pprof/profile"
)

// DefaultCPUPeriod is the time from sample to sample on each core: 499 Hz, which costs
// half of what 997 Hz does (totals are exact at either), and
// runs in step with none of the kernel's ticks (100, 250, 300 or 1000 Hz).
const DefaultCPUPeriod = time.Second / 499

// CPUOptions says whose processor time is sampled.
type CPUOptions struct {
	// PID is the process, as this one sees it; it may live in a pid namespace
	// below ours.
	PID int
	// Follow samples the children, too, that it forks from now on, and theirs.
	Follow bool
	// Period is the time from tick to tick of each core, at least 100 µs; 0 is
	// DefaultCPUPeriod.
	Period time.Duration
}

// CPUProfile is where processor time went.
type CPUProfile struct {
	// Profile has the sample types samples/count and cpu/nanoseconds. A sample
	// stands for the time that the process was on that core since the sample
	// before, as the scheduler charges it, measured at context switches.
	Profile *profile.Profile
	Elapsed time.Duration
	// Total is the sum of all samples' time.
	Total time.Duration
	// Clock is what the kernel charged the process meanwhile (its CPU clock, which
	// getrusage(2) reports too); -1 where it had ended before that was read, and
	// with Follow, where its children's time counts too.
	Clock time.Duration
	// Before is what the kernel had charged the process before it was sampled; -1:
	// not known.
	Before time.Duration
	// Samples were taken; Lost of them found no room and are in no stack, but
	// their time is with the next sample. Late ticks did not come, since a
	// hypervisor held the core: their time is with the next sample as well.
	Samples, Lost, Late uint64
	// The scheduler charges a woken thread from the moment at which it is woken, while
	// the one that woke it still has the core. Woken is the part of Total that the
	// process was charged so, and a function of its own in the profile. Waking is
	// what it ran for in turn while those that it woke were charged; it is not in
	// Total.
	Woken, Waking time.Duration
	// Stolen is the time on a core that was charged to nobody, and is not in Total.
	Stolen time.Duration
	// Ended tells that the process ended before the profile did.
	Ended bool
	// Processes is how many were sampled.
	Processes int
	// Self is what sampling cost.
	Self CPUCost
	// Notes say what the profile lacks on this machine, a sentence each.
	Notes []string
}

// CPUCost is what sampling took.
type CPUCost struct {
	Rung Rung
	// Machine is the time in the probes on all cores, idle ones included, and Runs
	// how often a probe ran: timed for 20 ms of every second and scaled up. Both
	// are 0 where the kernel does not time them.
	Machine time.Duration
	Runs    uint64
	// Period is the time from tick to tick of each core.
	Period time.Duration
}

// WokenFunction is the function that stands for CPUProfile.Woken in a profile.
const WokenFunction = "[charged while its waker ran]"

// KernelMapping is the mapping of the kernel's functions in a profile.
const KernelMapping = "[kernel.kallsyms]"
