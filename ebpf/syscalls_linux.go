//go:build amd64 || arm64

package ebpf

import "errors"

// SyscallTracer counts the system calls of a process in the kernel.
type SyscallTracer struct{}

// errNotYet is returned until the probes are loaded.
var errNotYet = errors.New("trace system calls: the probes are not built yet")

// TraceSyscalls loads and attaches the probes; when it returns, calls are counted.
// The error is a *Missing where the machine does not allow it.
func TraceSyscalls(SyscallOptions) (*SyscallTracer, error) { return nil, errNotYet }

// Read gives the totals since the start while the tracer runs.
func (t *SyscallTracer) Read() (Syscalls, error) { return Syscalls{}, errNotYet }

// Stop detaches the probes and gives the final totals. A second Stop gives them again.
func (t *SyscallTracer) Stop() (Syscalls, error) { return Syscalls{}, errNotYet }

// Close detaches the probes and frees what the tracer holds. It may be called more
// than once.
func (t *SyscallTracer) Close() error { return nil }

// CheckSyscalls tries whether system calls can be traced here, by loading and
// attaching and taking it back, and gives the rung that works: the best, or the
// one that is asked for.
func CheckSyscalls(Rung) (Rung, error) { return "", errNotYet }

// SyscallNames lists the names that SyscallOptions.Only takes, sorted.
func SyscallNames() []string { return nil }
