//go:build !linux

package server

import (
	"fmt"
	"runtime"
)

func newExecutor(*Server) (executor, error) {
	return nil, fmt.Errorf("serve: not supported on %s: the phases are built on Linux system calls", runtime.GOOS)
}
