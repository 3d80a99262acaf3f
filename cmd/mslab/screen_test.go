package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// screen is a terminal of few words: what it shows is what a user would see,
// scrolled back to the start. It knows the control sequences that this program
// needs and holds all others against it.
type screen struct {
	width, height int
	lines         [][]rune
	row, column   int
	hidden        bool         // the cursor
	wrapped       map[int]bool // lines that did not fit
	unknown       []string     // sequences that it does not know
	partial       []byte       // the start of a sequence or of a rune
}

func newScreen(width, height int) *screen {
	return &screen{width: width, height: height, lines: [][]rune{nil}, wrapped: map[int]bool{}}
}

// Write shows data. Sequences may be cut anywhere between two calls.
func (s *screen) Write(data []byte) (int, error) {
	s.partial = append(s.partial, data...)
	for len(s.partial) > 0 {
		n := s.step(s.partial)
		if n == 0 {
			break // the rest is to come
		}
		s.partial = s.partial[n:]
	}
	return len(data), nil
}

// step takes one rune or sequence and returns its length, 0 where it is cut off.
func (s *screen) step(data []byte) int {
	switch data[0] {
	case '\r':
		s.column = 0
	case '\n':
		s.row++
		s.grow()
	case '\b':
		s.column = max(0, s.column-1)
	case '\a':
	case '\t':
		s.column = min(s.width-1, s.column/8*8+8)
	case 0x1b:
		return s.escape(data)
	default:
		if !utf8.FullRune(data) {
			return 0
		}
		r, n := utf8.DecodeRune(data)
		s.put(r)
		return n
	}
	return 1
}

func (s *screen) put(r rune) {
	if r < ' ' || r == 0x7f || r == utf8.RuneError {
		s.unknown = append(s.unknown, fmt.Sprintf("%q", r))
		return
	}
	if s.column == s.width { // a terminal wraps when the next letter comes
		s.wrapped[s.row] = true
		s.row, s.column = s.row+1, 0
		s.grow()
	}
	line := s.lines[s.row]
	for len(line) <= s.column {
		line = append(line, ' ')
	}
	line[s.column] = r
	s.lines[s.row] = line
	s.column++
}

func (s *screen) grow() {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, nil)
	}
}

// escape takes a control sequence: ESC [ parameters letter.
func (s *screen) escape(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	if data[1] != '[' {
		s.unknown = append(s.unknown, fmt.Sprintf("%q", data[:2]))
		return 2
	}
	end := 2
	for end < len(data) && (data[end] < '@' || data[end] > '~') {
		end++
	}
	if end == len(data) {
		return 0
	}
	s.control(string(data[2:end]), data[end])
	return end + 1
}

func (s *screen) control(parameters string, letter byte) {
	n, err := strconv.Atoi(parameters)
	if parameters == "" {
		n, err = 1, nil
	}
	top := max(0, len(s.lines)-s.height) // what has scrolled away is out of reach
	switch {
	case letter == 'm':
	case parameters == "?25" && (letter == 'l' || letter == 'h'):
		s.hidden = letter == 'l'
	case letter == 'A' && err == nil:
		s.row = max(top, s.row-n)
	case letter == 'C' && err == nil:
		s.column = min(s.width-1, s.column+n)
	case letter == 'G' && err == nil:
		s.column = min(s.width, n) - 1
	case letter == 'X' && err == nil: // erases and stays
		for i := s.column; i < min(s.column+n, len(s.lines[s.row])); i++ {
			s.lines[s.row][i] = ' '
		}
	case letter == 'P' && err == nil: // deletes
		line := s.lines[s.row]
		s.lines[s.row] = append(line[:min(s.column, len(line))], line[min(s.column+n, len(line)):]...)
	case letter == '@' && err == nil: // makes room
		if s.column < len(s.lines[s.row]) {
			line := slices.Insert(s.lines[s.row], s.column, []rune(strings.Repeat(" ", n))...)
			s.lines[s.row] = line[:min(len(line), s.width)]
		}
	case letter == 'F' && err == nil:
		s.row, s.column = max(top, s.row-n), 0
	case letter == 'K' && (parameters == "" || parameters == "0"):
		s.lines[s.row] = s.lines[s.row][:min(s.column, len(s.lines[s.row]))]
		delete(s.wrapped, s.row)
	case letter == 'K' && parameters == "2":
		s.lines[s.row] = nil
		delete(s.wrapped, s.row)
	case letter == 'J' && (parameters == "" || parameters == "0"):
		s.lines = s.lines[:s.row+1]
		s.lines[s.row] = s.lines[s.row][:min(s.column, len(s.lines[s.row]))]
	case letter == 'H' && parameters == "":
		s.row, s.column = top, 0
	default:
		s.unknown = append(s.unknown, fmt.Sprintf("ESC [%s%c", parameters, letter))
	}
}

// text is what stands from a line on.
func (s *screen) text(from int) string {
	var b strings.Builder
	for _, line := range s.lines[min(from, len(s.lines)):] {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return b.String()
}

func TestScreen(t *testing.T) {
	for _, c := range []struct {
		written, shown string
		unknown        int
		wraps          bool
	}{
		{"one\r\ntwo", "one\ntwo\n", 0, false},
		{"  1s  long\r\x1b[K  2s\r\x1b[Kdone\r\n", "done\n\n", 0, false},
		{"left over\rnew", "newt over\n", 0, false},
		{"a\r\nb\r\nc\x1b[2A\r\x1b[Jx", "x\n", 0, false},
		{"0123456789\r\x1b[2C\x1b[3Xe\x1b[8Gx", "01e  56x89\n", 0, false},
		{"0123456789\r\x1b[2C\x1b[3Px", "01x6789\n", 0, false},
		{"0123456789\r\x1b[2C\x1b[3@x", "01x  23456\n", 0, false},
		{"\x1b[1mbold\x1b[0m µ─", "bold µ─\n", 0, false},
		{"0123456789", "0123456789\n", 0, false},
		{"0123456789a", "0123456789\na\n", 0, true},
		{"\x1b[?25lx\x1b]0;title", "x0;title\n", 1, false},
		{"1\r\n2\r\n3\r\n4\x1b[9A\rx", "1\nx\n3\n4\n", 0, false}, // a window of 3 lines
	} {
		for _, size := range []int{1, len(c.written)} {
			s := newScreen(10, 3)
			for at := 0; at < len(c.written); at += size {
				_, _ = s.Write([]byte(c.written[at:min(len(c.written), at+size)]))
			}
			if got := s.text(0); got != c.shown || len(s.unknown) != c.unknown || (len(s.wrapped) > 0) != c.wraps {
				t.Errorf("%q shows %q with %v unknown and lines wrapped: %v; want %q, %d and %v",
					c.written, got, s.unknown, s.wrapped, c.shown, c.unknown, c.wraps)
			}
		}
	}
}
