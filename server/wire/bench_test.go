package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// commonPost is the request of the common load: 819 bytes, three metrics.
func commonPost() []byte {
	head := []string{
		"Authorization: load_client_1", "Content-Type: application/json",
		"X-Correlation-ID: 0f8fad5b-d9cb-469f-a165-70867728950e",
	}
	for n := 819; ; n-- {
		if in := post(strings.Repeat("m", n), head...); len(in) <= 819 {
			return []byte(in)
		}
	}
}

// one reads a whole request into the session and takes it out.
func one(tb testing.TB, s *Session, in []byte) *Request {
	s.Advance(copy(s.ReadBuffer(), in))
	state, req := s.Next()
	if state != Ready {
		tb.Fatalf("state %v, want Ready", state)
	}
	return req
}

func TestCommonPostDoesNotAllocate(t *testing.T) {
	s, in := NewSession(Limits{}), commonPost()
	one(t, s, in)
	s.Next()
	if n := testing.AllocsPerRun(100, func() {
		one(t, s, in)
		s.Next()
	}); n != 0 {
		t.Errorf("%v allocations for a request on a warm session", n)
	}
}

func BenchmarkCommonPost(b *testing.B) {
	s, in := NewSession(Limits{}), commonPost()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		one(b, s, in)
		s.Next()
	}
}

func BenchmarkCommonPostChunked(b *testing.B) {
	s := NewSession(Limits{})
	in := []byte(chunked("200\r\n"+strings.Repeat("m", 512)+"\r\n80\r\n"+strings.Repeat("m", 128)+"\r\n0\r\n\r\n", "Authorization: load_client_1"))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		one(b, s, in)
		s.Next()
	}
}

// BenchmarkCommonPostNetHTTP is the yardstick beside BenchmarkCommonPost.
func BenchmarkCommonPostNetHTTP(b *testing.B) {
	in := commonPost()
	data := bytes.NewReader(in)
	r := bufio.NewReader(data)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		data.Reset(in)
		r.Reset(data)
		req, err := http.ReadRequest(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	dst := make([]byte, 0, 512)
	r := Response{Status: 200, Body: []byte(`{"success":true,"metrics_processed":3}`), CorrelationID: "0f8fad5b-d9cb-469f-a165-70867728950e"}
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendResponse(dst[:0], &r)
	}
}
