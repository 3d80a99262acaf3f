// Package ebpf attaches kernel probes by eBPF, falls back to what the kernel at
// hand allows, and reports its own cost beside every figure.
//
// # Ways to attach
//
// What works is found by loading and attaching, best first: see Rung. The error
// where nothing does is a *Missing, which says what the machine or the user lacks.
// Nothing is pinned: links and programs are held by descriptors alone, so that the
// kernel takes them off with the process, whatever ends it.
//
// # How calls are counted
//
// A probe at the entry of every system call keeps when it began, one at the exit
// adds its duration to the row of its number on that core: count, errors by number,
// total, maximum, log-linear histogram. No two cores write to one row and a probe
// does not interrupt itself, so that the counts are exact; what had no room is
// counted by reason (Cost.Drops). Processes that are not traced are turned away by
// one look at a bitmap of process ids. Those ids are the first pid namespace's: for
// a tracer inside another one they are translated at the start, in the kernel.
//
// # What it costs
//
// One write of a byte to /dev/null, CPU time of the calling thread in ns, best of
// many rounds of BenchmarkWrite on two cores of an AMD EPYC under Linux 6.18, in a
// virtual machine:
//
//	untraced                                          283
//	of another process than the traced one        440-490
//	tp_btf: start in task storage                 607-630
//	tp_btf, split by thread                           635
//	tp_btf, split by descriptor                       900
//	raw_tp: start in a hash table by thread           690
//	raw_tp, split by descriptor                       930
//	tp_btf, with the kernel's own timing (stats)      730
//
// Most of what a bystander pays is the kernel's slow way into a system call, which
// any attached probe on sys_enter and sys_exit switches on for every thread of the
// machine. Since the kernel's timing of probes costs two thirds as much as a probe,
// it runs for 20 ms of each second.
//
// # Objects
//
// The programs are C (*.bpf.c) for clang 14; what they need of the kernel is in
// kernel.h and is found by name in the kernel's BTF at load (CO-RE). The compiled
// objects are committed, for amd64 and arm64: to build this package takes Go alone.
// A new set of programs is NAME.bpf.c and a line
//
//	//go:generate go run ./generate objects NAME
//
// with the structs that Go reads listed in generate/main.go.
package ebpf
