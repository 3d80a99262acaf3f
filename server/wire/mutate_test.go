package wire

import (
	"math/rand/v2"
	"testing"
	"time"
)

// pieces are what mutations put into a stream: the bytes on which parsers of
// HTTP disagree, which byte-wise fuzzing is slow to put together.
var pieces = []string{
	"\r\n", "\n", "\r", "\r\n\r\n", "\n\n", " ", "\t", "\x00", "\x0b", "\x7f", "\xa0", ":", ";", ",", "+", "-", "0", "0x", "%", "#", "?", "@", "\"",
	"Content-Length: 1\r\n", "Content-Length: 0\r\n", "Content-Length:\r\n", "content-length: 4, 4\r\n", "Content-Length : 1\r\n", "Content-Length: +1\r\n",
	"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding:\r\n", "Transfer-Encoding: chunked\t\r\n",
	"Host: b\r\n", "Host:\r\n", "Host: [::1]:1\r\n", "Host: a,b\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n", "Connection: ,close ,\r\n",
	"Authorization: x\r\n", "Accept: a\r\n", "X-Correlation-ID: i\r\n", "Expect: 100-continue\r\n", "Expect: x\r\n", "Trailer: a\r\n", "Trailer: Host\r\n", " folded\r\n",
	"0\r\n\r\n", "1\r\nx\r\n", "2;a=b\r\nxy\r\n", "1 \r\nx\r\n", "ffffffffffffffff\r\n", "00000000000000000\r\n",
	"GET / HTTP/1.1\r\n", "POST /metrics HTTP/1.0\r\n", "OPTIONS * HTTP/1.1\r\n", "CONNECT a:1 HTTP/1.1\r\n", "http://a:1", "HTTP/1.0", "HTTP/2.0", "/%2f", "//",
}

// mutate changes a few places of a stream.
func mutate(in string, rng *rand.Rand) string {
	for range 1 + rng.IntN(3) {
		at := rng.IntN(len(in) + 1)
		to := min(len(in), at+rng.IntN(12))
		switch rng.IntN(4) {
		case 0:
			in = in[:at] + in[to:]
		case 1:
			in = in[:to] + in[at:]
		case 2:
			in = in[:at] + pieces[rng.IntN(len(pieces))] + in[to:]
		default:
			in = in[:at] + pieces[rng.IntN(len(pieces))] + in[at:]
		}
	}
	return in
}

// TestMutatedStreams looks, for one second and from a seed that it prints when
// it fails, for streams that are read in two ways.
func TestMutatedStreams(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var short []string
	for _, in := range streams() {
		if len(in) < 1000 {
			short = append(short, in)
		}
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		in := []byte(mutate(short[rng.IntN(len(short))], rng))
		limits := []Limits{{}, smallLimits}[rng.IntN(2)]
		compare(t, limits, in)
		requireSplitsAgree(t, limits, in, rng)
	}
}
