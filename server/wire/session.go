package wire

import "unsafe"

const (
	// initialBuffer holds the common request several times over and is what
	// an idle connection occupies once it has read anything.
	initialBuffer = 8 << 10
	// minFree is the least room ReadBuffer offers while a request may go on.
	minFree = 4 << 10
	// maxChunkLine bounds a chunk's size line with its CRLF.
	maxChunkLine = 1 << 10
	// maxChunkOverhead bounds, over one request, what chunk size lines hold
	// beyond the digits they need: extensions, leading zeros.
	maxChunkOverhead = 4 << 10
	// shrinkAfter is the number of small requests in a row after which a
	// buffer that a large one made grow is given back.
	shrinkAfter = 32
	// keepOnReset is the largest buffer that Reset keeps.
	keepOnReset = 64 << 10
)

// stage is where in a request the parser stands.
type stage uint8

const (
	stageStart stage = iota
	stageRequestLine
	stageHeaders
	stageBody
	stageChunkSize
	stageChunkData
	stageChunkEnd
	stageTrailers
	stageFailed
)

// span is a part of the buffer, relative to the start of the request, so that
// it survives when the buffer moves.
type span struct{ off, len int }

// Session turns the bytes of one connection into requests. It is not safe for
// concurrent use. Its outcome does not depend on how the bytes are cut into
// reads, and each byte is looked at a bounded number of times.
type Session struct {
	limits    Limits
	maxBuffer int

	// buf[start:end] is what was read of the request in progress and those
	// after it; buf[:pos] is parsed, and no LF stands in buf[pos:scan].
	buf                   []byte
	start, pos, scan, end int

	stage stage
	blank bool // an empty line was skipped before this request
	held  bool // the caller may look at req, whose bytes are buf[start:pos]
	slack int  // requests in a row that left most of buf unused

	head   head
	accept []byte // several Accept fields, joined
	body   span   // decoded so far
	left   int    // bytes of the body or chunk still to come
	excess int    // chunk overhead so far

	req Request
	err Error
}

// NewSession returns a session for a new connection. It allocates its buffer at
// the first ReadBuffer.
func NewSession(limits Limits) *Session {
	l := limits.withDefaults()
	head := l.RequestLine + 2 + l.Headers + 2
	tail := max(maxChunkLine, l.Headers+2)
	return &Session{limits: l, maxBuffer: max(initialBuffer, head+l.Body+tail+minFree)}
}

// Reset makes the session ready for another connection. It keeps the buffer
// unless a large request made it grow.
func (s *Session) Reset() {
	poison(s.buf[s.start:s.end])
	buf := s.buf
	if len(buf) > keepOnReset {
		buf = nil
	}
	*s = Session{limits: s.limits, maxBuffer: s.maxBuffer, buf: buf, accept: s.accept[:0]}
}

// ReadBuffer returns room to read into, at least 4 KiB after a NeedMore. A
// caller that reads on while it leaves requests in the buffer gets less, in the
// end none, when the session holds all that its limits allow. The room is valid
// until the next call of a method other than Advance.
func (s *Session) ReadBuffer() []byte {
	if len(s.buf)-s.end < minFree {
		s.makeRoom()
	}
	return s.buf[s.end:]
}

// Advance takes in the first n bytes of the room that ReadBuffer returned; n
// that is not positive changes nothing. More than the room is a programming
// error and panics.
func (s *Session) Advance(n int) {
	if n <= 0 {
		return
	}
	if n > len(s.buf)-s.end {
		panic("wire: Advance beyond the room that ReadBuffer returned")
	}
	s.end += n
}

// Idle reports whether the connection stands between two requests with no byte
// of a next one read (an empty line before it, once skipped, does not count):
// the peer's EOF or an idle timeout is then a clean end. In the middle of a
// request, and after Failed, it is false.
func (s *Session) Idle() bool { return s.stage == stageStart && s.pos == s.end }

// Err returns why Next returned Failed, nil where it did not. It is valid until
// Reset.
func (s *Session) Err() *Error {
	if s.stage != stageFailed {
		return nil
	}
	return &s.err
}

// CorrelationID is the X-Correlation-ID of the request in progress, or of the
// one that Failed, as far as it was read; "" where it was not. It is valid until
// the next call of another method.
func (s *Session) CorrelationID() string { return s.text(s.head.correlationID) }

// Next ends the request it returned before and looks for the next one in the
// bytes read so far. It never blocks; after NeedMore nothing changes until
// Advance. The request is nil unless the state is Ready. Failed is final.
func (s *Session) Next() (State, *Request) {
	if s.held {
		s.release()
	}
	for {
		state := s.step()
		switch state {
		case again:
		case Ready:
			return Ready, &s.req
		default:
			return state, nil
		}
	}
}

func (s *Session) step() State {
	switch s.stage {
	case stageStart:
		return s.beginRequest()
	case stageRequestLine:
		return s.requestLine()
	case stageHeaders:
		return s.headers()
	case stageBody:
		return s.fixedBody()
	case stageChunkSize:
		return s.chunkSize()
	case stageChunkData:
		return s.chunkData()
	case stageChunkEnd:
		return s.chunkEnd()
	case stageTrailers:
		return s.trailers()
	default:
		return Failed
	}
}

func (s *Session) fail(status int, reason string) State {
	s.stage = stageFailed
	s.err = Error{Status: status, Reason: reason}
	return Failed
}

func (s *Session) fixedBody() State {
	if s.end-s.pos < s.left {
		return NeedMore
	}
	s.body.len = s.left
	s.pos += s.left
	s.scan = s.pos
	return s.complete()
}

func (s *Session) complete() State {
	h := &s.head
	s.req = Request{
		Method: s.text(h.method), Path: s.text(h.path), Query: s.text(h.query),
		HTTP10:        h.http10,
		KeepAlive:     !h.close && (!h.http10 || h.keepAlive),
		Authorization: s.text(h.authorization),
		CorrelationID: s.text(h.correlationID),
		Accept:        s.text(h.accept),
	}
	if h.path.len == 0 {
		s.req.Path = "/"
	}
	if len(s.accept) > 0 {
		s.req.Accept = unsafe.String(&s.accept[0], len(s.accept))
	}
	if from, to := s.start+s.body.off, s.start+s.body.off+s.body.len; to > from {
		// The capacity ends with the body: an append by the caller must not
		// reach the next request.
		s.req.Body = s.buf[from:to:to]
	}
	s.stage = stageStart
	s.held = true
	return Ready
}

// text makes a string of a part of the request without a copy. This is sound
// since no byte of a request that is held is written before release: ReadBuffer
// hands out only what lies behind it, and makeRoom leaves it where it is.
func (s *Session) text(p span) string {
	if p.len == 0 {
		return ""
	}
	return unsafe.String(&s.buf[s.start+p.off], p.len)
}

// release ends the request that Next returned before.
func (s *Session) release() {
	poison(s.buf[s.start:s.pos])
	poison(s.accept)
	used := s.pos - s.start
	s.held, s.blank = false, false
	s.req = Request{}
	s.head, s.accept = head{}, s.accept[:0]
	s.body, s.left, s.excess = span{}, 0, 0
	s.start, s.scan = s.pos, s.pos
	if s.pos < s.end {
		return
	}
	s.start, s.pos, s.scan, s.end = 0, 0, 0, 0
	if len(s.buf) <= initialBuffer || used > len(s.buf)/4 {
		s.slack = 0
	} else if s.slack++; s.slack >= shrinkAfter {
		s.buf, s.slack = nil, 0
	}
}

// makeRoom slides what is live to the front of the buffer where that frees
// enough, and takes a larger buffer, up to maxBuffer, where not. A held request
// stays where it is: strings point into it.
func (s *Session) makeRoom() {
	if s.held {
		s.makeRoomBehindHeld()
		return
	}
	gap := s.gap()
	used := s.end - s.start - gap
	if used+minFree <= len(s.buf) {
		s.moveTo(s.buf, gap)
		return
	}
	if size := s.grownSize(used); size > len(s.buf) {
		s.moveTo(make([]byte, size), gap)
	}
}

// gap is the number of bytes between the decoded part of a chunked body and
// what follows it unparsed.
func (s *Session) gap() int {
	if !s.head.chunked || s.stage < stageChunkSize || s.stage > stageTrailers {
		return 0
	}
	return s.pos - (s.start + s.body.off + s.body.len)
}

func (s *Session) moveTo(dst []byte, gap int) {
	kept := copy(dst, s.buf[s.start:s.pos-gap])
	copy(dst[kept:], s.buf[s.pos:s.end])
	shift := s.start + gap
	s.buf = dst
	s.start, s.pos, s.end = 0, s.pos-shift, s.end-shift
	s.scan = max(s.scan-shift, s.pos)
}

// makeRoomBehindHeld moves the bytes after a held request to a buffer of their
// own; the request keeps the old one alive.
func (s *Session) makeRoomBehindHeld() {
	rest := s.end - s.pos
	if s.start == s.pos && rest+minFree > len(s.buf) && s.grownSize(rest) <= len(s.buf) {
		return
	}
	dst := make([]byte, s.grownSize(rest))
	copy(dst, s.buf[s.pos:s.end])
	s.buf = dst
	s.start, s.pos, s.scan, s.end = 0, 0, 0, rest
}

// grownSize doubles the buffer until used bytes and a read fit.
func (s *Session) grownSize(used int) int {
	size := max(len(s.buf), initialBuffer)
	for size < used+minFree && size < s.maxBuffer {
		size *= 2
	}
	return min(size, max(s.maxBuffer, len(s.buf)))
}
