// Package ebpf attaches kernel probes by eBPF, falls back to what the kernel at
// hand allows, and reports its own cost beside every figure.
package ebpf
