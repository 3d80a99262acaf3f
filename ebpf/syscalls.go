package ebpf

import (
	"time"
)

// SyscallOptions says whose system calls are traced, and how they are split.
type SyscallOptions struct {
	// PID is the thread group, as this process sees it; it may live in a pid
	// namespace below ours.
	PID int
	// Follow traces the children, too, that it forks from now on, and theirs.
	Follow bool
	// Only names the calls to trace; empty for all.
	Only []string
	// ByFD splits calls whose first argument is a descriptor by what it refers to
	// when the call begins.
	ByFD bool
	// ByThread splits calls by the thread that makes them.
	ByThread bool
	// Rung forces a way to attach; empty for the best that works.
	Rung Rung
}

// Syscalls is what was counted since the start.
type Syscalls struct {
	// Elapsed is how long both ends of a call have been watched.
	Elapsed time.Duration
	// Calls holds calls that began and returned while they were watched, by total
	// time, largest first. A call that was in progress when the tracer was
	// attached is not among them.
	Calls []SyscallStat
	// Unfinished holds the calls in progress at the end, longest first; they are
	// in no total.
	Unfinished []UnfinishedCall
	// Ended counts, by name, the calls whose thread ended inside them: exit and
	// exit_group always, others where a signal killed. They are in no total.
	Ended map[string]uint64
	// Processes is how many processes were traced: 1, and with Follow the children.
	Processes int
	// Self is what the tracer itself cost and lost.
	Self Cost
}

// SyscallStat is one row: a call, and with ByFD and ByThread what and who.
type SyscallStat struct {
	Name   string
	Number int
	// Compat is set for calls by the machine's 32-bit table, whose numbers mean
	// other calls. Name then ends in " (32-bit)".
	Compat bool
	// Target is what the first argument refers to ("tcp 127.0.0.1:8080 (accepted)",
	// "file /x/metrics.jsonl", "eventfd"), with ByFD and for calls that take a
	// descriptor; else "".
	Target string
	// FD is a number that the descriptor had, -1 where there is none. A row of
	// many descriptors (accepted connections) has the first one seen.
	FD int32
	// Thread is the id of the thread with ByThread, else 0.
	Thread int32

	Calls, Errors uint64
	// Errnos counts errors by their symbol; their sum is Errors.
	Errnos     map[string]uint64
	Total, Max time.Duration
	// Hist holds the durations, up to 2^32 in a bucket on each core.
	Hist *Histogram
}

// Mean is Total by Calls; 0 without calls.
func (s *SyscallStat) Mean() time.Duration {
	if s.Calls == 0 {
		return 0
	}
	return time.Duration(uint64(s.Total) / s.Calls)
}

// P50 is the median duration, within 3.1 %.
func (s *SyscallStat) P50() time.Duration { return s.Hist.Quantile(0.50, s.Max) }

// P99 is the duration that 99 % of the calls stay under, within 3.1 %.
func (s *SyscallStat) P99() time.Duration { return s.Hist.Quantile(0.99, s.Max) }

// UnfinishedCall is a call that had begun and not returned.
type UnfinishedCall struct {
	Name    string
	Number  int
	Compat  bool
	Target  string // as in SyscallStat
	FD      int32
	Process int32
	Thread  int32
	For     time.Duration // from its begin to the end of the trace
}

// Cost is what the tracer cost and lost.
type Cost struct {
	Rung Rung
	// CPU is what tracing took of the traced processes' time: the calls that were
	// counted, each at PerCall.
	CPU time.Duration
	// Machine is the time in the probes on all cores, those included whose calls
	// are turned away, and Runs how often a probe ran. The kernel times them for
	// 20 ms of every second, and that is scaled up. Both are 0 where it does not:
	// that takes CAP_SYS_ADMIN.
	Machine time.Duration
	Runs    uint64
	// Drops counts what was lost, by reason; empty when every call is accounted for.
	Drops map[string]uint64
	// PerCall is by how much CPU time a traced call takes more than an untraced
	// one, measured before the start on getppid (with ByFD: on fcntl) in this
	// process. Bystander is the same for a call of a process that is not traced.
	PerCall, Bystander time.Duration
	// Floor is what that call reads under this tracer, at the median: no duration
	// is less, and a part of each is the tracer's own.
	Floor time.Duration
}

// Lost is the sum of the drops.
func (c *Cost) Lost() uint64 {
	var sum uint64
	for _, n := range c.Drops {
		sum += n
	}
	return sum
}
