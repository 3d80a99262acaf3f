//go:build !linux || !(amd64 || arm64)

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// CPUSampler samples stacks; it works on Linux on amd64 and arm64.
type CPUSampler struct{}

func noSampling() error {
	return fmt.Errorf("sample processor time: not supported on %s/%s: %w", runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)
}

// SampleCPU says that it is not supported here.
func SampleCPU(CPUOptions) (*CPUSampler, error) { return nil, noSampling() }

// CheckCPU says that it is not supported here.
func CheckCPU() (Rung, error) { return "", noSampling() }

// Wait says that it is not supported here.
func (s *CPUSampler) Wait(context.Context, time.Duration) error { return noSampling() }

// Stop says that it is not supported here.
func (s *CPUSampler) Stop() (*CPUProfile, error) { return nil, noSampling() }

// Close does nothing here.
func (s *CPUSampler) Close() error { return nil }
