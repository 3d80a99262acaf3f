package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAppendResponse(t *testing.T) {
	body := []byte(`{"success":true}`)
	date := time.Date(2024, 2, 9, 8, 7, 6, 0, time.UTC).Format(DateFormat)
	for _, c := range []struct {
		name string
		in   Response
		want string
	}{
		{"plain", Response{Status: 200, Body: body},
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" + string(body)},
		{"all fields", Response{Status: 503, Body: body, ContentType: "text/plain", CorrelationID: "id 1", Allow: "POST, OPTIONS", RetryAfter: 7, Date: date, Close: true},
			"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 16\r\nDate: Fri, 09 Feb 2024 08:07:06 GMT\r\n" +
				"X-Correlation-ID: id 1\r\nAllow: POST, OPTIONS\r\nRetry-After: 7\r\nConnection: close\r\n\r\n" + string(body)},
		{"1.0 kept", Response{Status: 200, HTTP10: true},
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
		{"1.0 closed", Response{Status: 200, HTTP10: true, Close: true},
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{"head", Response{Status: 200, Head: true, Body: body},
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"},
		{"no content", Response{Status: 204, Body: body, Allow: "GET"}, "HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n"},
		{"not modified", Response{Status: 304, Body: body}, "HTTP/1.1 304 Not Modified\r\n\r\n"},
		{"status without a phrase", Response{Status: 299}, "HTTP/1.1 299 \r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"},
		{"no status", Response{}, "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"},
		{"values that would split the answer", Response{Status: 200, CorrelationID: "a\r\nSet-Cookie: b", Allow: "\x00", ContentType: "a\n"},
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(AppendResponse([]byte("before"), &c.in)); got != "before"+c.want {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestResponsesAreReadByNetHTTP writes pipelined answers, as each status that
// this package or the server gives, and reads them with net/http's client side.
func TestResponsesAreReadByNetHTTP(t *testing.T) {
	statuses := []int{200, 202, 204, 304, 400, 404, 405, 408, 413, 414, 415, 417, 429, 431, 500, 501, 503, 505}
	for _, head := range []bool{false, true} {
		request := &http.Request{Method: "GET"}
		if head {
			request.Method = "HEAD"
		}
		var wire []byte
		for _, status := range statuses {
			wire = AppendContinue(wire)
			wire = AppendResponse(wire, &Response{Status: status, Body: []byte("body"), CorrelationID: "id", Head: head})
		}
		r := bufio.NewReader(bytes.NewReader(wire))
		for _, status := range statuses {
			interim, err := http.ReadResponse(r, request)
			if err != nil || interim.StatusCode != 100 {
				t.Fatalf("before %d: %v, %v; want 100 Continue", status, interim, err)
			}
			got, err := http.ReadResponse(r, request)
			if err != nil {
				t.Fatalf("%d: %v", status, err)
			}
			body, err := io.ReadAll(got.Body)
			want := "body"
			if head || status == 204 || status == 304 {
				want = ""
			}
			phrase := http.StatusText(status)
			switch status {
			case 413, 414: // net/http keeps the names of RFC 7231
				phrase = got.Status[4:]
			}
			if err != nil || got.StatusCode != status || got.Status[4:] != phrase || string(body) != want || got.Header.Get("X-Correlation-ID") != "id" {
				t.Errorf("%d: status %q, body %q, id %q, error %v", status, got.Status, body, got.Header.Get("X-Correlation-ID"), err)
			}
		}
		if n := r.Buffered(); n != 0 {
			t.Errorf("%d bytes left over", n)
		}
	}
}

func TestAppendResponseDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 512)
	r := Response{Status: 200, Body: []byte(`{"success":true,"metrics_processed":3}`), CorrelationID: "0123456789"}
	if n := testing.AllocsPerRun(100, func() { dst = AppendResponse(dst[:0], &r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCorrelationIDOfUnfinishedRequest: it is known from its header line on,
// wherever the buffer moves, until the request ends.
func TestCorrelationIDOfUnfinishedRequest(t *testing.T) {
	s := NewSession(Limits{})
	head := "POST / HTTP/1.1\r\nHost: a\r\nX-Correlation-ID: abc\r\nTransfer-Encoding: chunked\r\n\r\n"
	text := head + strings.Repeat("fff\r\n"+strings.Repeat("x", 0xfff)+"\r\n", 20) + "wrong"
	known := strings.Index(text, "abc\r\n") + len("abc\r\n")
	for sent := 0; sent < len(text); {
		n := copy(s.ReadBuffer(), text[sent:min(len(text), sent+61)])
		s.Advance(n)
		sent += n
		state, _ := s.Next()
		if got := s.CorrelationID(); sent >= known && got != "abc" {
			t.Fatalf("after %d bytes, state %d: %q, want abc", sent, state, got)
		}
	}
	if s.Err() != nil {
		t.Fatalf("failed early: %v", s.Err())
	}
	s.Advance(copy(s.ReadBuffer(), "\r\n"))
	if state, _ := s.Next(); state != Failed || s.CorrelationID() != "abc" {
		t.Errorf("state %d, id %q, want Failed and abc", state, s.CorrelationID())
	}
	s.Reset()
	if s.CorrelationID() != "" {
		t.Errorf("an id of %q outlives its connection", s.CorrelationID())
	}
}
