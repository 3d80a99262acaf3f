//go:build !linux

package loadgen

import (
	"context"
	"fmt"
	"runtime"
)

const rawSupported = false

func driveRaw(context.Context, *session) (*outcome, error) {
	return nil, fmt.Errorf("offer load: the epoll engine is not supported on %s", runtime.GOOS)
}
