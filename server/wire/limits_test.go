package wire

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLimitsAreExact(t *testing.T) {
	limits := Limits{RequestLine: 64, Headers: 256, Body: 100}
	target := func(n int) string { // a request line of n bytes
		return "GET /" + strings.Repeat("a", n-len("GET / HTTP/1.1")) + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	headers := func(n int) string { // header lines of n bytes
		return get("a: " + strings.Repeat("b", n-len("Host: a\r\na: \r\n")))
	}
	trailers := func(n int) string { // trailer lines that make n bytes with the headers
		head := len("Host: a\r\nTransfer-Encoding: chunked\r\n")
		return chunked("0\r\na: " + strings.Repeat("b", n-head-len("a: \r\n")) + "\r\n\r\n")
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name   string
		in     string
		status int // 0: accepted
	}{
		{"request line", target(64), 0},
		{"request line + 1", target(65), 414},
		{"request line without end", "GET /" + x(64), 414},
		{"headers", headers(256), 0},
		{"headers + 1", headers(257), 431},
		{"headers without end", "GET / HTTP/1.1\r\n" + x(256), 431},
		{"headers in many lines", get(strings.Split(strings.Repeat("a:b\n", 50)+"a:", "\n")...), 431},
		{"trailers", trailers(256), 0},
		{"trailers + 1", trailers(257), 431},
		{"body", post(x(100)), 0},
		{"body + 1", post(x(101)), 413},
		{"chunked body", chunked("32\r\n" + x(50) + "\r\n32\r\n" + x(50) + "\r\n0\r\n\r\n"), 0},
		{"chunked body + 1", chunked("32\r\n" + x(50) + "\r\n33\r\n"), 413},
		{"chunk line", chunked("1;" + x(maxChunkLine-4) + "\r\nx\r\n0\r\n\r\n"), 0},
		{"chunk line + 1", chunked("1;" + x(maxChunkLine-3) + "\r\nx\r\n0\r\n\r\n"), 400},
		{"chunk extensions", chunked(strings.Repeat("1;"+x(1023-4)+"\r\nx\r\n", 4) + "0;" + x(15) + "\r\n\r\n"), 0},
		{"chunk extensions + 1", chunked(strings.Repeat("1;"+x(1023-4)+"\r\nx\r\n", 4) + "0;" + x(16) + "\r\n\r\n"), 400},
		{"leading zeros of chunk sizes", chunked(strings.Repeat("0000000000000001\r\nx\r\n", 100) + "0\r\n\r\n"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1, 7, 1 << 20} {
				events := play(t, limits, []byte(c.in), func() int { return size })
				if len(events) != 1 {
					t.Fatalf("reads of %d: %v, want one outcome", size, events)
				}
				if got := events[0].err.Status; got != c.status {
					t.Fatalf("reads of %d: %v, want status %d", size, events[0], c.status)
				}
			}
		})
	}
}

func TestDefaultLimits(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		in     string
		status int
	}{
		{"GET /" + x(8192-14) + " HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"GET /" + x(8193-14) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{get("a: " + x(32768-14)), 0},
		{get("a: " + x(32769-14)), 431},
		{post(x(1 << 20)), 0},
		{post(x(1<<20 + 1)), 413},
	} {
		events := play(t, Limits{}, []byte(c.in), whole)
		if len(events) != 1 || events[0].err.Status != c.status {
			t.Errorf("%.40q… of %d bytes: %.100s, want status %d", c.in, len(c.in), fmt.Sprint(events), c.status)
		}
	}
}

// TestEndlessSendersAreBounded feeds streams that never end a request and looks
// at the memory the session takes.
func TestEndlessSendersAreBounded(t *testing.T) {
	limits := Limits{RequestLine: 1 << 10, Headers: 4 << 10, Body: 64 << 10}
	chunk := "8000;" + strings.Repeat("e", 500) + "\r\n" + strings.Repeat("d", 0x8000) + "\r\n"
	bound := NewSession(limits).maxBuffer
	if sum := 1<<10 + 4<<10 + 64<<10 + 4<<10 + minFree + 1<<10; bound > sum {
		t.Fatalf("buffer bound %d, want at most %d", bound, sum)
	}
	for _, c := range []struct{ name, head, endless string }{
		{"request line", "GET /", "a"},
		{"empty lines", "", "\r\n"},
		{"one header", "GET / HTTP/1.1\r\nHost: a\r\na: ", "b"},
		{"headers", "GET / HTTP/1.1\r\nHost: a\r\n", "a: b\r\n"},
		{"accepts", "GET / HTTP/1.1\r\nHost: a\r\n", "Accept: b\r\n"},
		{"chunk size line", chunked(""), "0"},
		{"chunk extension", chunked("1;"), "e"},
		{"chunk extensions", chunked(""), "1;eeeeeeee\r\nx\r\n"},
		{"chunks", chunked(""), "1\r\nx\r\n"},
		{"large chunks", chunked(""), chunk},
		{"one trailer", chunked("8000\r\n" + strings.Repeat("d", 0x8000) + "\r\n0\r\na: "), "b"},
		{"trailers", chunked("0\r\n"), "a: b\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewSession(limits)
			push(t, s, []byte(c.head))
			piece := []byte(strings.Repeat(c.endless, 1+2000/len(c.endless)))
			for sent := 0; s.Err() == nil; sent += len(piece) {
				push(t, s, piece)
				if len(s.buf) > bound || cap(s.accept) > bound {
					t.Fatalf("buffer of %d and %d bytes, bound %d", len(s.buf), cap(s.accept), bound)
				}
				if sent > 16*bound {
					t.Fatalf("%d bytes of one request taken in without an end", sent)
				}
			}
		})
	}
}

// TestUnreadRequestsAreBounded reads on without taking requests out.
func TestUnreadRequestsAreBounded(t *testing.T) {
	s := NewSession(Limits{Body: 64 << 10})
	in := []byte(get())
	push(t, s, in[:len(in)-1])
	copy(s.ReadBuffer(), "\n")
	s.Advance(1)
	_, held := s.Next()
	want := clone(held)
	total := 0
	for {
		room := s.ReadBuffer()
		if len(room) == 0 {
			break
		}
		n := 0
		for n < len(room) {
			n += copy(room[n:], in[(total+n)%len(in):])
		}
		s.Advance(n)
		if total += n; total > 2*s.maxBuffer {
			t.Fatalf("%d bytes buffered, bound %d", total, s.maxBuffer)
		}
	}
	if got := clone(held); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the request held became %+v, want %+v", got, want)
	}
	if got := len(drain(s)); got != total/len(in) {
		t.Errorf("%d requests out of %d bytes, want %d", got, total, total/len(in))
	}
}

// TestBufferShrinks sends one large request and then small ones.
func TestBufferShrinks(t *testing.T) {
	s := NewSession(Limits{})
	push(t, s, []byte(post(strings.Repeat("x", 500_000))))
	grown := len(s.buf)
	for range shrinkAfter + 1 {
		push(t, s, []byte(get()))
	}
	if s.ReadBuffer(); grown < 500_000 || len(s.buf) != initialBuffer {
		t.Errorf("buffer %d bytes after a large request, %d after small ones; want it back at %d", grown, len(s.buf), initialBuffer)
	}
	push(t, s, []byte(post(strings.Repeat("x", 500_000))))
	s.Reset()
	if len(s.buf) != 0 {
		t.Errorf("Reset keeps %d bytes", len(s.buf))
	}
}

// TestWorkIsLinear gives streams byte by byte, in the shapes where a parser that
// starts over, or moves its buffer, with each read does quadratic work: eight
// times the bytes then take 64 times as long and more, not about 8.
func TestWorkIsLinear(t *testing.T) {
	const small, large, most = 32 << 10, 256 << 10, 25
	shapes := map[string]func(n int) string{
		"request line": func(n int) string { return "GET /" + strings.Repeat("x", n-100) },
		"header":       func(n int) string { return get("a: " + strings.Repeat("x", n-100)) },
		"headers":      func(n int) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a: b\r\n", n/6-100) },
		"accepts":      func(n int) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("Accept: b\r\n", n/11-100) },
		"body":         func(n int) string { return post(strings.Repeat("x", n-100)) },
		"chunk":        func(n int) string { return chunked(fmt.Sprintf("%x\r\n", n) + strings.Repeat("x", n)) },
		"chunks":       func(n int) string { return chunked(strings.Repeat("1\r\nx\r\n", n/6)) },
		"trailer":      func(n int) string { return chunked("0\r\na: " + strings.Repeat("x", n-100)) },
		"pipelined":    func(n int) string { return strings.Repeat(get(), n/len(get())) },
	}
	for name, shape := range shapes {
		base := playTime(t, shape(small), 0)
		if took := playTime(t, shape(large), most*base); took > most*base {
			t.Errorf("%s: %v of processor time for %d bytes, %v for %d", name, base, small, took, large)
		}
	}
}

// playTime returns the least processor time of up to five plays, or the first
// that is not above enough. Processor time, since this machine may be busy with
// other things; caches and clock rates still vary with them.
func playTime(t *testing.T, in string, enough time.Duration) time.Duration {
	limits := Limits{RequestLine: len(in), Headers: len(in), Body: len(in)}
	best := time.Duration(1<<63 - 1)
	for range 5 {
		began := processTime(t)
		play(t, limits, []byte(in), func() int { return 1 })
		if best = min(best, processTime(t)-began); best <= enough {
			break
		}
	}
	return best
}

func processTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatalf("read processor time: %v", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
