package record

// Class is how a request ended.
type Class string

// The classes of DESIGN.md. Where a request could belong to two, the first
// that occurred counts.
const (
	OK             Class = "ok"
	ConnectRefused Class = "connect_refused"
	ConnectTimeout Class = "connect_timeout"
	NoLocalPort    Class = "no_local_port"
	Reset          Class = "reset"
	BrokenPipe     Class = "broken_pipe"
	EOFBefore      Class = "eof_before" // the connection ended before the answer began
	EOFIn          Class = "eof_in"     // … inside the answer's head or a body of unknown end
	ShortRead      Class = "short_read" // … before Content-Length bytes of the body
	Malformed      Class = "malformed"
	ReadTimeout    Class = "read_timeout"
	Shed           Class = "shed"
	Status3xx      Class = "status_3xx"
	Status4xx      Class = "status_4xx"
	Status429      Class = "status_429"
	Status5xx      Class = "status_5xx"
	Status503      Class = "status_503"
	BodyMismatch   Class = "body_mismatch" // 2xx, but the answer does not say that all was stored
)

// Classes lists every class in the order in which reports show them.
var Classes = []Class{
	OK, ConnectRefused, ConnectTimeout, NoLocalPort, Reset, BrokenPipe, EOFBefore, EOFIn,
	ShortRead, Malformed, ReadTimeout, Shed, Status3xx, Status4xx, Status429, Status5xx, Status503, BodyMismatch,
}

// OfStatus returns the class of a complete answer with that status code, OK
// for 2xx. Codes outside 200-599 are Malformed.
func OfStatus(status int) Class {
	switch {
	case status >= 200 && status < 300:
		return OK
	case status >= 300 && status < 400:
		return Status3xx
	case status == 429:
		return Status429
	case status >= 400 && status < 500:
		return Status4xx
	case status == 503:
		return Status503
	case status >= 500 && status < 600:
		return Status5xx
	}
	return Malformed
}

// Answered tells whether an HTTP answer came.
func (c Class) Answered() bool {
	switch c {
	case OK, Status3xx, Status4xx, Status429, Status5xx, Status503, BodyMismatch:
		return true
	}
	return false
}

// InDoubt tells whether the server may have done a request that ended in this
// class after all of it had been handed to the kernel. A server that answers
// with an error status says that it did not; one whose answer is missing, torn
// or unreadable says nothing.
func (c Class) InDoubt() bool {
	switch c {
	case Reset, EOFBefore, EOFIn, ShortRead, Malformed, ReadTimeout, BodyMismatch:
		return true
	}
	return false
}
