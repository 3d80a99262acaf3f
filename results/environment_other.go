//go:build !linux

package results

import (
	"runtime"

	"mslab/results/record"
)

// CaptureEnvironment reads what figures depend on besides code; the kernel's
// settings are not supported on this system and stay empty.
func CaptureEnvironment() record.Environment {
	return record.Environment{
		Kernel: runtime.GOOS, Cores: runtime.NumCPU(),
		Sysctls: map[string]string{}, Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0),
	}
}

// Calibrate is not supported on this system and returns 0, not measured.
func Calibrate() float64 { return 0 }
