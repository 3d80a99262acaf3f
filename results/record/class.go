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
	Status4xx      Class = "status_4xx"
	Status429      Class = "status_429"
	Status5xx      Class = "status_5xx"
	Status503      Class = "status_503"
	BodyMismatch   Class = "body_mismatch" // 2xx, but the answer does not say that all was stored
)

// Classes lists every class in the order in which reports show them.
var Classes = []Class{
	OK, ConnectRefused, ConnectTimeout, NoLocalPort, Reset, BrokenPipe, EOFBefore, EOFIn,
	ShortRead, Malformed, ReadTimeout, Shed, Status4xx, Status429, Status5xx, Status503, BodyMismatch,
}
