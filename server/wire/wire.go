// Package wire speaks the server's strict subset of HTTP/1.1 without doing any
// I/O: bytes go in, requests come out, answers are appended to a buffer. Every
// execution model, blocking threads or event loops, shares it.
//
// The rules it holds to are those of DESIGN.md: what two parties on a path
// could read in two ways is refused with 400 and a closed connection.
package wire

// Limits bound what one request may occupy. Zero means the default.
type Limits struct {
	RequestLine int // bytes, default 8 KiB; beyond it 414
	Headers     int // bytes of all header lines, default 32 KiB; beyond it 431
	Body        int // bytes after decoding chunks, default 1 MiB; beyond it 413
}

// Request is one complete request. Its strings and Body are valid until the
// next call of Session.Next.
type Request struct {
	Method string // as sent, case-sensitive
	Path   string // origin-form target up to '?', undecoded; "*" for OPTIONS *
	Query  string // after '?', undecoded
	// HTTP10 is true for HTTP/1.0, false for HTTP/1.1.
	HTTP10 bool
	// KeepAlive tells whether the client wishes the connection kept after the
	// answer: the default of 1.1, by "Connection: keep-alive" in 1.0.
	KeepAlive     bool
	Authorization string // field value, "" where missing
	CorrelationID string // X-Correlation-ID, "" where missing
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
	// (reported once a request); send AppendContinue, then go on reading.
	Continue
	// Failed: the bytes are no acceptable request; Err says why.
	Failed
)

// Response is an answer to be written.
type Response struct {
	Status        int
	ContentType   string // "application/json" where empty
	Body          []byte
	CorrelationID string // echoed as X-Correlation-ID unless empty
	Allow         string // for 405
	RetryAfter    int    // seconds, for 503 and 429; 0 leaves the field out
	Close         bool   // adds "Connection: close"
	HTTP10        bool   // answer to a 1.0 client: "Connection: keep-alive" where kept
	Head          bool   // answer to HEAD: lengths but no body
}
