//go:build !linux

package main

import (
	"context"
	"fmt"
	"runtime"
)

func (p *programs) playRound(context.Context, options, *measurement, int) error {
	return fmt.Errorf("the phases' servers are not supported on %s", runtime.GOOS)
}
