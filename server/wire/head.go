package wire

import "bytes"

// head is what the request line and the header fields said.
type head struct {
	method, path, query                  span
	authorization, correlationID, accept span

	http10           bool
	close, keepAlive bool // Connection options
	host             bool // a Host field was seen
	authorized       bool // an Authorization field was seen
	sized            bool // a Content-Length field was seen
	chunked          bool
	expects          bool // 100-continue
	expectsOther     bool

	length int64 // Content-Length
	bytes  int   // of header and trailer lines
}

// lineState is how the search for a line's end came out.
type lineState uint8

const (
	lineWhole lineState = iota
	lineOpen            // its end was not read yet
	lineLong            // it does not end within the limit
	lineBare            // it ends in LF without CR
)

// line takes the next line, without its CRLF, if it ends within limit bytes.
// It looks no further than that even where more was read, so that the outcome
// does not depend on how much was.
func (s *Session) line(limit int) ([]byte, lineState) {
	stop := min(s.end, s.pos+limit)
	from := max(s.pos, s.scan)
	i := bytes.IndexByte(s.buf[from:stop], '\n')
	if i < 0 {
		s.scan = stop
		if stop == s.pos+limit {
			return nil, lineLong
		}
		return nil, lineOpen
	}
	lf := from + i
	if lf == s.pos || s.buf[lf-1] != '\r' {
		return nil, lineBare
	}
	line := s.buf[s.pos : lf-1]
	s.pos, s.scan = lf+1, lf+1
	return line, lineWhole
}

// beginRequest skips one empty line and looks at the first byte, so that what
// is plainly no HTTP (a TLS handshake, say) is refused before a line of it came.
func (s *Session) beginRequest() State {
	if s.pos == s.end {
		return NeedMore
	}
	switch c := s.buf[s.pos]; {
	case c == '\n':
		return s.fail(400, "bare LF")
	case c != '\r' && !is(c, tokenByte):
		return s.fail(400, "method is no token")
	case c != '\r':
		s.stage = stageRequestLine
		return again
	case s.blank:
		return s.fail(400, "more than one empty line before the request line")
	case s.end-s.pos < 2:
		return NeedMore
	case s.buf[s.pos+1] != '\n':
		return s.fail(400, "bare CR")
	}
	s.blank = true
	s.pos += 2
	s.start, s.scan = s.pos, s.pos
	if s.pos == s.end {
		s.start, s.pos, s.scan, s.end = 0, 0, 0, 0
	}
	return again
}

func (s *Session) requestLine() State {
	line, found := s.line(s.limits.RequestLine + 2)
	switch found {
	case lineOpen:
		return NeedMore
	case lineLong:
		return s.fail(414, "request line too long")
	case lineBare:
		return s.fail(400, "bare LF")
	}
	method := prefix(line, tokenByte)
	if method == len(line) || line[method] != ' ' {
		return s.fail(400, "method is no token")
	}
	rest := line[method+1:]
	space := bytes.LastIndexByte(rest, ' ')
	if space < 0 {
		return s.fail(400, "request line is not method, target and version")
	}
	target, version := rest[:space], rest[space+1:]
	switch {
	case string(version) == "HTTP/1.1":
	case string(version) == "HTTP/1.0":
		s.head.http10 = true
	case isVersion(version):
		return s.fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
	default:
		return s.fail(400, "malformed HTTP version")
	}
	if reason := s.parseTarget(line[:method], target); reason != "" {
		return s.fail(400, reason)
	}
	s.head.method = span{0, method}
	s.stage = stageHeaders
	return again
}

func isVersion(v []byte) bool {
	return len(v) == 8 && string(v[:5]) == "HTTP/" && isDigit(v[5]) && v[6] == '.' && isDigit(v[7])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// fieldLine takes the next header or trailer line within the bytes that are
// left for them; an empty one ends the section.
func (s *Session) fieldLine() ([]byte, State) {
	// An empty line costs nothing, so that there is always room to look at it.
	line, found := s.line(max(s.limits.Headers-s.head.bytes, 2))
	switch found {
	case lineOpen:
		return nil, NeedMore
	case lineLong:
		return nil, s.fail(431, "header fields too large")
	case lineBare:
		return nil, s.fail(400, "bare LF")
	}
	if len(line) > 0 {
		s.head.bytes += len(line) + 2
	}
	return line, again
}

func (s *Session) headers() State {
	for {
		line, state := s.fieldLine()
		if state != again {
			return state
		}
		if len(line) == 0 {
			return s.endHeaders()
		}
		name, value, reason := cutField(line)
		if reason != "" {
			return s.fail(400, reason)
		}
		if state := s.field(name, value); state != again {
			return state
		}
	}
}

// cutField splits a field line into its name and trimmed value, or says what is
// wrong with it.
func cutField(line []byte) (name, value []byte, reason string) {
	n := prefix(line, tokenByte)
	if n == 0 && isSpace(line[0]) {
		return nil, nil, "folded header line"
	}
	if n == 0 || n == len(line) || line[n] != ':' {
		if n > 0 && n < len(line) && isSpace(line[n]) {
			return nil, nil, "space in or after a header name"
		}
		return nil, nil, "header name is no token followed by a colon"
	}
	value = line[n+1:]
	if bad := prefix(value, valueByte); bad < len(value) {
		return nil, nil, controlReason(value[bad])
	}
	return line[:n], trim(value), ""
}

func controlReason(c byte) string {
	switch c {
	case 0:
		return "NUL"
	case '\r':
		return "bare CR"
	}
	return "control character"
}

// spanOf returns where in the request b lies, which must be a part of the buffer.
func (s *Session) spanOf(b []byte) span {
	// Both slices reach to the same end of the buffer's capacity.
	return span{cap(s.buf) - cap(b) - s.start, len(b)}
}

// field takes in one header field. The switch on the length keeps fields that
// mean nothing here at one comparison.
func (s *Session) field(name, value []byte) State {
	h := &s.head
	switch len(name) {
	case len("host"):
		if equalFold(name, "host") {
			return s.hostField(value)
		}
	case len("accept"): // and expect
		if equalFold(name, "accept") {
			s.acceptField(value)
		} else if equalFold(name, "expect") {
			s.expectField(value)
		}
	case len("trailer"):
		if equalFold(name, "trailer") && namesForbiddenTrailer(value) {
			return s.fail(400, "trailer field that is not allowed")
		}
	case len("connection"):
		if equalFold(name, "connection") {
			s.connectionField(value)
		}
	case len("authorization"):
		if equalFold(name, "authorization") {
			if h.authorized {
				return s.fail(400, "repeated Authorization")
			}
			h.authorized = true
			h.authorization = s.spanOf(value)
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			return s.lengthField(value)
		}
	case len("x-correlation-id"):
		if equalFold(name, "x-correlation-id") && h.correlationID.len == 0 {
			h.correlationID = s.spanOf(value)
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			return s.encodingField(value)
		}
	}
	return again
}

func (s *Session) hostField(value []byte) State {
	if s.head.host {
		return s.fail(400, "repeated Host")
	}
	if len(value) > 0 && !validAuthority(value) {
		return s.fail(400, "invalid Host")
	}
	s.head.host = true
	return again
}

func (s *Session) lengthField(value []byte) State {
	if s.head.sized {
		return s.fail(400, "repeated Content-Length")
	}
	n, ok := decimal(value)
	if !ok {
		return s.fail(400, "invalid Content-Length")
	}
	s.head.sized, s.head.length = true, n
	return again
}

func (s *Session) encodingField(value []byte) State {
	switch {
	case s.head.http10:
		return s.fail(400, "Transfer-Encoding in HTTP/1.0")
	case s.head.chunked:
		return s.fail(400, "repeated Transfer-Encoding")
	case equalFold(value, "chunked"):
		s.head.chunked = true
		return again
	case endsInChunked(value):
		return s.fail(501, "Transfer-Encoding other than chunked")
	}
	return s.fail(400, "invalid Transfer-Encoding")
}

// endsInChunked reports whether value lists codings, each a token, of which the
// last and only the last is chunked: a body that could be delimited but not
// decoded (RFC 9112 section 6.1). Codings with parameters count as invalid.
func endsInChunked(value []byte) bool {
	for {
		var coding []byte
		coding, value = nextElement(value)
		if !isToken(coding) {
			return false
		}
		if equalFold(coding, "chunked") {
			return value == nil
		}
		if value == nil {
			return false
		}
	}
}

func (s *Session) connectionField(value []byte) {
	for value != nil {
		var option []byte
		option, value = nextElement(value)
		if equalFold(option, "close") {
			s.head.close = true
		} else if equalFold(option, "keep-alive") {
			s.head.keepAlive = true
		}
	}
}

func (s *Session) expectField(value []byte) {
	for value != nil {
		var expectation []byte
		expectation, value = nextElement(value)
		if equalFold(expectation, "100-continue") {
			s.head.expects = true
		} else if len(expectation) > 0 {
			s.head.expectsOther = true
		}
	}
}

func (s *Session) acceptField(value []byte) {
	first := s.head.accept
	switch {
	case len(value) == 0:
	case first.len == 0:
		s.head.accept = s.spanOf(value)
	default:
		if len(s.accept) == 0 {
			s.accept = append(s.accept, s.text(first)...)
		}
		s.accept = append(s.accept, ", "...)
		s.accept = append(s.accept, value...)
	}
}

// endHeaders decides how the body is delimited.
func (s *Session) endHeaders() State {
	h := &s.head
	switch {
	case !h.host && !h.http10:
		return s.fail(400, "missing Host")
	case h.sized && h.chunked:
		return s.fail(400, "both Content-Length and Transfer-Encoding")
	case h.expectsOther:
		return s.fail(417, "expectation other than 100-continue")
	case h.length > int64(s.limits.Body):
		return s.fail(413, "body too large")
	}
	s.body = span{s.pos - s.start, 0}
	switch {
	case h.chunked:
		s.stage = stageChunkSize
	case h.length > 0:
		s.stage = stageBody
		s.left = int(h.length)
	default:
		return s.complete()
	}
	if h.expects && !h.http10 {
		return Continue
	}
	return again
}
