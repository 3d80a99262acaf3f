//go:build !linux

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"mslab/scenarios"
)

func subjects() []scenarios.Loaded { return nil }

func playBlock(context.Context, options, string, []tool, *measurement, int) error {
	return fmt.Errorf("the phases' servers are not supported on %s", runtime.GOOS)
}

func writeLoop(io.Reader, io.Writer, string) int { return 1 }
