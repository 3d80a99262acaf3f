package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitFine       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitThreshold  = 3
	exitRegression = 4 // of compare BASE CANDIDATE only
	exitInvalid    = 5
)

// exitError gives an error an exit code other than 1.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withExit gives err the exit code.
func withExit(code int, err error) error { return &exitError{code, err} }

// errSaid stands for an error that is on stderr already.
var errSaid = errors.New("said already")

// alreadySaid ends with the code of a program whose own line is on stderr.
func alreadySaid(code int) error { return withExit(code, errSaid) }

// usagef is an error of whoever typed the command.
func usagef(format string, args ...any) error {
	return withExit(exitUsage, fmt.Errorf(format, args...))
}

// usage marks err as one of whoever typed the command; nil stays nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return withExit(exitUsage, err)
}

// explain turns what a command returned into its exit code and the one line
// that says why, "" where there is nothing to say. started tells whether the
// command began its work: whatever fails before that is wrong usage.
func explain(ctx context.Context, cmd *cobra.Command, err error, started bool) (code int, line string) {
	if err == nil {
		return exitFine, ""
	}
	code = exitFailed
	var e *exitError
	var s signalError
	switch {
	case errors.As(err, &e): // before a signal: something else went wrong too
		code = e.code
	case errors.As(err, &s), errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &s):
		return s.exitCode(), s.Error()
	case !started:
		code = exitUsage
	}
	if errors.Is(err, errSaid) {
		return code, ""
	}
	line = oneLine(err.Error())
	if code == exitUsage {
		line += fmt.Sprintf("; see %s --help", cmd.CommandPath())
	}
	return code, line
}

// oneLine joins the lines of a message; what several steps say is said once.
func oneLine(message string) string {
	var lines []string
	for line := range strings.FieldsFuncSeq(message, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
