package wire

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// streams are what the split tests and the fuzz targets start from.
func streams() []string {
	all := []string{
		strings.Repeat(get("Accept: a", "Accept: b"), 3),
		post("body", "Authorization: load_client_1", "X-Correlation-ID: 1", "Expect: 100-continue") + get(),
		chunked("3\r\nabc\r\n10;e=\"f\"\r\n0123456789abcdef\r\n0\r\nSum: 1\r\n\r\n") + post("x") + get(),
		chunked(strings.Repeat("1\r\nx\r\n", 30)+"0\r\n\r\n") + "\r\n" + get("Connection: close"),
		"GET / HTTP/1.0\r\n\r\nGET http://[::1]:1/a?b HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n",
		post(strings.Repeat("y", 9000)) + get(),
	}
	for _, c := range refusals {
		all = append(all, c.in)
	}
	for _, c := range acceptances {
		all = append(all, c.in+get())
	}
	return all
}

func TestEverySplitPoint(t *testing.T) {
	for _, in := range streams() {
		if len(in) > 2000 {
			continue
		}
		want := play(t, Limits{}, []byte(in), whole)
		for i := range len(in) {
			first := i + 1
			got := play(t, Limits{}, []byte(in), func() int { n := first; first = 1 << 20; return n })
			requireSame(t, fmt.Sprintf("%q cut at %d", in, i+1), want, got)
		}
		requireSame(t, fmt.Sprintf("%q byte by byte", in), want, play(t, Limits{}, []byte(in), func() int { return 1 }))
	}
}

func TestRandomSplits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, in := range streams() {
		for _, limits := range []Limits{{}, {RequestLine: 40, Headers: 60, Body: 20}} {
			requireSplitsAgree(t, limits, []byte(in+in), rng)
		}
	}
}

// requireSplitsAgree plays data whole, in random pieces, and with reads made
// while a request is held.
func requireSplitsAgree(t testing.TB, limits Limits, data []byte, rng *rand.Rand) {
	t.Helper()
	want := play(t, limits, data, whole)
	for _, most := range []int{1, 3, 40, 1000} {
		got := play(t, limits, data, func() int { return 1 + rng.IntN(most) })
		requireSame(t, fmt.Sprintf("%q in reads of at most %d", data, most), want, got)
	}
	requireSame(t, fmt.Sprintf("%q read ahead", data), want, playAhead(t, limits, data, rng))
}

// playAhead reads on while it holds requests, as an event loop does that waits
// for a sink, and looks at a request only just before it ends.
func playAhead(t testing.TB, limits Limits, data []byte, rng *rand.Rand) []event {
	t.Helper()
	s := NewSession(limits)
	var events []event
	read := func(most int) {
		n := min(1+rng.IntN(most), len(data))
		n = copy(s.ReadBuffer(), data[:n])
		s.Advance(n)
		data = data[n:]
	}
	for {
		state, req := s.Next()
		switch state {
		case Ready:
			for range rng.IntN(4) {
				read(3000)
			}
			events = append(events, event{state: Ready, req: clone(req)})
		case Continue:
			events = append(events, event{state: Continue})
		case Failed:
			return append(events, event{state: Failed, err: *s.Err()})
		case NeedMore:
			if len(data) == 0 {
				return events
			}
			if len(s.ReadBuffer()) < minFree {
				t.Fatalf("room of %d bytes after NeedMore, want %d", len(s.ReadBuffer()), minFree)
			}
			read(100)
		}
	}
}

func FuzzSplits(f *testing.F) {
	for i, in := range streams() {
		if len(in) < 2000 {
			f.Add([]byte(in), uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		limits := Limits{}
		if seed%2 == 1 {
			limits = Limits{RequestLine: 40, Headers: 100, Body: 30}
		}
		requireSplitsAgree(t, limits, data, rand.New(rand.NewPCG(seed, 0)))
	})
}
