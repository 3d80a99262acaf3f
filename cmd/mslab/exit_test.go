package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

func TestExplain(t *testing.T) {
	stopped, cancel := context.WithCancelCause(context.Background())
	cancel(signalError{syscall.SIGTERM})
	plain := errors.New("open file: no such file")
	cmd := &cobra.Command{Use: "mslab"}
	for _, c := range []struct {
		name    string
		ctx     context.Context
		err     error
		started bool
		code    int
		line    string
	}{
		{"nothing", stopped, nil, true, exitFine, ""},
		{"failed", context.Background(), plain, true, exitFailed, "open file: no such file"},
		{"failed before it began", context.Background(), plain, false, exitUsage, "open file: no such file; see mslab --help"},
		{"wrapped code", context.Background(), fmt.Errorf("load: %w", withExit(exitThreshold, plain)), true, exitThreshold, "load: open file: no such file"},
		{"several lines", context.Background(), errors.Join(plain, errors.New("close:\n\tbad")), true, exitFailed, "open file: no such file; close:; bad"},
		{"said twice", context.Background(), errors.Join(plain, errors.New("other"), plain), true, exitFailed, "open file: no such file; other"},
		{"interrupted", stopped, interrupted(stopped), true, 143, "interrupted by SIGTERM"},
		{"cancelled by a signal", stopped, fmt.Errorf("run: %w", context.Canceled), true, 143, "interrupted by SIGTERM"},
		{"cancelled without one", context.Background(), context.Canceled, true, exitFailed, "context canceled"},
		{"interrupted, and more went wrong", stopped, errors.Join(withExit(exitFailed, plain), context.Canceled), true, exitFailed, "open file: no such file; context canceled"},
		{"told by a child", context.Background(), alreadySaid(exitInvalid), true, exitInvalid, ""},
	} {
		if code, line := explain(c.ctx, cmd, c.err, c.started); code != c.code || line != c.line {
			t.Errorf("%s: %d %q, want %d %q", c.name, code, line, c.code, c.line)
		}
	}
}

// brokenWriter panics, as nothing of ours should.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { panic("broken\nwriter") }

func TestPanicEndsAsOneLine(t *testing.T) {
	var stderr strings.Builder
	code := run(context.Background(), strings.NewReader(""), brokenWriter{}, &stderr, []string{"version"})
	if code != exitFailed || strings.Count(stderr.String(), "\n") != 1 || !strings.HasPrefix(stderr.String(), "mslab: internal error: broken; writer;") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}
