package scenarios

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mslab/results"
)

// TestProgressCountsDown watches a stretch of 3 s on a terminal.
func TestProgressCountsDown(t *testing.T) {
	for live, want := range map[bool]string{
		true: "\r\x1b[Kkept: block 1 of 1, pool, 16s left" + "\r\x1b[Kkept: block 1 of 1, pool, 15s left" +
			"\r\x1b[Kkept: block 1 of 1, pool, 14s left" + "\r\x1b[K",
		false: "",
	} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			p := &progress{w: &out, live: live, started: time.Now(), planned: 16 * time.Second}
			end := p.slice("kept", 1, 1, "pool")
			time.Sleep(2500 * time.Millisecond)
			end()
			p.end()
			if out.String() != want {
				t.Errorf("live %v: %q, want %q", live, out.String(), want)
			}
		})
	}
}

func TestNotesKeepWithinATerminal(t *testing.T) {
	var out bytes.Buffer
	note := strings.Repeat("several words ", 20)
	newProgress(&out, true, &Plan{Record: results.Plan{Scenario: "x"}, Notes: []string{note}})
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
	if strings.Count(out.String(), "several") != 20 {
		t.Errorf("words are missing: %s", out.String())
	}
}
