//go:build !linux

package main

import (
	"fmt"
	"runtime"

	"mslab/server/registry"
)

func processTitle(pid int) (string, error) {
	if !registry.Running(pid) {
		return "", fmt.Errorf("trace process %d: there is no such process", pid)
	}
	return fmt.Sprintf("pid %d", pid), nil
}

func watchEnd(pid int) (<-chan struct{}, func(), error) {
	return nil, nil, fmt.Errorf("trace process %d: not supported on %s", pid, runtime.GOOS)
}

func mayWatch(int) error { return nil }

func listenerOf(string) (int, error) { return 0, fmt.Errorf("not supported on %s", runtime.GOOS) }
