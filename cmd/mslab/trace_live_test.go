package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mslab/results"
)

// numbered is a document of as many rows as it is asked for, and a footer.
type numbered struct{ rows int }

func (d numbered) render(w io.Writer, format string, rows int, line bool) error {
	fmt.Fprintf(w, "%s %v\n", format, line)
	for i := range min(rows, d.rows) {
		fmt.Fprintf(w, "row %d %s\n", i, strings.Repeat("x", 100))
	}
	_, err := fmt.Fprint(w, "\nfooter\n")
	return err
}

// TestLiveScreen draws into windows of some sizes: never more lines than there
// are, none wider, and always from the top left.
func TestLiveScreen(t *testing.T) {
	for _, size := range []struct{ columns, rows, want int }{{80, 24, 20}, {60, 10, 6}, {20, 5, 1}, {20, 2, 0}, {300, 50, 30}} {
		var b bytes.Buffer
		s := &liveScreen{w: &b, size: func() (int, int) { return size.columns, size.rows }}
		for range 2 {
			if err := s.draw(numbered{30}, 30); err != nil {
				t.Fatal(err)
			}
		}
		frames := strings.Split(b.String(), cursorHome)
		if len(frames) != 3 || frames[0] != "" || !strings.HasPrefix(frames[1], eraseBelow) || strings.HasPrefix(frames[2], eraseBelow) {
			t.Fatalf("%+v: frames %q", size, frames)
		}
		second := strings.TrimSuffix(frames[2], eraseBelow)
		lines := strings.Split(strings.TrimSuffix(second, "\n"), "\n")
		if n := strings.Count(second, "\n"); n >= size.rows {
			t.Errorf("%+v: %d lines scroll the window", size, n)
		}
		rows := 0
		for _, line := range lines {
			line = strings.TrimSuffix(line, eraseRight)
			if len(line) > size.columns {
				t.Errorf("%+v: %q is too wide", size, line)
			}
			if strings.HasPrefix(line, "row ") {
				rows++
			}
		}
		if rows != size.want {
			t.Errorf("%+v: %d rows, want %d", size, rows, size.want)
		}
		if strings.Contains(second, boldOn) {
			t.Errorf("%+v: bold, and no colour wanted", size)
		}
		if size.rows > 4 && !strings.Contains(second, "footer") {
			t.Errorf("%+v: rows took the footer's place: %q", size, second)
		}
		b.Reset()
		if err := s.clear(); err != nil || b.String() != cursorHome+eraseBelow {
			t.Errorf("clear: %v, %q", err, &b)
		}
	}
	var b bytes.Buffer
	s := &liveScreen{w: &b, color: true, size: func() (int, int) { return 80, 24 }}
	if err := s.draw(numbered{1}, 1); err != nil || !strings.Contains(b.String(), boldOn+"table false"+boldOff) {
		t.Errorf("%v: %q", err, &b)
	}
}

// TestWatchPrintsIntervals plays a short watch: every interval, the rest of the
// time, then the total.
func TestWatchPrintsIntervals(t *testing.T) {
	o := traceOptions{duration: 380 * time.Millisecond, interval: 100 * time.Millisecond, format: formatTable, rows: 1}
	var windows []string
	var b bytes.Buffer
	take := func(window string) (traceDocument, error) {
		windows = append(windows, window)
		return numbered{1}, nil
	}
	if err := o.watch(t.Context(), &b, &traced{ended: make(chan struct{})}, take); err != nil {
		t.Fatal(err)
	}
	n := len(windows) // a busy machine may be late for a tick
	if n < 3 || n > 5 || windows[n-1] != results.WindowTotal || windows[n-2] != results.WindowInterval || strings.Contains(strings.Join(windows[:n-1], " "), results.WindowTotal) {
		t.Errorf("windows %v", windows)
	}
	if blocks := strings.Count(b.String(), "footer\n\ntable"); blocks != n-1 {
		t.Errorf("%d blocks follow another after an empty line, want %d:\n%s", blocks, n-1, &b)
	}

	// A process that ends, or a signal, ends it early.
	windows = nil
	o.duration, o.interval = time.Hour, 0
	ended := make(chan struct{})
	close(ended)
	if err := o.watch(t.Context(), io.Discard, &traced{ended: ended}, take); err != nil || len(windows) != 1 {
		t.Errorf("an ended process: %v, %v", err, windows)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.watch(stopped, io.Discard, &traced{ended: make(chan struct{})}, take); err == nil || len(windows) != 2 {
		t.Errorf("an ended context: %v, %v", err, windows)
	}
}

func TestSubtract(t *testing.T) {
	figures := []results.ProcessFigure{{Key: "cpu", Value: 10}, {Key: "threads", Value: 5, Moment: true}, {Key: "new", Value: 2}}
	subtract(figures, []results.ProcessFigure{{Key: "cpu", Value: 4}, {Key: "threads", Value: 7, Moment: true}})
	if figures[0].Value != 6 || figures[1].Value != 5 || figures[2].Value != 2 {
		t.Errorf("%+v", figures)
	}
}
