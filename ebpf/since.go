package ebpf

import (
	"slices"
	"time"
)

// Since is what was counted after an earlier reading of the same tracer: totals,
// errors, durations and cost are differences. Calls in progress are those of the
// later reading. The longest call of a stretch is not kept by the kernel: Max is
// the upper end of its bucket, at most the longest of all.
func (s Syscalls) Since(earlier Syscalls) Syscalls {
	type key struct {
		name, target string
		thread       int32
	}
	before := make(map[key]*SyscallStat, len(earlier.Calls))
	for i := range earlier.Calls {
		c := &earlier.Calls[i]
		before[key{c.Name, c.Target, c.Thread}] = c
	}
	out := s
	out.Elapsed -= earlier.Elapsed
	out.Calls = nil
	for _, c := range s.Calls {
		if old := before[key{c.Name, c.Target, c.Thread}]; old != nil {
			c = c.since(old)
		}
		if c.Calls > 0 {
			out.Calls = append(out.Calls, c)
		}
	}
	slices.SortStableFunc(out.Calls, func(a, b SyscallStat) int {
		switch {
		case a.Total > b.Total:
			return -1
		case a.Total < b.Total:
			return 1
		}
		return 0
	})
	out.Ended = countsSince(s.Ended, earlier.Ended)
	out.Self.CPU -= earlier.Self.CPU
	out.Self.Machine = max(out.Self.Machine-earlier.Self.Machine, 0) // scaled up from windows
	out.Self.Runs -= min(out.Self.Runs, earlier.Self.Runs)
	out.Self.Drops = countsSince(s.Self.Drops, earlier.Self.Drops)
	return out
}

func (s SyscallStat) since(old *SyscallStat) SyscallStat {
	s.Calls -= old.Calls
	s.Errors -= old.Errors
	s.Errnos = countsSince(s.Errnos, old.Errnos)
	s.Total -= old.Total
	all := s.Max
	s.Hist, s.Max = s.Hist.since(old.Hist)
	s.Max = min(s.Max, all)
	return s
}

// since is the difference of two histograms, and the upper end of its last
// bucket.
func (h *Histogram) since(old *Histogram) (*Histogram, time.Duration) {
	out, last := &Histogram{}, time.Duration(0)
	for i, n := range h.counts {
		if out.counts[i] = n - old.counts[i]; out.counts[i] > 0 {
			low, width := bucketBounds(i)
			if last = time.Duration(low + width); i == histBuckets-1 {
				last = 1<<63 - 1 // it has no upper end
			}
		}
	}
	return out, last
}

// countsSince leaves out what did not grow.
func countsSince(now, before map[string]uint64) map[string]uint64 {
	var out map[string]uint64
	for name, n := range now {
		if n == before[name] {
			continue
		}
		if out == nil {
			out = map[string]uint64{}
		}
		out[name] = n - before[name]
	}
	return out
}
