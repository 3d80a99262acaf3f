package doctor

import "mslab/results"

// systemChecks is the list of what is tried on Linux.
func systemChecks(o Options) []results.Check {
	m := &machine{again: o.Again}
	return []results.Check{
		{Name: "cores", Try: cores},
		{Name: "pinning", Try: pinning},
		{Name: "cpu clock", Try: m.cpuClock},
		{Name: "governor", Try: governor},
		{Name: "clock source", Try: clockSource},
		{Name: "steal", Try: m.steal},
		{Name: "cpu quota", Try: m.cpuQuota},
		{Name: "memory", Try: memory},

		{Name: "open files", Try: openFiles},
		{Name: "threads", Try: threads},
		{Name: "accept queue", Try: acceptQueue},
		{Name: "port range", Try: portRange},
		{Name: "tw reuse", Try: timeWaitReuse},

		{Name: "epoll_pwait2", Try: epollPwait2},
		{Name: "io_uring", Try: ioUring},

		{Name: "net namespace", Try: m.netNamespace},
		{Name: "user namespace", Try: m.userNamespace},
		{Name: "nftables", Try: m.nftables},
		{Name: "nft", Try: m.nft},
		{Name: "iptables", Try: m.iptables},
		{Name: "cgroup v2", Try: cgroupV2},
		{Name: "memory limit", Try: memoryLimit},

		{Name: "btf", Try: btf},
		{Name: "bpf map", Try: bpfMap},
		{Name: "bpf tp_btf", Try: bpfTypedTracepoint},
		{Name: "bpf raw_tp", Try: bpfRawTracepoint},
		{Name: "bpf tracepoint", Try: bpfTracepoint},
		{Name: "tracefs", Try: tracefs},
		{Name: "perf software", Try: perfSoftware},
		{Name: "perf hardware", Try: perfHardware},
		{Name: "lockdown", Try: lockdown},
	}
}
