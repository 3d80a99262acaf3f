package server

import (
	"embed"
	"fmt"
)

//go:embed conn_linux.go events_lock.go events_ring.go exec_pool_linux.go exec_serial_linux.go
//go:embed exec_threads_linux.go guard.go limiter_mutex.go limiter_shards.go listen_linux.go
//go:embed parse_linear.go parse_quadratic.go sink_async.go sink_file.go sink_sync.go
var sources embed.FS

// SourceFile is the source of a variant as it was built in, by the name that
// Variant.Source gives.
func SourceFile(name string) ([]byte, error) {
	text, err := sources.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read source of a stage: %w", err)
	}
	return text, nil
}
