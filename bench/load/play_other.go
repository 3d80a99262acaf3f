//go:build !linux

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
)

type kind struct{ name, about string }

type bench struct {
	options
	folder  string
	stderr  io.Writer
	tools   []tool
	request request
	kinds   []kind
	absent  []string
}

func (b *bench) prepareServers(context.Context) error {
	return fmt.Errorf("the servers of this bench are not supported on %s", runtime.GOOS)
}

func (b *bench) playRound(context.Context, *measurement, int) error {
	return fmt.Errorf("playing a round is not supported on %s", runtime.GOOS)
}

func conditions() condition { return condition{} }
