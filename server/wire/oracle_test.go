package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// told is what net/http read at the start of some bytes.
type told struct {
	req  *http.Request
	body []byte
	raw  []byte // the bytes of the request
	err  error
}

// askNetHTTP reads one request. Like http.Server it tolerates an empty line
// before it, though only one.
func askNetHTTP(data []byte) told {
	data = bytes.TrimPrefix(data, []byte("\r\n"))
	in := bytes.NewReader(data)
	// The buffer holds all: net/http looks for the end of trailers in it.
	r := bufio.NewReaderSize(in, len(data)+4096)
	req, err := http.ReadRequest(r)
	if err != nil {
		return told{err: err}
	}
	body, err := io.ReadAll(req.Body)
	rest := r.Buffered() + in.Len()
	return told{req: req, body: body, raw: data[:len(data)-rest], err: err}
}

// line returns the request line without its end.
func (o told) line() string {
	line, _, _ := strings.Cut(string(o.raw), "\n")
	return strings.TrimSuffix(line, "\r")
}

// headEnd returns where the header section ends; net/http takes bare LFs.
func (o told) headEnd() int { return headersEnd.FindIndex(o.raw)[1] }

// fieldBytes returns the length of the header lines.
func (o told) fieldBytes() int {
	return headersEnd.FindIndex(o.raw)[0] + 1 - (len(o.line()) + 2)
}

// field returns the values of a header field as they stand in the raw bytes,
// since net/http removes and merges some.
func (o told) field(name string) []string {
	var values []string
	re := regexp.MustCompile(`(?i)\n` + name + `:[ \t]*([^\r\n]*?)[ \t]*\r?\n`)
	head := o.raw[:o.headEnd()]
	for {
		m := re.FindSubmatchIndex(head)
		if m == nil {
			return values
		}
		values = append(values, string(head[m[2]:m[3]]))
		head = head[m[3]:]
	}
}

func (o told) isChunked() bool { return len(o.req.TransferEncoding) > 0 }

var (
	headersEnd   = regexp.MustCompile(`\n\r?\n`)
	bareLF       = regexp.MustCompile(`(?s)(^|[^\r])\n`)
	bareCR       = regexp.MustCompile(`(?s)\r([^\n]|$)`)
	control      = regexp.MustCompile(`[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]`)
	fold         = regexp.MustCompile(`\n[ \t]`)
	badTarget    = regexp.MustCompile(`[^!-~]|#|^$`)
	badPercent   = regexp.MustCompile(`%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)`)
	pathOrHTTP   = regexp.MustCompile(`^(?i:/|https?://)`)
	authority    = regexp.MustCompile(`^([A-Za-z0-9._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?$`)
	ofTarget     = regexp.MustCompile(`^(?i:https?)://([^/?]*)`)
	foldedFrame  = regexp.MustCompile(`(?i)\n(content-length|transfer-encoding):[^\n]*\n[ \t]`)
	spacedSize   = regexp.MustCompile(`\n0*[0-9A-Fa-f]+[ \t]+\r\n`)
	spacedName   = regexp.MustCompile(`\n[^\r\n:]* [^\r\n:]*:`)
	forbiddenSum = regexp.MustCompile(`(?i)^(content-length|transfer-encoding|trailer|host|authorization|connection|expect)$`)
)

// stricter are the rules by which Session refuses what net/http takes, by the
// reason it gives; each looks at the bytes by other means than Session does. A
// reason not listed is one for which net/http must refuse as well.
var stricter = map[string]func(told, Limits) bool{
	"bare LF":           func(o told, _ Limits) bool { return bareLF.Match(o.raw) },
	"bare CR":           func(o told, _ Limits) bool { return bareCR.Match(o.raw) },
	"NUL":               func(o told, _ Limits) bool { return bytes.IndexByte(o.raw, 0) >= 0 },
	"control character": func(o told, _ Limits) bool { return control.Match(o.raw) },
	"request target is empty or holds a character that is not allowed": func(o told, _ Limits) bool {
		return badTarget.MatchString(o.req.RequestURI)
	},
	"percent sign without two hexadecimal digits in the request target": func(o told, _ Limits) bool {
		return badPercent.MatchString(o.req.RequestURI)
	},
	"request target is neither a path nor an http URL": func(o told, _ Limits) bool {
		return !pathOrHTTP.MatchString(o.req.RequestURI) || o.req.Method == "CONNECT"
	},
	"invalid host in the request target": func(o told, _ Limits) bool {
		m := ofTarget.FindStringSubmatch(o.req.RequestURI)
		return m != nil && !authority.MatchString(m[1])
	},
	"only HTTP/1.0 and HTTP/1.1 are spoken here": func(o told, _ Limits) bool {
		return !strings.HasSuffix(o.line(), " HTTP/1.0") && !strings.HasSuffix(o.line(), " HTTP/1.1")
	},
	"request line too long": func(o told, l Limits) bool { return len(o.line()) > l.RequestLine },
	"header fields too large": func(o told, l Limits) bool {
		fields := o.fieldBytes()
		if o.isChunked() {
			// Trailers share the budget; chunks are at least as long as framed.
			fields += len(o.raw) - o.headEnd() - len(o.body)
		}
		return fields > l.Headers
	},
	"folded header line":              func(o told, _ Limits) bool { return fold.Match(o.raw) },
	"space in or after a header name": func(o told, _ Limits) bool { return spacedName.Match(o.raw) },
	"missing Host":                    func(o told, _ Limits) bool { return len(o.field("host")) == 0 && o.req.ProtoMinor == 1 },
	"invalid Host":                    func(o told, _ Limits) bool { return anyInvalidHost(o.field("host")) },
	// The first line of a folded field is refused before the fold is seen.
	"invalid Content-Length":    func(o told, _ Limits) bool { return foldedFrame.Match(o.raw) },
	"invalid Transfer-Encoding": func(o told, _ Limits) bool { return foldedFrame.Match(o.raw) },
	"repeated Content-Length":   func(o told, _ Limits) bool { return len(o.field("content-length")) > 1 },
	"both Content-Length and Transfer-Encoding": func(o told, _ Limits) bool {
		return len(o.field("content-length")) > 0 && len(o.field("transfer-encoding")) > 0
	},
	"Transfer-Encoding in HTTP/1.0": func(o told, _ Limits) bool {
		return o.req.ProtoMinor == 0 && len(o.field("transfer-encoding")) > 0
	},
	"repeated Authorization": func(o told, _ Limits) bool { return len(o.req.Header["Authorization"]) > 1 },
	"expectation other than 100-continue": func(o told, _ Limits) bool {
		for _, v := range elements(o.req.Header["Expect"]) {
			if !strings.EqualFold(v, "100-continue") {
				return true
			}
		}
		return false
	},
	"body too large":     func(o told, l Limits) bool { return len(o.body) > l.Body },
	"invalid chunk size": func(o told, _ Limits) bool { return spacedSize.Match(o.raw[o.headEnd()-2:]) },
	"chunk size line too long": func(o told, _ Limits) bool {
		for line := range strings.SplitSeq(string(o.raw[o.headEnd():]), "\n") {
			if len(line) >= maxChunkLine {
				return o.isChunked()
			}
		}
		return false
	},
	"chunk extensions too long": func(o told, _ Limits) bool {
		return len(o.raw)-o.headEnd()-len(o.body) > maxChunkOverhead
	},
	"trailer field that is not allowed": func(o told, _ Limits) bool {
		names := elements(o.field("trailer"))
		for name := range o.req.Trailer {
			names = append(names, name)
		}
		for _, name := range names {
			if forbiddenSum.MatchString(name) {
				return true
			}
		}
		return false
	},
}

func anyInvalidHost(hosts []string) bool {
	for _, h := range hosts {
		if h == "" {
			continue
		}
		if !authority.MatchString(h) {
			return true
		}
		if u, err := url.Parse("http://" + h); err != nil || u.Host != h {
			return true
		}
	}
	return false
}

// elements splits list fields, without empty elements.
func elements(values []string) []string {
	var all []string
	for _, v := range values {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.Trim(e, " \t"); e != "" {
				all = append(all, e)
			}
		}
	}
	return all
}

// difference says in what a request differs from what net/http read.
func difference(got Request, o told) string {
	path, err := url.PathUnescape(got.Path)
	want := o.req.URL.Path
	if want == "" {
		want = "/"
	}
	var id string
	for _, v := range o.req.Header["X-Correlation-Id"] {
		if id == "" {
			id = v
		}
	}
	var accepts []string
	for _, v := range o.req.Header["Accept"] {
		if v != "" {
			accepts = append(accepts, v)
		}
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"method", got.Method, o.req.Method},
		{"path's escapes", err, error(nil)},
		{"path", path, want},
		{"query", got.Query, o.req.URL.RawQuery},
		{"version", got.HTTP10, o.req.ProtoMinor == 0},
		{"keep-alive", got.KeepAlive, !o.req.Close},
		{"Authorization", got.Authorization, o.req.Header.Get("Authorization")},
		{"X-Correlation-ID", got.CorrelationID, id},
		{"Accept", got.Accept, strings.Join(accepts, ", ")},
		{"body", string(got.Body), string(o.body)},
	} {
		if c.got != c.want {
			return fmt.Sprintf("%s is %q, net/http has %q", c.what, c.got, c.want)
		}
	}
	return ""
}

// compare plays a stream of pipelined requests to both and explains every
// difference, or fails.
func compare(t *testing.T, limits Limits, data []byte) {
	t.Helper()
	s := NewSession(limits)
	rest := data
	for {
		before := rest
		var state State
		var req *Request
		for {
			state, req = s.Next()
			if state == Continue {
				continue
			}
			if state != NeedMore || len(rest) == 0 {
				break
			}
			n := copy(s.ReadBuffer(), rest)
			s.Advance(n)
			rest = rest[n:]
		}
		// What was read ahead is the next request's.
		ahead := s.end - s.pos
		o := askNetHTTP(before)
		switch state {
		case Ready:
			if o.err != nil {
				t.Fatalf("taken: %+v from %q, but net/http refuses: %v", *req, before, o.err)
			}
			if d := difference(*req, o); d != "" {
				t.Fatalf("from %q: %s", before, d)
			}
			next := data[len(data)-len(rest)-ahead:]
			want := bytes.TrimPrefix(before, []byte("\r\n"))[len(o.raw):]
			if !bytes.Equal(next, want) {
				t.Fatalf("from %q: the next request starts at %q, for net/http at %q", before, next, want)
			}
			// The session goes on with what it has; start both from there.
			s = NewSession(limits)
			rest = next
		case NeedMore:
			if o.err == nil {
				t.Fatalf("more wanted after %q, which net/http takes whole", before)
			}
			return
		case Failed:
			if o.err == nil && (stricter[s.Err().Reason] == nil || !stricter[s.Err().Reason](o, limits.withDefaults())) {
				t.Fatalf("refused: %d %s: %q, which net/http takes", s.Err().Status, s.Err().Reason, before)
			}
			return
		}
	}
}

var smallLimits = Limits{RequestLine: 48, Headers: 160, Body: 40}

func TestStreamsAgainstNetHTTP(t *testing.T) {
	for _, in := range streams() {
		compare(t, Limits{}, []byte(in))
		compare(t, smallLimits, []byte(in))
	}
}

func FuzzSessionAgainstNetHTTP(f *testing.F) {
	for _, in := range streams() {
		if len(in) < 2000 {
			f.Add([]byte(in), false)
			f.Add([]byte(in), true)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, small bool) {
		limits := Limits{}
		if small {
			limits = smallLimits
		}
		compare(t, limits, data)
	})
}
