//go:build !linux

package doctor

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"mslab/results"
)

// systemChecks names what is tried on Linux, as not supported here.
func systemChecks(Options) []results.Check {
	var list []results.Check
	for _, name := range []string{
		"cores", "pinning", "cpu clock", "governor", "clock source", "steal", "cpu quota", "memory",
		"open files", "threads", "accept queue", "port range", "tw reuse",
		"epoll_pwait2", "io_uring",
		"net namespace", "user namespace", "nftables", "nft", "iptables", "cgroup v2", "memory limit",
		"btf", "bpf map", "bpf tp_btf", "bpf raw_tp", "bpf tracepoint", "tracefs", "perf software", "perf hardware", "lockdown",
	} {
		list = append(list, results.Check{Name: name, Try: notSupported})
	}
	return list
}

func notSupported(context.Context) results.Finding {
	return results.Fails("run mslab on Linux", "not supported on %s", runtime.GOOS)
}

// Inside makes the trials of a namespace; it needs Linux.
func Inside(context.Context, io.Writer, Options, string) error {
	return fmt.Errorf("try a namespace: not supported on %s", runtime.GOOS)
}
