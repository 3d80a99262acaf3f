package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mslab/loadgen"
)

func TestProgressOnATerminalIsOneLine(t *testing.T) {
	var out bytes.Buffer
	p := &loadProgress{w: &out, live: true}
	p.show(loadgen.Progress{Elapsed: time.Second, RPS: 100, OK: 100})
	p.show(loadgen.Progress{Elapsed: 2 * time.Second, RPS: 200, OK: 300})
	many := loadgen.Progress{Elapsed: 9999 * time.Second, RPS: 123456789, P99: 12345 * time.Millisecond, OK: 123456789012, Failed: 1234567, InFlight: 10000}
	p.show(many)
	for line := range strings.SplitSeq(out.String(), "\r\x1b[K") {
		if len(line) > 80 {
			t.Errorf("a terminal wraps the live line: %q", line)
		}
	}
	p.end()
	text := out.String()
	if strings.Contains(text, "\n") || !strings.HasSuffix(text, "\r\x1b[K") {
		t.Errorf("the live line breaks or stays: %q", text)
	}
}

func TestProgressElsewhereIsPlainLines(t *testing.T) {
	var out bytes.Buffer
	p := newLoadProgress(&out)
	p.show(loadgen.Progress{Elapsed: time.Second, Warmup: true, RPS: 100, OK: 100})
	p.show(loadgen.Progress{Elapsed: 2 * time.Second, RPS: 200, OK: 300, Failed: 7, P99: 3 * time.Millisecond})
	p.end()
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || strings.ContainsAny(out.String(), "\r\x1b") {
		t.Fatalf("want two plain lines: %q", out.String())
	}
	if !strings.HasSuffix(lines[0], "(warm-up)") || !strings.Contains(lines[1], "200 requests/s  p99 3.00ms  ok 300  failed 7") {
		t.Errorf("lines: %q", lines)
	}
}
