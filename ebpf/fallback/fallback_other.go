//go:build !linux

package fallback

import (
	"fmt"
	"runtime"
)

// Watcher watches one process.
type Watcher struct{}

// Watch needs /proc.
func Watch(int) (*Watcher, error) {
	return nil, fmt.Errorf("watch a process through /proc: not supported on %s", runtime.GOOS)
}

// Read is never reached.
func (*Watcher) Read() Figures { return Figures{} }

// Stop is never reached.
func (*Watcher) Stop() Figures { return Figures{} }
