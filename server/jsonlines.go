package server

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"mslab/server/sink"
)

// appendJSONLines appends one line for each metric of the batch, in this form
// and order, each ended by "\n":
//
//	{"timestamp":"2026-01-02T03:04:05.678Z","name":"…","value":1.5,"type":"gauge","tags":{},"id":"…"}
//
// The time stamp is the metric's own, else the batch's, in UTC and RFC 3339 with
// milliseconds; outside the years 0001 to 9999, which RFC 3339 cannot write, the
// nearest end of them. The value has encoding/json's form and reads back as the
// same float64. Strings read back as they are, except that a byte that is no
// UTF-8 (a correlation id may hold one) becomes U+FFFD. Nothing is allocated but
// what dst needs to grow.
func appendJSONLines(dst []byte, b *sink.Batch) []byte {
	var received [timestampLength]byte
	appendTimestamp(received[:0], b.ReceivedMS)
	for i := range b.Metrics {
		m := &b.Metrics[i]
		dst = append(dst, `{"timestamp":"`...)
		if m.HasTimestamp {
			dst = appendTimestamp(dst, m.TimestampMS)
		} else {
			dst = append(dst, received[:]...)
		}
		dst = append(dst, `","name":`...)
		dst = appendJSONString(dst, m.Name)
		dst = append(dst, `,"value":`...)
		dst = appendJSONFloat(dst, m.Value)
		dst = append(dst, `,"type":`...)
		dst = appendJSONString(dst, m.Type)
		dst = append(dst, `,"tags":{`...)
		for j := range m.Tags {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONString(dst, m.Tags[j].Key)
			dst = append(dst, ':')
			dst = appendJSONString(dst, m.Tags[j].Value)
		}
		dst = append(dst, `},"id":`...)
		dst = appendJSONString(dst, b.ID)
		dst = append(dst, "}\n"...)
	}
	return dst
}

const timestampLength = len("2026-01-02T03:04:05.678Z")

// appendTimestamp writes Unix milliseconds as RFC 3339 in UTC.
func appendTimestamp(dst []byte, ms int64) []byte {
	ms = min(max(ms, minTimestampMS), maxTimestampMS)
	t := time.UnixMilli(ms).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendTwoDigits(dst, year/100)
	dst = appendTwoDigits(dst, year%100)
	dst = append(dst, '-')
	dst = appendTwoDigits(dst, int(month))
	dst = append(dst, '-')
	dst = appendTwoDigits(dst, day)
	dst = append(dst, 'T')
	dst = appendTwoDigits(dst, hour)
	dst = append(dst, ':')
	dst = appendTwoDigits(dst, minute)
	dst = append(dst, ':')
	dst = appendTwoDigits(dst, second)
	milli := t.Nanosecond() / int(time.Millisecond)
	dst = append(dst, '.', byte('0'+milli/100))
	dst = appendTwoDigits(dst, milli%100)
	return append(dst, 'Z')
}

func appendTwoDigits(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

// appendJSONFloat writes a finite number as encoding/json does: as ECMAScript
// would, in the shortest digits that read back as the same float64.
func appendJSONFloat(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	if abs == 0 || (abs >= 1e-6 && abs < 1e21) {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// strconv writes at least two digits of exponent: e-09 becomes e-9.
	if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// appendJSONString writes a string literal. Beside what JSON demands it escapes
// U+0085, U+2028 and U+2029, which many readers take for the end of a line.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0 // of what has not been copied yet
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if !escapedRune(r, size) {
				i += size
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendHexEscape(dst, r)
		} else {
			dst = append(dst, s[start:i]...)
			dst = appendEscapedByte(dst, c)
		}
		i += size
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// escapedRune tells whether a character beyond ASCII is written as an escape.
func escapedRune(r rune, size int) bool {
	switch r {
	case utf8.RuneError:
		return size == 1 // a stray byte, not U+FFFD itself
	case 0x85, 0x2028, 0x2029:
		return true
	}
	return false
}

func appendEscapedByte(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return appendHexEscape(dst, rune(c))
}

func appendHexEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
