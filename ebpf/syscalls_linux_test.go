//go:build amd64 || arm64

package ebpf

import (
	"testing"
)

func TestCountsAreExact(t *testing.T) {
	for _, rung := range Rungs() {
		t.Run(string(rung), func(t *testing.T) {
			c := startHelper(t, "calls", "4", "1000000", "1000")
			tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), Rung: rung})
			c.goOn()
			c.line()
			result := stop(t, tracer)
			writes, opens := find(result, "pwrite64"), find(result, "openat")
			if writes.Calls != 1_000_000 || writes.Errors != 0 {
				t.Errorf("%d writes with %d errors, want 1000000 and none", writes.Calls, writes.Errors)
			}
			if opens.Calls != 1000 || opens.Errors != 1000 || opens.Errnos["ENOENT"] != 1000 {
				t.Errorf("%d opens, %d errors, %v", opens.Calls, opens.Errors, opens.Errnos)
			}
			t.Logf("write: mean %v p50 %v p99 %v max %v; self %+v", writes.Mean(), writes.P50(), writes.P99(), writes.Max, result.Self)
			t.Logf("unfinished %+v", result.Unfinished)
		})
	}
}
