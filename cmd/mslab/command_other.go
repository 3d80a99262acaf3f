//go:build !linux

package main

import (
	"context"
	"fmt"
	"runtime"
)

// command is a command of the user that something looks at.
type command struct {
	PID   int
	atEnd func()
}

func startCommand(args []string, _ commandStreams) (*command, error) {
	return nil, fmt.Errorf("start %s to look at it: not supported on %s", args[0], runtime.GOOS)
}

func (c *command) wait(context.Context) (commandEnd, error) { return commandEnd{}, nil }

func (c *command) close() {}
