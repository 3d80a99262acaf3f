package loadgen

import (
	"bytes"
	"errors"
	"strings"

	"mslab/results/record"
)

// Limits of an answer's head; beyond them it is malformed. Interim answers
// have a head each, and there may be any number of them: what bounds them is
// the request's timeout.
const (
	maxLine = 64 << 10  // bytes of a line, its end included
	maxHead = 256 << 10 // bytes of a head, or of the trailers
	maxBody = 4 << 10   // bytes of a body that are kept for the answer check
)

// What makes an answer malformed. Each has a value of its own, so that parsing
// allocates nothing and tests can tell them apart.
var (
	errStatusLine = errors.New("malformed answer: no HTTP/1 status line with a code from 100 to 599")
	errSwitch     = errors.New("malformed answer: it switches to a protocol that nobody asked for")
	errField      = errors.New("malformed answer: a line of the head is no field")
	errLength     = errors.New("malformed answer: its Content-Length is no number, or there are two of them")
	errEncoding   = errors.New("malformed answer: its Transfer-Encoding is not chunked alone")
	errChunk      = errors.New("malformed answer: its chunks are not where their sizes say")
	errTrailer    = errors.New("malformed answer: a line of the trailers is no field")
	errTooLong    = errors.New("malformed answer: its head is too long")
)

type parseState uint8

const (
	inStatusLine parseState = iota
	inHeader
	inBody      // Content-Length bytes
	inChunkSize // the line before a chunk
	inChunk
	inChunkEnd // the line break after a chunk
	inTrailer
	inUntilEOF // a body that ends with the connection
	parseDone
)

// response parses one HTTP/1.x answer (RFC 9112) from whatever pieces arrive.
// It does no I/O and, once its buffers have grown, allocates nothing.
type response struct {
	state   parseState
	status  int
	close   bool // the connection ends after this answer
	begun   bool // a byte has been seen
	head    bool // the request was HEAD: no body, whatever the fields say
	capture bool // keep the body's first bytes

	http10    bool
	keepAlive bool // "Connection: keep-alive" was seen
	chunked   bool
	hasLength bool
	length    uint64 // bytes of body or chunk still to come
	seen      int    // bytes of the head or the trailers so far
	line      []byte // a line's beginning from an earlier piece
	body      []byte // up to maxBody bytes, where capture is set
}

// reset prepares for the next answer.
func (r *response) reset() {
	r.begun = false
	r.line, r.body = r.line[:0], r.body[:0]
	r.resetHead()
}

func (r *response) resetHead() {
	r.state, r.status, r.seen = inStatusLine, 0, 0
	r.close, r.http10, r.keepAlive = false, false, false
	r.chunked, r.hasLength, r.length = false, false, 0
}

// feed takes the next bytes. It returns those that lie beyond the answer's
// end, and whether the end was reached. They belong to the next answer where
// another request is outstanding on the connection; where none is the answer is
// not as long as it said, and malformed.
func (r *response) feed(b []byte) (rest []byte, done bool, err error) {
	if len(b) > 0 {
		r.begun = true
	}
	for len(b) > 0 && r.state != parseDone {
		switch r.state {
		case inBody, inChunk:
			b = r.feedBody(b)
		case inUntilEOF:
			r.keep(b)
			b = nil
		default:
			if b, err = r.feedLine(b); err != nil {
				return nil, false, err
			}
		}
	}
	return b, r.state == parseDone, nil
}

// eof tells what the end of the connection means: a complete answer or the
// class of the failure.
func (r *response) eof() (done bool, class record.Class) {
	switch {
	case !r.begun:
		return false, record.EOFBefore
	case r.state == inUntilEOF:
		r.state = parseDone
		return true, record.OK
	case r.state == inBody:
		return false, record.ShortRead
	}
	return false, record.EOFIn
}

func (r *response) feedBody(b []byte) []byte {
	n := uint64(len(b))
	if n > r.length {
		n = r.length
	}
	r.keep(b[:n])
	r.length -= n
	if r.length == 0 {
		if r.state == inChunk {
			r.state = inChunkEnd
		} else {
			r.state = parseDone
		}
	}
	return b[n:]
}

func (r *response) keep(b []byte) {
	if room := maxBody - len(r.body); r.capture && room > 0 {
		r.body = append(r.body, b[:min(room, len(b))]...)
	}
}

// feedLine takes bytes up to the end of a line and acts on the line.
func (r *response) feedLine(b []byte) ([]byte, error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		r.line = append(r.line, b...)
		switch {
		case !r.plausible(r.line):
			return nil, errStatusLine
		case len(r.line) >= maxLine || r.seen+len(r.line) >= maxHead: // its end is to come
			return nil, errTooLong
		}
		return nil, nil
	}
	line := b[:i+1]
	if len(r.line) > 0 {
		r.line = append(r.line, line...)
		line = r.line
	}
	r.seen += len(line)
	switch {
	case !r.plausible(line):
		return nil, errStatusLine
	case len(line) > maxLine || r.seen > maxHead:
		return nil, errTooLong
	}
	line = line[:len(line)-1]
	crlf := len(line) > 0 && line[len(line)-1] == '\r'
	if crlf {
		line = line[:len(line)-1]
	}
	err := r.act(line, crlf)
	r.line = r.line[:0]
	return b[i+1:], err
}

// plausible lets garbage without a line break be called malformed at once,
// not when the timeout strikes.
func (r *response) plausible(line []byte) bool {
	const start = "HTTP/1."
	n := min(len(line), len(start))
	return r.state != inStatusLine || string(line[:n]) == start[:n]
}

func (r *response) act(line []byte, crlf bool) error {
	switch r.state {
	case inStatusLine:
		return r.statusLine(line)
	case inHeader:
		if len(line) == 0 {
			return r.endOfHead()
		}
		return r.field(line)
	case inChunkSize:
		if !crlf {
			return errChunk
		}
		// Size lines do not count against the limit of the head.
		r.seen = 0
		return r.chunkSize(line)
	case inChunkEnd:
		if !crlf || len(line) > 0 {
			return errChunk
		}
		r.state = inChunkSize
	case inTrailer:
		if !crlf {
			return errTrailer
		}
		if len(line) == 0 {
			r.state = parseDone
		} else if _, _, ok := splitField(line); !ok {
			return errTrailer
		}
	}
	return nil
}

// statusLine accepts HTTP/1.0 and 1.1 with codes 100-599.
func (r *response) statusLine(line []byte) error {
	const digits = len("HTTP/1.1 ")
	if len(line) < digits+3 || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
		return errStatusLine
	}
	switch line[7] {
	case '0':
		r.http10 = true
	case '1':
	default:
		return errStatusLine
	}
	for _, d := range line[digits : digits+3] {
		if d < '0' || d > '9' {
			return errStatusLine
		}
		r.status = r.status*10 + int(d-'0')
	}
	if r.status < 100 || r.status > 599 || len(line) > digits+3 && line[digits+3] != ' ' {
		return errStatusLine
	}
	r.state = inHeader
	return nil
}

// splitField cuts "name: value"; ok is false for what is no field, a folded
// line among them.
func splitField(line []byte) (name, value []byte, ok bool) {
	for i, c := range line {
		if c == ':' {
			return line[:i], bytes.Trim(line[i+1:], " \t"), i > 0
		}
		if !tokenByte[c] {
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// field acts on the three fields that decide where the answer ends.
func (r *response) field(line []byte) error {
	name, value, ok := splitField(line)
	if !ok {
		return errField
	}
	switch {
	case is(name, "content-length"):
		return r.contentLength(value)
	case is(name, "transfer-encoding"):
		// RFC 9112, section 6.1: in an HTTP/1.0 message the framing is faulty.
		if r.chunked || r.http10 || !is(value, "chunked") {
			return errEncoding
		}
		r.chunked = true
	case is(name, "connection"):
		r.connection(value)
	}
	return nil
}

// is compares without regard to case; want is in lower case.
func is(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

// contentLength accepts repeated fields where they agree.
func (r *response) contentLength(value []byte) error {
	if len(value) == 0 || len(value) > 18 {
		return errLength
	}
	var n uint64
	for _, d := range value {
		if d < '0' || d > '9' {
			return errLength
		}
		n = n*10 + uint64(d-'0')
	}
	if r.hasLength && n != r.length {
		return errLength
	}
	r.hasLength, r.length = true, n
	return nil
}

func (r *response) connection(value []byte) {
	for len(value) > 0 {
		option := value
		if i := bytes.IndexByte(value, ','); i >= 0 {
			option, value = value[:i], value[i+1:]
		} else {
			value = nil
		}
		option = bytes.Trim(option, " \t")
		if is(option, "close") {
			r.close = true
		} else if is(option, "keep-alive") {
			r.keepAlive = true
		}
	}
}

// endOfHead decides by RFC 9112, section 6.3, how the body ends.
func (r *response) endOfHead() error {
	if r.status < 200 {
		if r.status == 101 {
			return errSwitch
		}
		r.resetHead() // an interim answer; the final one follows
		return nil
	}
	if r.http10 && !r.keepAlive {
		r.close = true
	}
	switch {
	case r.head || r.status == 204 || r.status == 304:
		r.state = parseDone
	case r.chunked:
		// With both fields chunked wins, but what follows cannot be trusted.
		r.close = r.close || r.hasLength
		r.state, r.seen = inChunkSize, 0
	case r.hasLength && r.length == 0:
		r.state = parseDone
	case r.hasLength:
		r.state = inBody
	default:
		r.close = true
		r.state = inUntilEOF
	}
	return nil
}

func (r *response) chunkSize(line []byte) error {
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	line = bytes.TrimRight(line, " \t")
	if len(line) == 0 || len(line) > 15 {
		return errChunk
	}
	var n uint64
	for _, c := range line {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if d < 0 || c < '0' {
			return errChunk
		}
		n = n<<4 | uint64(d)
	}
	r.length = n
	if n == 0 {
		r.state = inTrailer
	} else {
		r.state = inChunk
	}
	return nil
}
