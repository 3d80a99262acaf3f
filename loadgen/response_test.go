package loadgen

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// parse feeds b to a parser, split at cut, then the end of the connection.
func parse(b []byte, cut int) (r *response, done, malformed bool) {
	r = &response{capture: true}
	r.reset()
	for _, piece := range [][]byte{b[:cut], b[cut:]} {
		_, ended, err := r.feed(piece)
		if err != nil {
			return r, false, true
		}
		if ended {
			return r, true, false
		}
	}
	done, _ = r.eof()
	return r, done, false
}

// oracle reads the first final answer as net/http does.
func oracle(b []byte) (status int, body []byte, closes bool, err error) {
	br := bufio.NewReader(bytes.NewReader(b))
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodPost})
		if err != nil {
			return 0, nil, false, err
		}
		body, err = io.ReadAll(resp.Body)
		if err != nil {
			return 0, nil, false, err
		}
		if resp.StatusCode < 100 || resp.StatusCode > 199 || resp.StatusCode == 101 {
			return resp.StatusCode, body, resp.Close, nil
		}
	}
}

// FuzzResponse: where net/http and the parser both take an answer they agree
// on its status, body and whether the connection ends; the parser may call
// more answers malformed, but never waits for more of a whole one, nor takes
// one that net/http refuses for its framing.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		plain,
		head + "\r\n" + good,
		head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		head + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n",
		head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n" + plain,
		"HTTP/1.0 200 OK\r\nConnection: keep-alive, x\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 304 \r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length : 2\r\n\r\nok",
	} {
		f.Add([]byte(s), 7)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole, done, malformed := parse(b, 0)
		if cut > 0 && cut < len(b) {
			split, splitDone, splitMalformed := parse(b, cut)
			if done != splitDone || malformed != splitMalformed || whole.status != split.status || !bytes.Equal(whole.body, split.body) {
				t.Fatalf("split at %d: done %v/%v, malformed %v/%v, status %d/%d", cut, done, splitDone,
					malformed, splitMalformed, whole.status, split.status)
			}
		}
		status, body, closes, err := oracle(b)
		switch {
		case err == nil && !done && !malformed:
			t.Fatalf("net/http reads status %d, body %q; the parser waits for more", status, body)
		case err == nil && done:
			kept := body[:min(len(body), maxBody)]
			if whole.status != status || !bytes.Equal(whole.body, kept) {
				t.Fatalf("status %d, body %q; net/http: %d, %q", whole.status, whole.body, status, kept)
			}
			// Closing where net/http would keep is only cautious.
			if closes && !whole.close {
				t.Fatal("net/http closes, the parser would keep the connection")
			}
		case err != nil && done && !laxer(err):
			t.Fatalf("the parser takes status %d, body %q; net/http: %v", whole.status, whole.body, err)
		}
	})
}

// laxer lists what net/http refuses in fields that do not decide where an
// answer ends.
func laxer(err error) bool {
	for _, s := range []string{"malformed MIME header", "invalid header", "bad Content-Length", "invalid Trailer", "bad trailer key", "too large"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

func TestLongAnswersAreCountedNotKept(t *testing.T) {
	body := strings.Repeat("x", 1<<20)
	r, done, _ := parse([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"+body), 100)
	if !done || len(r.body) != maxBody {
		t.Fatalf("done %v, kept %d bytes", done, len(r.body))
	}
	_, done, malformed := parse([]byte("HTTP/1.1 200 OK\r\nA: "+body), 100)
	if done || !malformed {
		t.Fatal("an endless header line was taken")
	}
}

func TestParserDoesNotAllocate(t *testing.T) {
	r := &response{capture: true}
	answer := []byte(plain)
	n := testing.AllocsPerRun(100, func() {
		r.reset()
		if _, done, err := r.feed(answer); !done || err != nil {
			t.Fatal(done, err)
		}
	})
	if n != 0 {
		t.Fatalf("%v allocations an answer", n)
	}
}

func BenchmarkResponse(b *testing.B) {
	r := &response{capture: true}
	answer := []byte(plain)
	for b.Loop() {
		r.reset()
		_, _, _ = r.feed(answer)
	}
}
