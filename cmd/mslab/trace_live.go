package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Control sequences of ECMA-48.
const (
	cursorHome = "\x1b[H"
	eraseBelow = "\x1b[J"
	eraseRight = "\x1b[K"
	boldOn     = "\x1b[1m"
	boldOff    = "\x1b[m"
)

// liveScreen draws documents over each other. It leaves the terminal as it is
// when it is killed: no mode is changed.
type liveScreen struct {
	w     io.Writer
	size  func() (columns, rows int)
	color bool
	drawn bool
}

func newLiveScreen(w io.Writer, terminal *os.File) *liveScreen {
	return &liveScreen{w: w, color: os.Getenv("NO_COLOR") == "", size: func() (int, int) {
		columns, rows, err := term.GetSize(int(terminal.Fd()))
		if err != nil || columns < 1 || rows < 1 {
			return 80, 24 // the VT100's
		}
		return columns, rows
	}}
}

// draw shows a document from the top left on, with as many rows of its table as
// the window has room for.
func (s *liveScreen) draw(doc traceDocument, rows int) error {
	columns, height := s.size()
	lines, err := s.fitted(doc, rows, height-1) // the cursor ends up below
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(cursorHome)
	if !s.drawn {
		b.WriteString(eraseBelow)
		s.drawn = true
	}
	for i, line := range lines {
		line = cut(line, columns)
		if i == 0 && s.color {
			line = boldOn + line + boldOff
		}
		b.WriteString(line + eraseRight + "\n")
	}
	b.WriteString(eraseBelow)
	return s.write(b.String())
}

// fitted renders the document in at most height lines: with fewer rows first,
// then without the end of its footer.
func (s *liveScreen) fitted(doc traceDocument, rows, height int) ([]string, error) {
	for {
		var b bytes.Buffer
		if err := doc.render(&b, formatTable, rows, false); err != nil {
			return nil, err
		}
		lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
		over := len(lines) - height
		switch {
		case over <= 0:
			return lines, nil
		case rows == 1:
			return lines[:max(height, 1)], nil
		}
		rows = max(rows-max(over/4, 1), 1) // a row has a line or more
	}
}

// clear takes the last drawing away.
func (s *liveScreen) clear() error {
	if !s.drawn {
		return nil
	}
	return s.write(cursorHome + eraseBelow)
}

func (s *liveScreen) write(text string) error {
	if _, err := io.WriteString(s.w, text); err != nil {
		return fmt.Errorf("draw on the terminal: %w", err)
	}
	return nil
}

// cut shortens a line so that the terminal does not wrap it.
func cut(line string, columns int) string {
	if runes := []rune(line); len(runes) > columns {
		return string(runes[:columns])
	}
	return line
}
