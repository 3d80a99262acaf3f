package wire

import (
	"fmt"
	"strings"
	"testing"
)

var refusals = []struct {
	name   string
	in     string
	status int
	reason string // a part of it
}{
	{"both lengths", post("", "Transfer-Encoding: chunked"), 400, "both"},
	{"both lengths, other order", chunked("0\r\n\r\n", "Content-Length: 5"), 400, "both"},
	{"two lengths", post("x", "Content-Length: 2"), 400, "repeated Content-Length"},
	{"two equal lengths", post("x", "Content-Length: 1"), 400, "repeated Content-Length"},
	{"list of equal lengths", get("Content-Length: 0, 0"), 400, "invalid Content-Length"},
	{"empty length", get("Content-Length:"), 400, "invalid Content-Length"},
	{"blank length", get("Content-Length: \t "), 400, "invalid Content-Length"},
	{"plus in length", get("Content-Length: +1"), 400, "invalid Content-Length"},
	{"minus in length", get("Content-Length: -1"), 400, "invalid Content-Length"},
	{"minus zero", get("Content-Length: -0"), 400, "invalid Content-Length"},
	{"hexadecimal length", get("Content-Length: 0x1"), 400, "invalid Content-Length"},
	{"length with a space", get("Content-Length: 1 0"), 400, "invalid Content-Length"},
	{"length of 2^63", get("Content-Length: 9223372036854775808"), 400, "invalid Content-Length"},
	{"length of 2^64+1", get("Content-Length: 18446744073709551617"), 400, "invalid Content-Length"},
	{"length of 2^63-1", get("Content-Length: 9223372036854775807"), 413, "too large"},
	{"length one too large", get("Content-Length: 1048577"), 413, "too large"},

	{"bare LF in the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare LF"},
	{"bare LF after a header", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare LF"},
	{"bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare LF"},
	{"bare LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare LF"},
	{"bare LF after a chunk size", chunked("1\nx\r\n0\r\n\r\n"), 400, "bare LF"},
	{"bare LF in trailers", chunked("0\r\na: b\n\r\n"), 400, "bare LF"},
	{"bare CR first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare CR"},
	{"bare CR in a value", get("a: b\rc"), 400, "bare CR"},
	{"CR CR LF", get("a: b\r"), 400, "bare CR"},
	{"bare CR in a name", get("a\rb: c"), 400, "no token"},
	{"bare CR in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"},
	{"bare CR before the version's end", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400, "version"},
	{"bare CR in a chunk extension", chunked("1;a\rb\r\nx\r\n0\r\n\r\n"), 400, "bare CR"},
	{"bare CR in trailers", chunked("0\r\na: b\rc\r\n\r\n"), 400, "bare CR"},
	{"two empty lines first", "\r\n\r\n" + get(), 400, "more than one empty line"},

	{"NUL in a value", get("a: b\x00"), 400, "NUL"},
	{"NUL in a name", get("a\x00: b"), 400, "no token"},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"},
	{"NUL first", "\x00GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"},
	{"escape in a value", get("a: \x1b[1m"), 400, "control character"},
	{"DEL in a value", get("a: \x7f"), 400, "control character"},
	{"NUL in a chunk extension", chunked("1;\x00\r\nx\r\n0\r\n\r\n"), 400, "NUL"},

	{"obs-fold", get("a: b", " c"), 400, "folded"},
	{"obs-fold with a tab", get("a: b", "\tc: d"), 400, "folded"},
	{"fold of the request line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "folded"},
	{"value folded whole", get("Transfer-Encoding:", " chunked"), 400, "invalid Transfer-Encoding"},
	{"fold in trailers", chunked("0\r\na: b\r\n c\r\n\r\n"), 400, "folded"},
	{"space before the colon", get("a : b"), 400, "space"},
	{"space before the colon of a length", get("Content-Length : 0"), 400, "space"},
	{"tab before the colon", get("a\t: b"), 400, "space"},
	{"space in a name", get("a b: c"), 400, "space"},
	{"name not a token", get("a(b): c"), 400, "no token"},
	{"name not ASCII", get("h\xc3\xb6st: c"), 400, "no token"},
	{"empty name", get(": b"), 400, "no token"},
	{"no colon", get("abc"), 400, "no token"},

	{"missing Host", "GET / HTTP/1.1\r\n\r\n", 400, "missing Host"},
	{"missing Host, absolute-form", "GET http://a/ HTTP/1.1\r\n\r\n", 400, "missing Host"},
	{"Host only in trailers", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: a\r\n\r\n", 400, "missing Host"},
	{"two Hosts", get("Host: b"), 400, "repeated Host"},
	{"two equal Hosts", get("host: a"), 400, "repeated Host"},
	{"two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "repeated Host"},
	{"list of Hosts", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "invalid Host"},
	{"path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "invalid Host"},
	{"user in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "invalid Host"},
	{"port no number", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "invalid Host"},
	{"two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400, "invalid Host"},
	{"bad IPv6", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "invalid Host"},
	{"IPv6 with a zone", "GET / HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n", 400, "invalid Host"},
	{"IPv4 in brackets", "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n", 400, "invalid Host"},
	{"Host not ASCII", "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", 400, "invalid Host"},
	{"bad Host in 1.0", "GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", 400, "invalid Host"},

	{"Transfer-Encoding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "HTTP/1.0"},
	{"gzip, chunked", get("Transfer-Encoding: gzip, chunked"), 501, "other than chunked"},
	{"gzip", get("Transfer-Encoding: gzip"), 400, "invalid Transfer-Encoding"},
	{"identity", get("Transfer-Encoding: identity"), 400, "invalid Transfer-Encoding"},
	{"chunked, gzip", get("Transfer-Encoding: chunked, gzip"), 400, "invalid Transfer-Encoding"},
	{"chunked twice in a line", get("Transfer-Encoding: chunked, chunked"), 400, "invalid Transfer-Encoding"},
	{"chunked with a comma", get("Transfer-Encoding: chunked,"), 400, "invalid Transfer-Encoding"},
	{"chunked with a parameter", get("Transfer-Encoding: chunked;q=1"), 400, "invalid Transfer-Encoding"},
	{"quoted chunked", get(`Transfer-Encoding: "chunked"`), 400, "invalid Transfer-Encoding"},
	{"vertical tab and chunked", get("Transfer-Encoding: \vchunked"), 400, "control character"},
	{"empty Transfer-Encoding", get("Transfer-Encoding:"), 400, "invalid Transfer-Encoding"},
	{"chunked on two lines", get("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400, "repeated Transfer-Encoding"},
	{"chunked, then identity", get("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), 400, "repeated Transfer-Encoding"},

	{"plus in a chunk size", chunked("+1\r\nx\r\n0\r\n\r\n"), 400, "invalid chunk size"},
	{"minus in a chunk size", chunked("-1\r\nx\r\n0\r\n\r\n"), 400, "invalid chunk size"},
	{"0x in a chunk size", chunked("0x1\r\nx\r\n0\r\n\r\n"), 400, "invalid chunk size"},
	{"space before a chunk size", chunked(" 1\r\nx\r\n0\r\n\r\n"), 400, "invalid chunk size"},
	{"space after a chunk size", chunked("1 \r\nx\r\n0\r\n\r\n"), 400, "invalid chunk size"},
	{"space before a chunk extension", chunked("1 ;a\r\nx\r\n0\r\n\r\n"), 400, "invalid chunk size"},
	{"empty chunk size", chunked("\r\nx\r\n0\r\n\r\n"), 400, "invalid chunk size"},
	{"chunk size of an extension alone", chunked(";a\r\nx\r\n0\r\n\r\n"), 400, "invalid chunk size"},
	{"chunk size of 2^63", chunked("8000000000000000\r\n"), 400, "invalid chunk size"},
	{"chunk size of 2^64+1", chunked("10000000000000001\r\n"), 400, "invalid chunk size"},
	{"chunk size of 17 digits", chunked("00000000000000001\r\nx\r\n0\r\n\r\n"), 400, "invalid chunk size"},
	{"chunk size of 2^63-1", chunked("7fffffffffffffff\r\n"), 413, "too large"},
	{"chunk too large", chunked("100001\r\n"), 413, "too large"},
	{"chunk longer than said", chunked("1\r\nxy\r\n0\r\n\r\n"), 400, "not followed by CRLF"},
	{"chunk without its end", chunked("1\r\nx0\r\n\r\n"), 400, "not followed by CRLF"},
	{"LF after a chunk", chunked("1\r\nx\n0\r\n\r\n"), 400, "not followed by CRLF"},
	{"CR without LF after a chunk", chunked("1\r\nx\r0\r\n\r\n"), 400, "not followed by CRLF"},
	{"trailer no field", chunked("0\r\nabc\r\n\r\n"), 400, "no token"},
	{"length in trailers", chunked("0\r\nContent-Length: 1\r\n\r\n"), 400, "trailer"},
	{"encoding in trailers", chunked("0\r\ntransfer-encoding: chunked\r\n\r\n"), 400, "trailer"},
	{"credentials in trailers", chunked("0\r\nAuthorization: x\r\n\r\n"), 400, "trailer"},
	{"announced length in trailers", chunked("0\r\n\r\n", "Trailer: a, content-length"), 400, "trailer"},

	{"HTTP/2.0", "GET / HTTP/2.0\r\n\r\n", 505, "only HTTP"},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "only HTTP"},
	{"HTTP/3.0", "GET / HTTP/3.0\r\n\r\n", 505, "only HTTP"},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "only HTTP"},
	{"HTTP/0.9", "GET / HTTP/0.9\r\n\r\n", 505, "only HTTP"},
	{"HTTP/2", "GET / HTTP/2\r\n\r\n", 400, "version"},
	{"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "version"},
	{"http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", 400, "version"},
	{"space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "version"},
	{"no version", "GET /\r\n\r\n", 400, "method, target and version"},
	{"method alone", "GET\r\n\r\n", 400, "method"},

	{"method no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"},
	{"method starts with a space", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"},
	{"tab for space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"},
	{"TLS handshake", "\x16\x03\x01\x02\x00\x01", 400, "method"},
	{"two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"},
	{"empty target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"},
	{"tab in the target", "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"},
	{"DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"},
	{"non-ASCII target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"},
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"},
	{"bad percent", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "percent"},
	{"short percent", "GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "percent"},
	{"relative target", "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "neither"},
	{"asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "neither"},
	{"authority-form", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "neither"},
	{"other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "neither"},
	{"absolute-form without host", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid host"},
	{"absolute-form with a user", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid host"},

	{"two credentials", get("Authorization: a", "Authorization: a"), 400, "repeated Authorization"},
	{"unknown expectation", post("x", "Expect: 200-ok"), 417, "expectation"},
	{"two expectations", post("x", "Expect: 100-continue, x"), 417, "expectation"},
	{"expectation with a value", post("x", "Expect: 100-continue=1"), 417, "expectation"},
	{"unknown expectation in 1.0", "GET / HTTP/1.0\r\nExpect: x\r\n\r\n", 417, "expectation"},
}

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			// What follows a refused request must never be read as another.
			events := play(t, Limits{}, []byte(c.in+get()), whole)
			if len(events) != 1 || events[0].state != Failed {
				t.Fatalf("%q: %v, want one failure", c.in, events)
			}
			err := events[0].err
			if err.Status != c.status || !strings.Contains(err.Reason, c.reason) {
				t.Fatalf("%q: %d %q, want %d with %q", c.in, err.Status, err.Reason, c.status, c.reason)
			}
		})
	}
}

func TestFailedIsFinal(t *testing.T) {
	s := NewSession(Limits{})
	push(t, s, []byte("GET / HTTP/9.9\r\n"))
	push(t, s, []byte(get()))
	if state, req := s.Next(); state != Failed || req != nil || s.Err() == nil || s.Err().Status != 505 || s.Idle() {
		t.Fatalf("after a failure: %v %v %v idle %v", state, req, s.Err(), s.Idle())
	}
	s.Reset()
	if got := push(t, s, []byte(get())); len(got) != 1 || got[0].state != Ready || s.Err() != nil {
		t.Fatalf("after Reset: %v, %v", got, s.Err())
	}
}

// base is what get() is read as; the cases below say what differs.
func base(change func(*Request)) Request {
	r := Request{Method: "GET", Path: "/", KeepAlive: true}
	change(&r)
	return r
}

var acceptances = []struct {
	name string
	in   string
	want Request
}{
	{"plain", get(), base(func(r *Request) {})},
	{"post", post("body"), base(func(r *Request) { r.Method, r.Path, r.Body = "POST", "/metrics", []byte("body") })},
	{"get with a body", get("Content-Length: 2") + "ab", base(func(r *Request) { r.Body = []byte("ab") })},
	{"length zero", get("Content-Length: 0"), base(func(r *Request) {})},
	{"leading zeros", get("Content-Length: 002") + "ab", base(func(r *Request) { r.Body = []byte("ab") })},
	{"unknown method", "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Method, r.Path = "BREW", "/pot" })},
	{"token method", "a!b / HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Method = "a!b" })},
	{"query", "GET /a/b?c=d?e HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Path, r.Query = "/a/b", "c=d?e" })},
	{"empty query", "GET /a? HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Path = "/a" })},
	{"two slashes", "GET //a/b HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Path = "//a/b" })},
	{"percent", "GET /%2F%00?%fF HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Path, r.Query = "/%2F%00", "%fF" })},
	{"options *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Method, r.Path = "OPTIONS", "*" })},
	{"absolute-form", "GET http://b:80/metrics?x HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Path, r.Query = "/metrics", "x" })},
	{"absolute-form, https", "GET HTTPS://b/m HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Path = "/m" })},
	{"absolute-form, no path", "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) {})},
	{"absolute-form, query alone", "GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n", base(func(r *Request) { r.Query = "x" })},
	{"absolute-form, IPv6", "GET http://[::1]:8080/m HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", base(func(r *Request) { r.Path = "/m" })},
	{"empty line first", "\r\n" + get(), base(func(r *Request) {})},
	{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", base(func(r *Request) {})},
	{"empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", base(func(r *Request) {})},
	{"close", get("Connection: Close"), base(func(r *Request) { r.KeepAlive = false })},
	{"close in a list", get("Connection: x, close"), base(func(r *Request) { r.KeepAlive = false })},
	{"close on a second line", get("Connection: keep-alive", "Connection: close"), base(func(r *Request) { r.KeepAlive = false })},
	{"not close", get("Connection: closed"), base(func(r *Request) {})},
	{"1.0", "GET / HTTP/1.0\r\n\r\n", base(func(r *Request) { r.HTTP10, r.KeepAlive = true, false })},
	{"1.0 kept", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", base(func(r *Request) { r.HTTP10 = true })},
	{"1.0 kept and closed", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", base(func(r *Request) { r.HTTP10, r.KeepAlive = true, false })},
	{"1.0 with a body", "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx", base(func(r *Request) {
		r.Method, r.HTTP10, r.KeepAlive, r.Body = "POST", true, false, []byte("x")
	})},
	{"fields", get("aUTHORIZATION:\t Bearer x \t", "x-correlation-id:id", "Accept: */*"), base(func(r *Request) {
		r.Authorization, r.CorrelationID, r.Accept = "Bearer x", "id", "*/*"
	})},
	{"two ids", get("X-Correlation-ID: 1", "X-Correlation-ID: 2"), base(func(r *Request) { r.CorrelationID = "1" })},
	{"three Accepts", get("Accept: a", "Accept:", "Accept: b", "Accept: c"), base(func(r *Request) { r.Accept = "a, b, c" })},
	{"tab and obs-text in a value", get("Authorization: a\tb\xff"), base(func(r *Request) { r.Authorization = "a\tb\xff" })},
	{"no space after the colon, empty value", get("a:", "b:c"), base(func(r *Request) {})},
	{"chunks", chunked("3\r\nabc\r\n1;x=\"y\"\r\nd\r\n00\r\n\r\n"), base(func(r *Request) { r.Method, r.Path, r.Body = "POST", "/metrics", []byte("abcd") })},
	{"no chunks", chunked("0\r\n\r\n"), base(func(r *Request) { r.Method, r.Path = "POST", "/metrics" })},
	{"chunk sizes in both cases", chunked("A\r\n0123456789\r\na; b\r\n0123456789\r\n0\r\n\r\n"), base(func(r *Request) {
		r.Method, r.Path, r.Body = "POST", "/metrics", []byte("01234567890123456789")
	})},
	{"chunk data like framing", chunked("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), base(func(r *Request) {
		r.Method, r.Path, r.Body = "POST", "/metrics", []byte("\r\n0\r\n\r\n")
	})},
	{"trailers", chunked("1\r\nx\r\n0\r\nSum: 1\r\nX-Correlation-ID: late\r\n\r\n", "Trailer: Sum"), base(func(r *Request) {
		r.Method, r.Path, r.Body = "POST", "/metrics", []byte("x")
	})},
	{"Chunked", strings.Replace(chunked("1\r\nx\r\n0\r\n\r\n"), "chunked", "Chunked", 1), base(func(r *Request) {
		r.Method, r.Path, r.Body = "POST", "/metrics", []byte("x")
	})},
	{"expectation without a body", get("Expect: 100-continue"), base(func(r *Request) {})},
	{"empty expectation", post("x", "Expect:"), base(func(r *Request) { r.Method, r.Path, r.Body = "POST", "/metrics", []byte("x") })},
}

func TestAcceptances(t *testing.T) {
	for _, c := range acceptances {
		t.Run(c.name, func(t *testing.T) {
			// A second request shows that the first ended where it should.
			events := play(t, Limits{}, []byte(c.in+get("X-Correlation-ID: next")), whole)
			want := []event{{state: Ready, req: c.want}, {state: Ready, req: base(func(r *Request) { r.CorrelationID = "next" })}}
			if g, w := fmt.Sprint(events), fmt.Sprint(want); g != w {
				t.Fatalf("%q:\n got %s\nwant %s", c.in, g, w)
			}
		})
	}
}

func TestEmptyLineBeforeEachRequest(t *testing.T) {
	if events := play(t, Limits{}, []byte("\r\n"+get()+"\r\n"+get()), whole); len(events) != 2 || events[1].state != Ready {
		t.Errorf("%v, want two requests", events)
	}
}

// TestBodyEndsWithItsCapacity appends to a body, which must leave the request
// behind it alone.
func TestBodyEndsWithItsCapacity(t *testing.T) {
	s := NewSession(Limits{})
	s.Advance(copy(s.ReadBuffer(), post("body")+get()))
	_, req := s.Next()
	_ = append(req.Body, "DELETE"...)
	if state, next := s.Next(); state != Ready || next.Method != "GET" {
		t.Errorf("after an append to the body before it: %v %+v, %v", state, next, s.Err())
	}
}

func TestContinueOnceForARequest(t *testing.T) {
	for _, in := range []string{
		post("body", "Expect: 100-Continue"),
		post("body", "Expect: 100-continue", "Expect: 100-continue"),
		chunked("1\r\nx\r\n0\r\n\r\n", "Expect: 100-continue"),
	} {
		for _, size := range []int{1, 1 << 20} {
			events := play(t, Limits{}, []byte(in+in), func() int { return size })
			var states []State
			for _, e := range events {
				states = append(states, e.state)
			}
			if got, want := fmt.Sprint(states), fmt.Sprint([]State{Continue, Ready, Continue, Ready}); got != want {
				t.Errorf("%q in reads of %d: states %s, want %s", in, size, got, want)
			}
		}
	}
	events := play(t, Limits{Body: 3}, []byte(post("body", "Expect: 100-continue")), whole)
	if len(events) != 1 || events[0].err.Status != 413 {
		t.Errorf("a body too large, announced: %v, want 413 alone", events)
	}
}

func TestIdle(t *testing.T) {
	s := NewSession(Limits{})
	in := post("body")
	if !s.Idle() {
		t.Error("new session is not idle")
	}
	for i := range in {
		s.ReadBuffer()[0] = in[i]
		s.Advance(1)
		if s.Idle() {
			t.Fatalf("idle with %q unparsed", in[:i+1])
		}
		state, _ := s.Next()
		if last := i == len(in)-1; (state == Ready) != last || s.Idle() != last {
			t.Fatalf("after %q: state %v, idle %v", in[:i+1], state, s.Idle())
		}
	}
	copy(s.ReadBuffer(), "G")
	s.Advance(1)
	if s.Idle() {
		t.Error("idle with a byte of the next request behind the one held")
	}
	s.Reset()
	push(t, s, []byte("\r\n"))
	if !s.Idle() {
		t.Error("not idle after an empty line")
	}
	push(t, s, []byte("\r"))
	if s.Idle() {
		t.Error("idle after a lone CR")
	}
}
