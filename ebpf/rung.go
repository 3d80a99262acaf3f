package ebpf

import (
	"fmt"
	"slices"
	"strings"
)

// Rung is a way to attach a probe to the kernel. The empty Rung stands for the
// best one that works.
type Rung string

// The rungs, best first.
const (
	// TPBTF attaches to a tracepoint with typed arguments. It keeps the start of
	// a call in the task itself. Needs the kernel's BTF, and Linux 5.12.
	TPBTF Rung = "tp_btf"
	// RawTP attaches to a tracepoint with raw arguments and keeps the start of a
	// call in a hash table. Without the kernel's BTF it can neither follow
	// children nor split by descriptor.
	RawTP Rung = "raw_tp"
	// Tracepoint attaches by way of a perf event. Needs tracefs.
	Tracepoint Rung = "tracepoint"
)

// Rungs lists the ways to attach, best first.
func Rungs() []Rung { return []Rung{TPBTF, RawTP, Tracepoint} }

// ParseRung takes the name of a rung; "" is the best that works.
func ParseRung(name string) (Rung, error) {
	if name == "" || slices.Contains(Rungs(), Rung(name)) {
		return Rung(name), nil
	}
	return "", fmt.Errorf("attach by %q: no such way; there are tp_btf, raw_tp and tracepoint", name)
}

// Missing says that a probe cannot work here, what is missing for it, and what to
// do. It was found by loading and attaching, not by asking for versions.
type Missing struct {
	What string // "the capabilities CAP_BPF and CAP_PERFMON (or root)"
	Fix  string // "run it with sudo"
	// Tried holds what each rung that was tried ended with, best first.
	Tried []Attempt
}

// Attempt is a rung and why it does not work.
type Attempt struct {
	Rung Rung
	Err  error
}

// Error says in one line what is missing and what to do.
func (m *Missing) Error() string {
	text := "trace by eBPF: missing " + m.What
	if m.Fix != "" {
		text += "; " + m.Fix
	}
	return text
}

// Details says, a line each, what every rung ended with.
func (m *Missing) Details() string {
	var b strings.Builder
	for _, a := range m.Tried {
		fmt.Fprintf(&b, "%s: %v\n", a.Rung, a.Err)
	}
	return b.String()
}

// Unwrap gives the attempts' errors.
func (m *Missing) Unwrap() []error {
	errs := make([]error, 0, len(m.Tried))
	for _, a := range m.Tried {
		errs = append(errs, a.Err)
	}
	return errs
}
