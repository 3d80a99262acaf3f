package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// commandStreams are what a command of the user reads and writes. Files are
// handed over as they are.
type commandStreams struct {
	in       io.Reader
	out, err io.Writer
}

// streamsOf gives a command the streams of this process; what it says goes to
// stderr where stdout is for a program to read.
func streamsOf(stdout, stderr io.Writer, machine bool) commandStreams {
	if machine {
		stdout = stderr
	}
	return commandStreams{in: os.Stdin, out: stdout, err: stderr}
}

// commandEnd is how a command ended.
type commandEnd struct {
	state *os.ProcessState
	// Length is from when it was let run to when it was reaped.
	Length time.Duration
}

// CPU is the user and system time of the command and of those of its
// descendants that were waited for (rusage of wait4(2)).
func (e commandEnd) CPU() time.Duration {
	if e.state == nil {
		return 0
	}
	return e.state.UserTime() + e.state.SystemTime()
}

// Err says how the command failed, nil where it ended with status 0.
func (e commandEnd) Err() error {
	if e.state == nil || e.state.Success() {
		return nil
	}
	return fmt.Errorf("the command ended: %s", e.state)
}
