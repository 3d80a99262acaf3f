package wire

// The body of a chunked request is decoded in place: the data of each chunk is
// moved down behind that of the one before, over the size lines, which need no
// keeping.

// chunkSize reads `chunk-size [ chunk-ext ] CRLF` (RFC 9112 section 7.1).
func (s *Session) chunkSize() State {
	line, found := s.line(maxChunkLine)
	switch found {
	case lineOpen:
		return NeedMore
	case lineLong:
		return s.fail(400, "chunk size line too long")
	case lineBare:
		return s.fail(400, "bare LF")
	}
	size, digits, ok := hexadecimal(line)
	if !ok {
		return s.fail(400, "invalid chunk size")
	}
	if reason := chunkExtension(line[digits:]); reason != "" {
		return s.fail(400, reason)
	}
	s.excess += len(line) - significant(size)
	if s.excess > maxChunkOverhead {
		return s.fail(400, "chunk extensions too long")
	}
	if size > int64(s.limits.Body-s.body.len) {
		return s.fail(413, "body too large")
	}
	s.left = int(size)
	s.stage = stageChunkData
	if size == 0 {
		s.stage = stageTrailers
	}
	return again
}

// chunkExtension says what is wrong with the part of a size line behind the
// digits. Extensions mean nothing here and are not parsed further.
func chunkExtension(ext []byte) (reason string) {
	if len(ext) == 0 {
		return ""
	}
	// The white space that the grammar tolerates before the semicolon is
	// refused: parsers differ in it.
	if ext[0] != ';' {
		return "invalid chunk size"
	}
	if n := prefix(ext, valueByte); n < len(ext) {
		return controlReason(ext[n])
	}
	return ""
}

// significant returns how many hexadecimal digits n needs.
func significant(n int64) int {
	digits := 1
	for n >>= 4; n > 0; n >>= 4 {
		digits++
	}
	return digits
}

func (s *Session) chunkData() State {
	n := min(s.left, s.end-s.pos)
	to := s.start + s.body.off + s.body.len
	copy(s.buf[to:], s.buf[s.pos:s.pos+n])
	s.body.len += n
	s.left -= n
	s.pos += n
	s.scan = s.pos
	if s.left > 0 {
		return NeedMore
	}
	s.stage = stageChunkEnd
	return again
}

func (s *Session) chunkEnd() State {
	have := s.buf[s.pos:s.end]
	if len(have) > 0 && have[0] != '\r' || len(have) > 1 && have[1] != '\n' {
		return s.fail(400, "chunk data is not followed by CRLF")
	}
	if len(have) < 2 {
		return NeedMore
	}
	s.pos += 2
	s.scan = s.pos
	s.stage = stageChunkSize
	return again
}

// trailers checks the fields after the last chunk and drops them.
func (s *Session) trailers() State {
	for {
		line, state := s.fieldLine()
		if state != again {
			return state
		}
		if len(line) == 0 {
			return s.complete()
		}
		name, _, reason := cutField(line)
		if reason != "" {
			return s.fail(400, reason)
		}
		if forbiddenTrailer(name) {
			return s.fail(400, "trailer field that is not allowed")
		}
	}
}

// forbiddenTrailer reports whether a field must not come after the body: those
// that frame the message, route it or say who sent it (RFC 9110 section 6.5.1).
func forbiddenTrailer(name []byte) bool {
	for _, f := range [...]string{"content-length", "transfer-encoding", "trailer", "host", "authorization", "connection", "expect"} {
		if equalFold(name, f) {
			return true
		}
	}
	return false
}

func namesForbiddenTrailer(list []byte) bool {
	for list != nil {
		var name []byte
		name, list = nextElement(list)
		if forbiddenTrailer(name) {
			return true
		}
	}
	return false
}
