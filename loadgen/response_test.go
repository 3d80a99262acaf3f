package loadgen

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mslab/results/record"
)

// parsed is all that an engine learns of the answers on a connection.
type parsed struct {
	answers []answered
	err     error        // that ended it
	end     record.Class // of an answer that the connection's end cut off
}

type answered struct {
	status int
	body   string
	closes bool
}

// parse feeds the pieces to a parser, for as many answers as are asked for,
// then the end of the connection.
func parse(method string, asked int, pieces ...[]byte) (p parsed) {
	r := &response{capture: true, head: method == http.MethodHead}
	r.reset()
	keep := func() bool {
		p.answers = append(p.answers, answered{r.status, string(r.body), r.close})
		more := !r.close && len(p.answers) < asked
		r.reset()
		return more
	}
	for _, b := range pieces {
		for len(b) > 0 {
			rest, done, err := r.feed(b)
			if err != nil {
				p.err = err
				return p
			}
			if b = rest; done && !keep() {
				return p
			}
		}
	}
	done, class := r.eof()
	if done {
		keep()
	} else {
		p.end = class
	}
	return p
}

// oracle reads the final answers as net/http does.
func oracle(method string, asked int, b []byte) (answers []answered, err error) {
	br := bufio.NewReader(bytes.NewReader(b))
	for len(answers) < asked {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return answers, err
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return answers, err
		}
		if 100 <= resp.StatusCode && resp.StatusCode <= 199 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		answers = append(answers, answered{resp.StatusCode, string(body[:min(len(body), maxBody)]), resp.Close})
		if resp.Close {
			return answers, nil
		}
	}
	return answers, nil
}

// stricter lists what the parser calls malformed and net/http takes, with the
// reason. Anything else that net/http takes has to be taken.
var stricter = map[error]string{
	errStatusLine: "HTTP/2.0 and other versions, codes beyond 599 and with a sign, more white space before the code",
	errSwitch:     "101: the generator never asks for another protocol",
	errField:      "folded lines (RFC 9112, section 5.2) and names that are no token",
	errLength:     "a Content-Length beyond 18 digits, and any faulty one where the answer has no body or is chunked",
	errEncoding:   "a Transfer-Encoding in HTTP/1.0 (RFC 9112, section 6.1), or one where no body can follow",
	errTrailer:    "bare line feeds and names that are no token",
	errTooLong:    "net/http leaves the limit to the transport",
}

// laxer lists what net/http refuses and the parser takes, since none of it
// decides where an answer ends: what field values, header names by the letter
// of MIME, and trailers hold.
var laxer = []string{
	"malformed MIME header", "invalid header", "bad Content-Length", "invalid Trailer", "bad trailer key", "too large",
}

// FuzzResponse: net/http is the oracle, and the parser its own, whatever the
// pieces in which the bytes arrive.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		plain,
		plain + plain,
		plain + "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" + head + "\r\nto the end",
		head + "\r\n" + good,
		head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + plain,
		head + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n",
		head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n" + plain,
		"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + plain,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive, x\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n" + plain,
		"HTTP/1.1 304 \r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length : 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
		"HTTP/1.1 +12 \r\n\r\n",
	} {
		f.Add([]byte(s), 7, 19, false)
		f.Add([]byte(s), len(s)/2, 1, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut, step int, headOnly bool) {
		method := http.MethodPost
		if headOnly {
			method = http.MethodHead
		}
		const asked = 3
		whole := parse(method, asked, b)
		for name, pieces := range splits(b, cut, step) {
			if split := parse(method, asked, pieces...); !reflect.DeepEqual(whole, split) {
				t.Fatalf("%s: %+v, whole: %+v", name, split, whole)
			}
		}
		want, err := oracle(method, asked, b)
		for i, a := range whole.answers {
			switch {
			case i == len(want) && err != nil && slices.ContainsFunc(laxer, func(s string) bool { return strings.Contains(err.Error(), s) }):
				return
			case i >= len(want):
				t.Fatalf("the parser takes %+v after %d answers; net/http: %v", a, i, err)
			case a.status != want[i].status || a.body != want[i].body:
				t.Fatalf("answer %d is %+v; net/http: %+v", i, a, want[i])
			case want[i].closes && !a.closes:
				t.Fatalf("answer %d: net/http closes, the parser would keep the connection", i)
			case a.closes && !want[i].closes:
				return // only cautious: net/http goes on
			}
		}
		if len(want) > len(whole.answers) && stricter[whole.err] == "" {
			t.Fatalf("net/http takes %+v; the parser: error %v, end %q", want[len(whole.answers)], whole.err, whole.end)
		}
	})
}

// splits are ways in which b may arrive: cut once, in pieces of one size, and,
// where it is short enough to try them all, cut anywhere.
func splits(b []byte, cut, step int) map[string][][]byte {
	ways := map[string][][]byte{
		"byte by byte":                slices.Collect(slices.Chunk(b, 1)),
		fmt.Sprintf("by %d", step):    nil,
		fmt.Sprintf("cut at %d", cut): nil,
	}
	if step > 0 {
		ways[fmt.Sprintf("by %d", step)] = slices.Collect(slices.Chunk(b, step))
	}
	cuts := []int{cut}
	if len(b) <= 256 {
		for i := range len(b) {
			cuts = append(cuts, i)
		}
	}
	for _, i := range cuts {
		if 0 <= i && i <= len(b) {
			ways[fmt.Sprintf("cut at %d", i)] = [][]byte{b[:i], b[i:]}
		}
	}
	maps.DeleteFunc(ways, func(_ string, pieces [][]byte) bool { return pieces == nil })
	return ways
}

// TestResponseReasons: what makes an answer malformed is told by name.
func TestResponseReasons(t *testing.T) {
	chunked := head + "Transfer-Encoding: chunked\r\n\r\n"
	for answer, want := range map[string]error{
		"hello\r\n":                   errStatusLine,
		"\r\n" + plain:                errStatusLine,
		"HTTP/2.0 200 OK\r\n":         errStatusLine,
		"HTTP/1.1 099 OK\r\n":         errStatusLine,
		"HTTP/1.1 600 OK\r\n":         errStatusLine,
		"HTTP/1.1 2000 OK\r\n":        errStatusLine,
		"HTTP/1.1 101 Switch\r\n\r\n": errSwitch,
		head + "no colon\r\n":         errField,
		head + " folded: x\r\n":       errField,
		head + "Space : x\r\n":        errField,
		head + ": x\r\n":              errField,
		head + "Content-Length: 1\r\nContent-Length: 2\r\n":                         errLength,
		head + "Content-Length: -1\r\n":                                             errLength,
		head + "Content-Length: 1234567890123456789\r\n":                            errLength,
		head + "Content-Length:\r\n":                                                errLength,
		head + "Transfer-Encoding: gzip, chunked\r\n":                               errEncoding,
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n":                         errEncoding,
		chunked + "zz\r\n":                                                          errChunk,
		chunked + "5\n":                                                             errChunk,
		chunked + ";a\r\n":                                                          errChunk,
		chunked + "1234567890123456\r\n":                                            errChunk,
		chunked + "5\r\nhello!\r\n":                                                 errChunk,
		chunked + "0\r\nno colon\r\n":                                               errTrailer,
		head + "A: " + strings.Repeat("x", maxLine):                                 errTooLong,
		chunked + "0\r\nA: " + strings.Repeat("x", maxLine) + "\r\n":                errTooLong,
		head + strings.Repeat("A: "+strings.Repeat("x", 1000)+"\r\n", maxHead/1000): errTooLong,
	} {
		if got := parse(http.MethodGet, 1, []byte(answer)); !errors.Is(got.err, want) || len(got.answers) > 0 {
			t.Errorf("%.60q: %+v, want the error %v", answer, got, want)
		}
	}
}

// TestAnyNumberOfInterimAnswers: each has a head of its own.
func TestAnyNumberOfInterimAnswers(t *testing.T) {
	b := []byte(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxHead/10) + plain)
	if got := parse(http.MethodPost, 1, b); len(got.answers) != 1 || got.answers[0].status != 200 {
		t.Fatalf("%+v", got)
	}
}

func TestLongAnswersAreCountedNotKept(t *testing.T) {
	body := strings.Repeat("x", 1<<20)
	got := parse(http.MethodGet, 1, []byte("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"+body))
	if len(got.answers) != 1 || len(got.answers[0].body) != maxBody {
		t.Fatalf("%d answers, error %v", len(got.answers), got.err)
	}
}

func TestParserDoesNotAllocate(t *testing.T) {
	r := &response{capture: true}
	for name, answer := range map[string]string{
		"whole":     plain,
		"chunked":   "HTTP/1.1 100 Continue\r\n\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n10;x=y\r\n" + good[:16] + "\r\n16\r\n" + good[16:] + "\r\n0\r\nDigest: 1\r\n\r\n",
		"malformed": head + "no colon\r\n",
	} {
		whole := []byte(answer)
		for _, step := range []int{1, 7, len(answer)} {
			take := func() {
				r.reset()
				for b := whole; len(b) > 0; {
					rest, done, err := r.feed(b[:min(step, len(b))])
					if done || err != nil {
						return
					}
					b = b[min(step, len(b))-len(rest):]
				}
				t.Fatal("the answer has no end")
			}
			take() // the buffers grow once
			if n := testing.AllocsPerRun(100, take); n != 0 {
				t.Errorf("%s, by %d: %v allocations an answer", name, step, n)
			}
		}
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
