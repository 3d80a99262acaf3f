//go:build !linux || !(amd64 || arm64)

package ebpf

import (
	"errors"
	"fmt"
	"runtime"
)

// SyscallTracer traces system calls; it works on Linux on amd64 and arm64.
type SyscallTracer struct{}

func unsupported() error {
	return fmt.Errorf("trace system calls: not supported on %s/%s: %w", runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)
}

// TraceSyscalls says that it is not supported here.
func TraceSyscalls(SyscallOptions) (*SyscallTracer, error) { return nil, unsupported() }

// Read says that it is not supported here.
func (t *SyscallTracer) Read() (Syscalls, error) { return Syscalls{}, unsupported() }

// Stop says that it is not supported here.
func (t *SyscallTracer) Stop() (Syscalls, error) { return Syscalls{}, unsupported() }

// Close does nothing here.
func (t *SyscallTracer) Close() error { return nil }

// CheckSyscalls says that it is not supported here.
func CheckSyscalls(Rung) (Rung, error) { return "", unsupported() }

// SyscallNames is empty here.
func SyscallNames() []string { return nil }

// CheckNames leaves it to TraceSyscalls to say that it is not supported here.
func CheckNames([]string) error { return nil }
