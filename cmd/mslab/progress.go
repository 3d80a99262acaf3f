package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"mslab/loadgen"
	"mslab/results"
)

// isTerminal tells whether w is a terminal that understands control sequences.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// loadProgress shows a running load: one line that is drawn anew on a terminal,
// a line a second elsewhere.
type loadProgress struct {
	w    io.Writer
	live bool
}

func newLoadProgress(w io.Writer) *loadProgress {
	return &loadProgress{w: w, live: isTerminal(w)}
}

func (p *loadProgress) show(now loadgen.Progress) {
	line := fmt.Sprintf("%4ds  %8.0f requests/s  p99 %s  ok %d  failed %d  in flight %d",
		int(now.Elapsed.Round(time.Second)/time.Second), now.RPS, results.FormatNS(float64(now.P99)), now.OK, now.Failed, now.InFlight)
	if now.Warmup {
		line += "  (warm-up)"
	}
	if p.live {
		// Of a line that wraps only the last part would be drawn over.
		letters := []rune(line)
		fmt.Fprintf(p.w, "\r\x1b[K%s", string(letters[:min(len(letters), terminalWidth(p.w))]))
		return
	}
	fmt.Fprintln(p.w, line)
}

// terminalWidth is the width of a terminal in columns.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// end takes the live line away.
func (p *loadProgress) end() {
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
