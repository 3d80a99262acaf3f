package ebpf

import (
	"testing"
	"time"
)

// stat makes a row of calls of the given durations.
func stat(name, target string, durations ...time.Duration) SyscallStat {
	s := SyscallStat{Name: name, Target: target, Hist: &Histogram{}}
	for _, d := range durations {
		s.Calls++
		s.Total += d
		s.Max = max(s.Max, d)
		s.Hist.counts[bucketOf(uint64(d))]++
	}
	return s
}

func TestSince(t *testing.T) {
	slow := stat("read", "a", time.Second, 100)
	slow.Errors, slow.Errnos = 1, map[string]uint64{"EAGAIN": 1}
	earlier := Syscalls{Elapsed: time.Second, Calls: []SyscallStat{slow, stat("write", "a", 50), stat("close", "", 10)},
		Ended: map[string]uint64{"exit": 2}, Self: Cost{CPU: 100, Runs: 10, Drops: map[string]uint64{"full": 3}}}
	read := stat("read", "a", time.Second, 100, 200, 300)
	read.Errors, read.Errnos = 3, map[string]uint64{"EAGAIN": 1, "EINTR": 2}
	later := Syscalls{Elapsed: 3 * time.Second, Calls: []SyscallStat{read, stat("write", "a", 50, 5000), stat("close", "", 10), stat("read", "b", 7)},
		Ended: map[string]uint64{"exit": 2, "exit_group": 1}, Self: Cost{CPU: 160, Runs: 25, Drops: map[string]uint64{"full": 3}}}

	got := later.Since(earlier)
	if got.Elapsed != 2*time.Second || got.Self.CPU != 60 || got.Self.Runs != 15 || len(got.Self.Drops) != 0 || len(got.Ended) != 1 || got.Ended["exit_group"] != 1 {
		t.Errorf("Since: %+v", got)
	}
	if len(got.Calls) != 3 || got.Calls[0].Name != "write" || got.Calls[2].Target != "b" {
		t.Fatalf("rows %+v", got.Calls)
	}
	r := got.Calls[1]
	if r.Calls != 2 || r.Total != 500 || r.Errors != 2 || r.Errnos["EINTR"] != 2 || r.Errnos["EAGAIN"] != 0 {
		t.Errorf("read: %+v", r)
	}
	if r.Max < 300 || r.Max > 320 || r.P99() > r.Max || r.P50() < 190 || r.P50() > 215 {
		t.Errorf("read: p50 %v, p99 %v, max %v of 200 and 300", r.P50(), r.P99(), r.Max)
	}
	if later.Calls[0].Calls != 4 || later.Calls[0].Hist.Count() != 4 {
		t.Error("Since changed the later reading")
	}
	if same := later.Since(later); len(same.Calls) != 0 || same.Elapsed != 0 {
		t.Errorf("nothing happened: %+v", same)
	}
}
