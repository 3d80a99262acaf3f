package wire

import (
	"fmt"
	"strings"
	"testing"
)

// event is what one call of Next told, in a form that outlives it.
type event struct {
	state State
	req   Request
	err   Error
}

func (e event) String() string {
	switch e.state {
	case Ready:
		return fmt.Sprintf("ready %+v body %q", e.req, e.req.Body)
	case Failed:
		return fmt.Sprintf("failed %d %s", e.err.Status, e.err.Reason)
	case Continue:
		return "continue"
	}
	return "need more"
}

func clone(r *Request) Request {
	return Request{
		Method: strings.Clone(r.Method), Path: strings.Clone(r.Path), Query: strings.Clone(r.Query),
		HTTP10: r.HTTP10, KeepAlive: r.KeepAlive,
		Authorization: strings.Clone(r.Authorization), CorrelationID: strings.Clone(r.CorrelationID),
		Accept: strings.Clone(r.Accept), Body: append([]byte(nil), r.Body...),
	}
}

// drain calls Next until NeedMore or Failed.
func drain(s *Session) []event {
	var events []event
	for {
		state, req := s.Next()
		switch state {
		case NeedMore:
			return events
		case Ready:
			events = append(events, event{state: Ready, req: clone(req)})
		case Continue:
			events = append(events, event{state: Continue})
		case Failed:
			return append(events, event{state: Failed, err: *s.Err()})
		}
	}
}

// push reads data into the session as one or more reads of at most its room.
func push(t testing.TB, s *Session, data []byte) []event {
	t.Helper()
	var events []event
	for len(data) > 0 {
		room := s.ReadBuffer()
		if len(room) == 0 {
			t.Fatalf("no room after NeedMore, %d bytes to go", len(data))
		}
		n := copy(room, data)
		s.Advance(n)
		data = data[n:]
		events = append(events, drain(s)...)
		if s.Err() != nil {
			return events
		}
	}
	return events
}

// play gives data to a new session, each read at most size(i) bytes long.
func play(t testing.TB, limits Limits, data []byte, size func() int) []event {
	t.Helper()
	s := NewSession(limits)
	var events []event
	for len(data) > 0 && s.Err() == nil {
		n := min(max(size(), 1), len(data))
		events = append(events, push(t, s, data[:n])...)
		data = data[n:]
	}
	return events
}

func whole() int { return 1 << 30 }

func requireSame(t testing.TB, what string, want, got []event) {
	t.Helper()
	if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
		t.Fatalf("%s:\nwhole: %s\n  cut: %s", what, w, g)
	}
}

// post is a request with a body, its length given.
func post(body string, fields ...string) string {
	return fmt.Sprintf("POST /metrics HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n%s",
		lines(fields), len(body), body)
}

// chunked is a request whose body is what is given, framing included.
func chunked(framed string, fields ...string) string {
	return "POST /metrics HTTP/1.1\r\nHost: a\r\n" + lines(fields) + "Transfer-Encoding: chunked\r\n\r\n" + framed
}

func get(fields ...string) string {
	return "GET / HTTP/1.1\r\nHost: a\r\n" + lines(fields) + "\r\n"
}

func lines(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return strings.Join(fields, "\r\n") + "\r\n"
}
