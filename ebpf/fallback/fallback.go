// Package fallback watches a process without BPF and without rights of its own:
// by what the kernel counts for every process and shows in /proc. It knows how
// often threads gave up or lost their core, how long they waited for one, and
// what the network counted, but no system call by name.
package fallback

import "time"

// Figures are what was counted between two moments.
type Figures struct {
	Elapsed time.Duration
	// Voluntary and Involuntary are context switches: of threads that had to
	// wait, and of threads that had to make room.
	Voluntary, Involuntary uint64
	// RunQueueWait is how long threads that could run waited for a core,
	// Timeslices how often they got one.
	RunQueueWait time.Duration
	Timeslices   uint64
	// CPU is by the process' clock, threads that have ended included.
	CPU time.Duration
	// Threads is how many there are now, ThreadsMost the most that were seen at
	// once. ThreadsEnded were seen and are gone: of them, and of threads that
	// came and went between two looks, switches and waits may be missing.
	Threads, ThreadsMost, ThreadsEnded int
	MinorFaults, MajorFaults           uint64
	// IO is nil where /proc/PID/io is not for this user.
	IO *IO
	// Network is what the network namespace of the process counted, other
	// processes included; nil where it is not readable.
	Network []Counter
}

// IO counts the calls of the read and write families, on descriptors of any
// kind but sockets read by recv and written by send.
type IO struct {
	ReadCalls, WriteCalls uint64
	ReadBytes, WriteBytes uint64 // handed over by those calls, from or to caches too
}

// Counter is one counter of /proc/net/netstat or /proc/net/snmp.
type Counter struct {
	Name  string // as the kernel calls it
	Value int64
}
