// Package wire speaks the server's strict subset of HTTP/1.1 without doing any
// I/O: bytes go in, requests come out, answers are appended to a buffer. Every
// execution model, blocking threads or event loops, shares it.
//
// A connection's use of it, whatever reads and writes:
//
//	for {
//		switch state, req := s.Next(); state {
//		case wire.Ready:    // answer req
//		case wire.Continue: // write AppendContinue
//		case wire.Failed:   // answer s.Err(), close
//		case wire.NeedMore:
//			n := read(fd, s.ReadBuffer())
//			s.Advance(n)
//		}
//	}
//
// What two parties on a path could read in two ways is refused with 400 and a
// closed connection: both Content-Length and Transfer-Encoding, two lengths
// (equal ones too), an empty length, signs in sizes, sizes beyond 63 bits, bare
// LF or CR, NUL and other control characters, obs-fold, space before the colon,
// header names that are no token, a missing (1.1) or repeated Host,
// Transfer-Encoding in HTTP/1.0, two Authorization fields. The grammar is that
// of RFC 9110 and RFC 9112, with these choices where they leave one:
//
//   - One empty line before a request line is skipped (RFC 9112 section 2.2),
//     a second one is refused.
//   - Targets are in origin-form, absolute-form with http or https (the path is
//     taken; its authority is checked, Host is not held against it since it
//     decides nothing here), or "*" for OPTIONS. A fragment, a percent sign
//     without two hexadecimal digits and all other forms are refused. Methods
//     are not restricted beyond being tokens.
//   - Versions of the form HTTP/d.d other than 1.0 and 1.1 get 505, all else
//     400. A Transfer-Encoding whose last coding is chunked after others gets
//     501, all others but chunked alone 400.
//   - An empty Host is taken (RFC 9112 section 3.2 lets a client send one).
//   - Chunk extensions are skipped, trailer fields checked and skipped; trailers
//     that name framing, routing or credentials are refused. Trailers share the
//     byte budget of the headers.
//   - "Expect: 100-continue" is reported whenever a body follows, whether or not
//     its bytes have come, so that the outcome never depends on timing. In
//     HTTP/1.0 it is ignored; other expectations get 417 in either version.
//   - X-Correlation-ID counts where it stands first; several Accept fields are
//     joined by ", ".
package wire

// Default limits, in bytes, taken where a field of Limits is not positive.
const (
	DefaultRequestLine = 8 << 10
	DefaultHeaders     = 32 << 10
	DefaultBody        = 1 << 20
)

// Limits bound what one request may occupy. Zero means the default.
type Limits struct {
	RequestLine int // bytes without its CRLF, default 8 KiB; beyond it 414
	Headers     int // bytes of all header and trailer lines with their CRLFs, default 32 KiB; beyond it 431
	Body        int // bytes after decoding chunks, default 1 MiB; beyond it 413
}

func (l Limits) withDefaults() Limits {
	if l.RequestLine <= 0 {
		l.RequestLine = DefaultRequestLine
	}
	if l.Headers <= 0 {
		l.Headers = DefaultHeaders
	}
	if l.Body <= 0 {
		l.Body = DefaultBody
	}
	return l
}

// Request is one complete request. Its strings and Body lie in the session's
// buffer and are valid until the next call of Session.Next or Session.Reset:
// what is kept longer (a map key, a batch on its way to a sink) must be cloned.
// Builds with the race detector overwrite a request when it ends, so that tests
// see a value that was kept.
type Request struct {
	Method string // as sent, case-sensitive
	Path   string // target up to '?', undecoded, "/" where an absolute-form has none; "*" for OPTIONS *
	Query  string // after '?', undecoded
	// HTTP10 is true for HTTP/1.0, false for HTTP/1.1.
	HTTP10 bool
	// KeepAlive tells whether the client wishes the connection kept after the
	// answer: the default of 1.1, by "Connection: keep-alive" in 1.0. Where it
	// is false, bytes that follow the request must not be treated as another.
	KeepAlive     bool
	Authorization string // field value, "" where missing
	// CorrelationID is X-Correlation-ID, "" where missing. It holds no control
	// characters, but may hold bytes that are no valid UTF-8.
	CorrelationID string
	Accept        string
	Body          []byte
}

// Error is a request that cannot be answered otherwise: the Status to answer
// with, after which the connection closes.
type Error struct {
	Status int
	Reason string // lower-case phrase, safe to show to the client
}

func (e *Error) Error() string { return e.Reason }

// State is what Session.Next found.
type State int

const (
	// NeedMore: no complete request yet; read more bytes.
	NeedMore State = iota
	// Ready: the Request is complete.
	Ready
	// Continue: the client waits for "100 Continue" before it sends the body
	// (reported once a request); send AppendContinue, after the answers to the
	// requests before it, then go on with Next.
	Continue
	// Failed: the bytes are no acceptable request; Err says why.
	Failed
)

// again is Next's own state: a step was done, take the next one.
const again State = -1

// Response is an answer to be written.
type Response struct {
	Status        int
	ContentType   string // "application/json" where empty
	Body          []byte
	CorrelationID string // echoed as X-Correlation-ID unless empty
	Allow         string // for 405
	RetryAfter    int    // seconds, for 503 and 429; 0 leaves the field out
	// Date is the time of the answer in DateFormat (UTC), "" leaves the field
	// out. RFC 9110 section 6.6.1 asks a server with a clock to send it; the
	// caller has the clock and can keep one string for each second.
	Date   string
	Close  bool // adds "Connection: close"
	HTTP10 bool // answer to a 1.0 client: "Connection: keep-alive" where kept
	Head   bool // answer to HEAD: lengths but no body
}

// DateFormat is IMF-fixdate (RFC 9110 section 5.6.7) for time.Time.Format; the
// time must be in UTC.
const DateFormat = "Mon, 02 Jan 2006 15:04:05 GMT"
