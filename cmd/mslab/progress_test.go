package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
	"mslab/scenarios"
)

func TestLoadElsewhereIsPlainLines(t *testing.T) {
	var out bytes.Buffer
	var p loadgen.Plan
	end := watchLoad(&out, progressAuto, &p, record.Subject{})
	p.Progress(loadgen.Progress{Elapsed: time.Second, Warmup: true, RPS: 100, OK: 100})
	p.Progress(loadgen.Progress{Elapsed: 2 * time.Second, RPS: 200, OK: 300, Failed: 7, P99: 3 * time.Millisecond})
	end()
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || strings.ContainsAny(out.String(), "\r\x1b") {
		t.Fatalf("want two plain lines: %q", out.String())
	}
	if !strings.HasSuffix(lines[0], "(warm-up)") || !strings.Contains(lines[1], "200 requests/s  p99 3.00ms  ok 300  failed 7") {
		t.Errorf("lines: %q", lines)
	}
	if p.ProgressEvery != 0 {
		t.Errorf("a line each %v", p.ProgressEvery)
	}
}

func TestRunElsewhereIsPlainLines(t *testing.T) {
	var out bytes.Buffer
	var play scenarios.Play
	end := watchRun(&out, progressPlain, &play)
	note := strings.TrimSpace(strings.Repeat("several words ", 20))
	place := scenarios.Place{Arm: "kept", Block: 2, Blocks: 3}
	for _, e := range []scenarios.Event{
		scenarios.RunBegun{Plan: &results.Plan{Scenario: "x"}, Expected: 90400 * time.Millisecond, Notes: []string{note}},
		scenarios.BlockBegun{Place: place}, scenarios.SliceBegun{Place: place, Subject: "pool"}, scenarios.SliceEnded{Place: place},
		scenarios.BlockEnded{Place: place, Left: 30600 * time.Millisecond},
		scenarios.Tracing{Arm: "kept", Subject: "pool"}, scenarios.ArmTraced{Arm: "kept", Counted: 2},
		scenarios.ArmTraced{Arm: "kept", Counted: 1, Left: time.Second}, scenarios.ArmTraced{Arm: "kept", Why: "no rights"},
		scenarios.Noted{Text: "not now"}, scenarios.RunEnded{Complete: true},
	} {
		play.Progress(e)
	}
	end()
	want := "x: about 1m30s\n" + results.Wrap(note) + "\nkept: block 2 of 3 done, 31s left\n" +
		"kept: syscalls of 2 subjects counted, 0s left\nkept: syscalls of 1 subject counted, 1s left\n" +
		"kept: syscalls are not counted: no rights\n"
	if out.String() != want {
		t.Errorf("lines:\n%swant:\n%s", out.String(), want)
	}
	if play.SampleEvery != 0 {
		t.Errorf("samples that nobody sees each %v", play.SampleEvery)
	}
}

func TestProgressNoneIsSilent(t *testing.T) {
	var p loadgen.Plan
	watchLoad(io.Discard, progressNone, &p, record.Subject{})()
	var play scenarios.Play
	watchRun(io.Discard, progressNone, &play)()
	if p.Progress != nil || play.Progress != nil {
		t.Error("somebody watches")
	}
}

// TestLessonCountsDown watches a stretch of 3 s on a terminal.
func TestLessonCountsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &runLine{w: &out}
		l.tell(scenarios.SliceBegun{Place: scenarios.Place{Arm: "kept", Block: 1, Blocks: 1}, Subject: "pool", Left: 16 * time.Second})
		time.Sleep(2500 * time.Millisecond)
		l.tell(scenarios.SliceEnded{})
		l.tell(scenarios.Tracing{Arm: "kept", Subject: "ring", Left: 1300 * time.Millisecond})
		l.tell(scenarios.RunEnded{})
		want := "\r\x1b[Kkept: block 1 of 1, pool, 16s left" + "\r\x1b[Kkept: block 1 of 1, pool, 15s left" +
			"\r\x1b[Kkept: block 1 of 1, pool, 14s left" + "\r\x1b[Kkept: tracing ring, 1s left" + "\r\x1b[K"
		if out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	})
}
