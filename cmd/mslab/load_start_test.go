package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"mslab/loadgen"
)

func TestStartAt(t *testing.T) {
	zone := time.FixedZone("east", 2*60*60)
	now := time.Date(2026, 3, 4, 12, 0, 0, 500e6, zone)
	for _, c := range []struct{ text, at, wrong string }{
		{text: "+10s", at: "2026-03-04T10:00:10.5Z"},
		{text: "+0s", at: "2026-03-04T10:00:00.5Z"},
		{text: "+24h", at: "2026-03-05T10:00:00.5Z"},
		{text: "12:00:01", at: "2026-03-04T10:00:01Z"},
		{text: "23:59:59.25", at: "2026-03-04T21:59:59.25Z"},
		{text: "2026-03-04T10:00:03.125Z", at: "2026-03-04T10:00:03.125Z"},
		{text: "2026-03-04T13:00:00+02:00", at: "2026-03-04T11:00:00Z"},
		{text: "12:00:00", wrong: "that was 500ms ago"},
		{text: "2026-03-04T10:00:00Z", wrong: "that was 500ms ago"},
		{text: "2026-03-04T12:00:00+03:00", wrong: "that was 1h0m1s ago"},
		{text: "2026-03-04T10:00:00.4999999Z", wrong: "that was 1ms ago"},
		{text: "+24h1ms", wrong: "that is 24h0m0s away; want 24h at most"},
		{text: "2027-03-04T10:00:00Z", wrong: "want 24h at most"},
		{text: "", wrong: "want a time such as"},
		{text: "+", wrong: "want a time such as"},
		{text: "+-1s", wrong: "want a time such as"},
		{text: "++1s", wrong: "want a time such as"},
		{text: "10s", wrong: "want a time such as"},
		{text: "25:00:00", wrong: "want a time such as"},
		{text: "12:30", wrong: "want a time such as"},
		{text: "2026-03-04 12:30:00", wrong: "want a time such as"},
	} {
		var o startOptions
		cmd := &cobra.Command{}
		o.addFlags(cmd)
		if err := cmd.Flags().Set("start-at", c.text); err != nil {
			t.Fatal(err)
		}
		err := o.resolve(cmd, now)
		if c.wrong != "" {
			var exit *exitError
			if !errors.As(err, &exit) || exit.code != exitUsage || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("--start-at %q: %v, want exit 2 with %q", c.text, err, c.wrong)
			}
			continue
		}
		if got := o.at.UTC().Format(time.RFC3339Nano); err != nil || got != c.at {
			t.Errorf("--start-at %q: %s, %v; want %s", c.text, got, err, c.at)
		}
	}
}

// TestStartWaits neither too short nor, interrupted, at all.
func TestStartWaits(t *testing.T) {
	var said bytes.Buffer
	at := time.Now().Add(150 * time.Millisecond).Round(0)
	if err := (&startOptions{at: at}).wait(t.Context(), &said); err != nil || time.Now().Before(at) {
		t.Errorf("waited until %s, want %s: %v", time.Now(), at, err)
	}
	if want := "starts at " + at.UTC().Format("2006-01-02T15:04:05.000Z") + ", in 1"; !strings.HasPrefix(said.String(), want) {
		t.Errorf("it said %q, want %q", said.String(), want)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(signalError{syscall.SIGINT})
	begin := time.Now()
	var s signalError
	if err := (&startOptions{at: begin.Add(time.Minute)}).wait(ctx, &said); !errors.As(err, &s) || time.Since(begin) > 10*time.Second {
		t.Errorf("interrupted: %v after %s", err, time.Since(begin))
	}
}

// TestInterruptedBeforeTheStart wants the signal's exit code at once and nothing
// written.
func TestInterruptedBeforeTheStart(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		cmd := asMslab(t, dir, "load", "http://127.0.0.1:1/", "--metrics", "3", "--start-at", "+10m", "-o", "record.json", "--ledger", "ledger")
		pipe, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stdout bytes.Buffer
		cmd.Stdout = &stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		first := make([]byte, len("starts at "))
		if _, err := pipe.Read(first); err != nil || string(first) != "starts at " {
			t.Errorf("stderr begins with %q: %v", first, err)
		}
		begin := time.Now()
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its code is looked at
		if got := cmd.ProcessState.ExitCode(); got != 128+int(signal) || time.Since(begin) > 30*time.Second || stdout.Len() > 0 {
			t.Errorf("%s: exit code %d after %s, stdout %q", signal, got, time.Since(begin), &stdout)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || entries[0].Name() != "bin" {
			t.Errorf("%s: files are left: %v, %v", signal, entries, err)
		}
	}
}

func TestRequestText(t *testing.T) {
	for want, p := range map[string]loadgen.Plan{
		"GET /":                              {URL: "http://h:1"},
		"GET /a?b=c":                         {URL: "http://h:1/a?b=c"},
		"POST /metrics":                      {URL: "http://h:1/metrics", Metrics: 3},
		"PUT /p with a body of 2 bytes":      {URL: "http://h:1/p", Method: "PUT", Body: []byte("ab")},
		"POST /p with a body of 0 bytes":     {URL: "http://h:1/p", Body: []byte{}},
		"DELETE /metrics":                    {URL: "http://h:1/metrics", Method: "DELETE", Metrics: 3},
		"POST /p with a body of 1 byte":      {URL: "http://h:1/p", Body: []byte("a")},
		"POST /p with a body of 2,000 bytes": {URL: "http://h:1/p", Body: make([]byte, 2000)},
	} {
		if got := requestText(&p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
