package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"mslab/results"
	"mslab/scenarios/lessons"
)

func lessonOne(t *testing.T) lessons.Lesson {
	t.Helper()
	l, err := lessons.Find("1")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestPredictionsPassOnUnchanged holds that a lesson played in a namespace gets
// what the user typed outside of it.
func TestPredictionsPassOnUnchanged(t *testing.T) {
	lesson := lessonOne(t)
	for text, want := range map[string]answers{
		"5=1s,7=3ms":            {"5": 1e9, "7": 3e6},
		" 7 = 1.2 s , 5 =1m2ns": {"5": 60e9 + 2, "7": 1.2e9},
		"5=812µs,7=1h":          {"5": 812e3, "7": 3600e9},
	} {
		given, err := parsePredictions(lesson, text)
		if err != nil || len(given) != 2 || given["5"] != want["5"] || given["7"] != want["7"] {
			t.Errorf("%q: %v, %v; want %v", text, given, err, want)
			continue
		}
		again, err := parsePredictions(lesson, given.flag(lesson))
		if err != nil || again["5"] != given["5"] || again["7"] != given["7"] {
			t.Errorf("%q is passed on as %q: %v, %v", text, given.flag(lesson), again, err)
		}
	}
}

func TestParsePredictionByUnit(t *testing.T) {
	for _, c := range []struct {
		metric, text string
		want         float64
		refused      bool
	}{
		{"latency.p99", "1.5ms", 1.5e6, false},
		{"success.deadline", "99.9%", 0.999, false},
		{"success.deadline", "101%", 0, true},
		{"success.deadline", "NaN", 0, true},
		{"server.listen_overflows", "120", 120, false},
		{"server.listen_overflows", "-1", 0, true},
		{"server.listen_overflows", "Inf", 0, true},
		{"latency.p99", strings.Repeat("9", 5000) + "s", 0, true},
		{"latency.p99", "1s\x1b[31m", 0, true},
	} {
		v, err := parsePrediction(c.metric, c.text)
		if (err != nil) != c.refused || v != c.want {
			t.Errorf("%s of %.50q: %v, %v", c.metric, c.text, v, err)
		}
		if err != nil && (len(err.Error()) > 200 || strings.ContainsRune(err.Error(), '\x1b')) {
			t.Errorf("the message repeats what was typed: %q", err)
		}
	}
}

// TestAskEndsWithItsContext asks somebody who does not answer.
func TestAskEndsWithItsContext(t *testing.T) {
	silent, end := io.Pipe()
	defer end.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	given := answers{}
	err := ask(ctx, silent, io.Discard, lessonOne(t), given)
	if !errors.Is(err, context.Canceled) || len(given) != 0 {
		t.Errorf("%v with answers %v, want the context's end", err, given)
	}
}

// TestNextCommandsExist holds the commands that lessons name against the
// command line.
func TestNextCommandsExist(t *testing.T) {
	for _, l := range lessons.Numbered() {
		for _, next := range l.Next {
			words := strings.Fields(next.Line)
			cmd, rest, err := newRoot(nil).Find(words[1:])
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err == nil && cmd.Name() == "run" {
				_, err = findScenario(cmd.Flags().Args(), false, false)
			}
			if err != nil || words[0] != "mslab" || !cmd.HasParent() {
				t.Errorf("lesson %d: %s: %v", l.Number, next.Line, err)
			}
		}
	}
}

// TestInterruptedQuestion wants nothing to be played, and the signal's code.
func TestInterruptedQuestion(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skipf("not supported on %s: no question is asked where no lesson can be played", runtime.GOOS)
	}
	dir := t.TempDir()
	cmd := asMslab(t, dir, "learn", "1", "-o", "out")
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	shown, said := io.Pipe()
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		buffer := make([]byte, 4096)
		for {
			n, err := shown.Read(buffer)
			all.Write(buffer[:n])
			if strings.HasSuffix(all.String(), "phase 5 (backlog 10): ") {
				_ = cmd.Process.Signal(syscall.SIGINT)
			}
			if err != nil {
				heard <- all.String()
				return
			}
		}
	}()
	kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait() // its code is looked at
	_ = said.Close()
	text := <-heard
	if got := cmd.ProcessState.ExitCode(); got != 130 || !strings.HasSuffix(text, "\nmslab: interrupted by SIGINT\n") {
		t.Errorf("exit code %d, want 130; stderr: %s", got, text)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "out*")); len(left) > 0 {
		t.Errorf("something was played: %v", left)
	}
}

// TestInterruptedLesson wants what was measured, with the predictions, shown
// and kept, and no answer to a question that was not played to its end.
func TestInterruptedLesson(t *testing.T) {
	if testing.Short() {
		t.Skip("plays a lesson for seconds: skipped by -short")
	}
	dir := t.TempDir()
	cmd, stdout, stderr := start(t, dir, "learn", "1", "--predict", "5=1s,7=2ms", "-o", "out", "--blocks", "50")
	waitFor(t, "the first trials", func() bool {
		trials, _ := filepath.Glob(filepath.Join(dir, "out", "trials", "*.json"))
		return len(trials) > 1
	})
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait() // its code is looked at
	if got := cmd.ProcessState.ExitCode(); got != 130 {
		t.Errorf("exit code %d, want 130; stderr: %s", got, stderr)
	}
	if out := stdout.String(); !strings.Contains(out, "predicted before the run") || !strings.Contains(out, "was interrupted") || strings.Contains(out, "RFC 6298") {
		t.Errorf("what was measured so far is not printed as such:\n%s", out)
	}
	run, err := results.OpenRun(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if !run.Incomplete || len(run.Predictions) != 2 || run.Predictions[0].Value != 1e9 {
		t.Errorf("incomplete %v, predictions %+v", run.Incomplete, run.Predictions)
	}
	again, err := asMslab(t, dir, "results", "show", "out").Output()
	if err != nil || !bytes.Contains(again, []byte("predicted before the run")) {
		t.Errorf("results show: %v\n%s", err, again)
	}
}

// TestLessonOne plays the first lesson as it is, and holds what it says against
// the figures that it shows.
func TestLessonOne(t *testing.T) {
	if testing.Short() {
		t.Skip("plays a lesson for up to 40 s: skipped by -short")
	}
	dir := t.TempDir()
	began := time.Now()
	cmd, stdout, stderr := start(t, dir, "learn", "1", "--predict", "5=3ms,7=3ms", "-o", "out", "--json")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if took := time.Since(began); took > lessons.Longest {
		t.Errorf("it took %s, want at most %s", took, lessons.Longest)
	}
	var doc struct {
		Tables []struct {
			Rows  []map[string]any
			Notes []string
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil || len(doc.Tables) != 2 {
		t.Fatalf("%v\n%s", err, stdout)
	}
	predicted, evidence := doc.Tables[0], doc.Tables[1]
	if len(predicted.Rows) != 2 || len(evidence.Rows) != 2 {
		t.Fatalf("not a row a phase:\n%s", stdout)
	}
	run, err := results.OpenRun(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	figure := func(phase, metric string) float64 {
		v, err := results.Figure(run, "connect", 0, phase, metric)
		if err != nil || math.IsNaN(v) {
			t.Errorf("%s of %s: %v, %v", metric, phase, v, err)
		}
		return v
	}
	shown := figure("pool", "server.listen_overflows") > 0 && figure("pool", results.MetricP99) >= 1e9 &&
		figure("keepalive", "server.listen_overflows") == 0 && figure("keepalive", results.MetricMax) < 1e9
	said := !strings.Contains(strings.Join(evidence.Notes, " "), " machine ")
	if shown != said {
		t.Errorf("the figures show the effect: %v; the lesson says so: %v\n%s", shown, said, stdout)
	}
	pool := evidence.Rows[0]
	if pool["server_listen_overflows"] != figure("pool", "server.listen_overflows") {
		t.Errorf("the evidence of phase 5 is %v", pool)
	}
	if predicted.Rows[0]["measured"] != pool["latency_p99"] || predicted.Rows[0]["predicted"] != 3e6 {
		t.Errorf("the prediction's row is %v", predicted.Rows[0])
	}
}
