package server

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonScanner walks forward over a JSON document, checking the grammar of RFC
// 8259 as it goes. It never steps back, so that a walk is one pass.
type jsonScanner struct {
	data []byte
	pos  int
}

// jsonString is a string literal without its quotes, checked but not resolved.
type jsonString struct {
	raw     []byte
	escaped bool // raw holds at least one backslash
}

func (s jsonString) text() string {
	if !s.escaped {
		return string(s.raw)
	}
	return string(appendUnescaped(make([]byte, 0, len(s.raw)), s.raw))
}

// syntaxError reports the byte at which the document stops being JSON.
func (s *jsonScanner) syntaxError() error {
	if s.pos >= len(s.data) {
		return badRequest{"invalid JSON: unexpected end of body"}
	}
	return badRequest{"invalid JSON at byte " + strconv.Itoa(s.pos)}
}

// peek is the next byte, 0 at the end: JSON has no NUL outside of escapes.
func (s *jsonScanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *jsonScanner) space() {
	for s.pos < len(s.data) {
		if c := s.data[s.pos]; c > ' ' || (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
			return
		}
		s.pos++
	}
}

// end demands that only white space is left.
func (s *jsonScanner) end() error {
	s.space()
	if s.pos < len(s.data) {
		return badRequest{"invalid JSON: more after the document at byte " + strconv.Itoa(s.pos)}
	}
	return nil
}

// next moves to the next element of an array (closing is ']') or to the next
// key of an object ('}') whose opening bracket has been passed; first is true
// right after that bracket. At the closing bracket it passes it and returns
// false.
func (s *jsonScanner) next(closing byte, first bool) (more bool, err error) {
	s.space()
	c := s.peek()
	if c == closing {
		s.pos++
		return false, nil
	}
	if first {
		return true, nil
	}
	if c != ',' {
		return false, s.syntaxError()
	}
	s.pos++
	s.space()
	return true, nil
}

// nextKey moves to the value of the next member of an object, as next does.
func (s *jsonScanner) nextKey(first bool) (key jsonString, more bool, err error) {
	more, err = s.next('}', first)
	if !more || err != nil {
		return jsonString{}, false, err
	}
	key, err = s.string()
	if err != nil {
		return jsonString{}, false, err
	}
	s.space()
	if s.peek() != ':' {
		return jsonString{}, false, s.syntaxError()
	}
	s.pos++
	s.space()
	return key, true, nil
}

// string passes a string literal.
func (s *jsonScanner) string() (jsonString, error) {
	if s.peek() != '"' {
		return jsonString{}, s.syntaxError()
	}
	start := s.pos + 1
	escaped, ascii := false, true
	for i := start; i < len(s.data); i++ {
		c := s.data[i]
		if plainInString[c] {
			continue
		}
		switch {
		case c == '"':
			return s.stringUntil(start, i, escaped, ascii)
		case c >= utf8.RuneSelf:
			ascii = false
		case c == '\\':
			escaped = true
			length := escapeLength(s.data[i:])
			if length == 0 {
				s.pos = i
				return jsonString{}, s.syntaxError()
			}
			i += length - 1
		default: // a control character
			s.pos = i
			return jsonString{}, s.syntaxError()
		}
	}
	s.pos = len(s.data)
	return jsonString{}, s.syntaxError()
}

// stringUntil passes the string whose closing quote stands at end.
func (s *jsonScanner) stringUntil(start, end int, escaped, ascii bool) (jsonString, error) {
	raw := s.data[start:end]
	if !ascii && !utf8.Valid(raw) {
		return jsonString{}, badRequest{"invalid JSON: no valid UTF-8 in the string at byte " + strconv.Itoa(s.pos)}
	}
	s.pos = end + 1
	return jsonString{raw: raw, escaped: escaped}, nil
}

// plainInString holds the bytes that stand for themselves in a string and need
// no further look: printable ASCII but for the quote and the backslash.
var plainInString = func() (plain [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// escapeLength is the number of bytes of the escape that b starts with, 0 where
// it is none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendUnescaped resolves the escapes of a checked string literal. A surrogate
// without its other half becomes U+FFFD, as in encoding/json.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			continue
		}
		i++
		switch c := raw[i]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, length := unescapedRune(raw[i+1:])
			dst = utf8.AppendRune(dst, r)
			i += length
		default: // quote, backslash, slash stand for themselves
			dst = append(dst, c)
		}
	}
	return dst
}

// unescapedRune reads the four digits behind \u, and the escape after them
// where the two are a surrogate pair. It returns how many bytes that took.
func unescapedRune(b []byte) (r rune, length int) {
	r, _ = hex4(b)
	if !utf16.IsSurrogate(r) {
		return r, 4
	}
	if len(b) >= 10 && b[4] == '\\' && b[5] == 'u' {
		low, _ := hex4(b[6:])
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 10
		}
	}
	return utf8.RuneError, 4
}

// word passes one of true, false and null.
func (s *jsonScanner) word(word string) error {
	rest := s.data[s.pos:]
	if len(rest) < len(word) || string(rest[:len(word)]) != word {
		return s.syntaxError()
	}
	s.pos += len(word)
	return nil
}

// isNull passes a null where one stands.
func (s *jsonScanner) isNull() bool {
	return s.peek() == 'n' && s.word("null") == nil
}

// skip passes any value. Outer is the number of arrays and objects around it.
// It keeps its own stack: recursion would grow the goroutine's by megabytes at
// the depth that is allowed.
func (s *jsonScanner) skip(outer int) error {
	var inline [32]byte
	closings := inline[:0] // of the containers opened here
	for {
		first := true
		switch c := s.peek(); c {
		case '{', '[':
			closings = append(closings, c+2) // '{'+2 is '}', '['+2 is ']'
			s.pos++
		default:
			if err := s.scalar(); err != nil {
				return err
			}
			first = false
		}
		if outer+len(closings) > maxJSONDepth {
			return errNestedTooDeeply
		}
		left, err := s.ascend(closings, first)
		if err != nil || len(left) == 0 {
			return err
		}
		closings = left
	}
}

// ascend moves to the next value inside the innermost container that has one
// left, and returns the containers still open; none when all are closed.
func (s *jsonScanner) ascend(closings []byte, first bool) ([]byte, error) {
	for len(closings) > 0 {
		var more bool
		var err error
		if closing := closings[len(closings)-1]; closing == '}' {
			_, more, err = s.nextKey(first)
		} else {
			more, err = s.next(closing, first)
		}
		if err != nil {
			return nil, err
		}
		if more {
			return closings, nil
		}
		closings, first = closings[:len(closings)-1], false
	}
	return closings, nil
}

// scalar passes a value that is neither an array nor an object.
func (s *jsonScanner) scalar() error {
	var err error
	switch s.peek() {
	case '"':
		_, err = s.string()
	case 't':
		err = s.word("true")
	case 'f':
		err = s.word("false")
	case 'n':
		err = s.word("null")
	default:
		_, err = s.number()
	}
	return err
}
