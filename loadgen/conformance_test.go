package loadgen

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mslab/results/record"
)

// engines are all that can run here.
func engines() map[string]engine {
	all := map[string]engine{"net": driveNet}
	if rawSupported {
		all["raw"] = driveRaw
	}
	return all
}

// runOn is Run on a given engine.
func runOn(t *testing.T, ctx context.Context, drive engine, p Plan) *record.Record {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := newSession(ctx, p.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.run(ctx, drive)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	if !r.Verdict.Valid {
		t.Fatalf("invalid: %v", r.Verdict.Reasons)
	}
	return r
}

// peer is one connection as an awkward server sees it.
type peer struct {
	*net.TCPConn
	r    *bufio.Reader
	n    int           // connections before this one
	seen *atomic.Int64 // whole requests, of all connections
}

// request takes a whole request off the connection; false at its end.
func (p *peer) request() bool {
	r, err := http.ReadRequest(p.r)
	if err != nil {
		return false
	}
	if _, err = io.Copy(io.Discard, r.Body); err != nil {
		return false
	}
	p.seen.Add(1)
	return true
}

// untilClosed waits for the other side's end.
func (p *peer) untilClosed() { _, _ = io.Copy(io.Discard, p.r) }

func (p *peer) say(s string) { _, _ = io.WriteString(p, s) }

// reset closes with RST.
func (p *peer) reset() { _ = p.SetLinger(0); _ = p.Close() }

// awkward serves each connection with serve, which is called once for it.
func awkward(t *testing.T, serve func(p *peer)) (url string) {
	url, _ = counting(t, serve)
	return url
}

// counting is awkward, with the number of whole requests that arrived.
func counting(t *testing.T, serve func(p *peer)) (url string, seen *atomic.Int64) {
	t.Helper()
	seen = &atomic.Int64{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			p := &peer{c.(*net.TCPConn), bufio.NewReader(c), n, seen}
			all.Go(func() { serve(p); p.Close() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return "http://" + l.Addr().String() + "/metrics", seen
}

const (
	good  = `{"success":true,"metrics_processed":3}`
	head  = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	plain = head + "Content-Length: 38\r\n\r\n" + good
)

// always answers every request of a connection with the same bytes.
func always(answer string) func(*peer) {
	return func(p *peer) {
		for p.request() {
			p.say(answer)
		}
	}
}

// once answers one request and closes.
func once(answer string) func(*peer) {
	return func(p *peer) {
		if p.request() {
			p.say(answer)
		}
	}
}

func slowly(p *peer) {
	for p.request() {
		for i := range len(plain) {
			p.say(plain[i : i+1])
			if i%16 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// pour sends a piece over and over, until the other side has enough.
func pour(first, piece string) func(*peer) {
	return func(p *peer) {
		p.request()
		p.say(first)
		block := strings.Repeat(piece, 1+(64<<10)/len(piece))
		for {
			if _, err := io.WriteString(p, block); err != nil {
				return
			}
		}
	}
}

func tenOf(c record.Class) map[record.Class]int64 { return map[record.Class]int64{c: 10} }

// Ten requests of one client against each server: what they count as, how many
// connections they take, and how many of them the server may have done.
var conformance = []struct {
	name     string
	serve    func(*peer)
	want     map[record.Class]int64
	connects int64
	inDoubt  int64
}{
	{"content-length", always(plain), tenOf(record.OK), 1, 0},
	{"chunked", always(head + "Transfer-Encoding: chunked\r\n\r\n10;x=y\r\n" + good[:16] + "\r\n16\r\n" + good[16:] + "\r\n0\r\nDigest: 1\r\n\r\n"), tenOf(record.OK), 1, 0},
	{"until the end", once(head + "\r\n" + good), tenOf(record.OK), 10, 0},
	{"HTTP/1.0", once("HTTP/1.0 200 OK\r\nContent-Length: 38\r\n\r\n" + good), tenOf(record.OK), 10, 0},
	{"HTTP/1.0 kept", always("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 38\r\n\r\n" + good), tenOf(record.OK), 1, 0},
	{"close announced", once(head + "Connection: close\r\nContent-Length: 38\r\n\r\n" + good), tenOf(record.OK), 10, 0},
	{"close announced, not done", always(head + "Connection: close\r\nContent-Length: 38\r\n\r\n" + good), tenOf(record.OK), 10, 0},
	{"continue first", always("HTTP/1.1 100 Continue\r\n\r\n" + "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + plain), tenOf(record.OK), 1, 0},
	{"byte by byte", slowly, tenOf(record.OK), 1, 0},
	{"white space in the body", always(head + "Content-Length: 45\r\n\r\n" + `{ "metrics_processed": 3, "success": true }` + "\r\n"), tenOf(record.OK), 1, 0},
	{"closes after three answers", func(p *peer) {
		for range 2 {
			p.request()
			p.say(plain)
		}
		p.request()
		p.say(head + "Connection: close\r\nContent-Length: 38\r\n\r\n" + good)
	}, tenOf(record.OK), 4, 0},
	{"half-closes after the answer", func(p *peer) {
		p.request()
		p.say(head + "Connection: close\r\nContent-Length: 38\r\n\r\n" + good)
		_ = p.CloseWrite()
		p.untilClosed()
	}, tenOf(record.OK), 10, 0},
	{"half-closes instead of a length", func(p *peer) {
		p.request()
		p.say(head + "\r\n" + good)
		_ = p.CloseWrite()
		p.untilClosed()
	}, tenOf(record.OK), 10, 0},

	{"wrong count", always(head + "Content-Length: 38\r\n\r\n" + strings.Replace(good, "3", "2", 1)), tenOf(record.BodyMismatch), 1, 10},
	{"no success", always(head + "Content-Length: 39\r\n\r\n" + strings.Replace(good, "true", "false", 1)), tenOf(record.BodyMismatch), 1, 10},
	{"no body", always("HTTP/1.1 204 No Content\r\n\r\n"), tenOf(record.BodyMismatch), 1, 10},
	{"301", always("HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), tenOf(record.Status3xx), 1, 0},
	{"404", always("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"), tenOf(record.Status4xx), 1, 0},
	{"429", always("HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n"), tenOf(record.Status429), 1, 0},
	{"500", always("HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n"), tenOf(record.Status5xx), 1, 0},
	{"503", once("HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), tenOf(record.Status503), 10, 0},

	{"closes before the answer", once(""), tenOf(record.EOFBefore), 10, 10},
	{"closes in the status line", once("HTTP/1.1 2"), tenOf(record.EOFIn), 10, 10},
	{"closes in the head", once(head), tenOf(record.EOFIn), 10, 10},
	{"closes after continue", once("HTTP/1.1 100 Continue\r\n\r\n"), tenOf(record.EOFIn), 10, 10},
	{"closes in the body", once(plain[:len(plain)-1]), tenOf(record.ShortRead), 10, 10},
	{"closes in a chunk", once(head + "Transfer-Encoding: chunked\r\n\r\n26\r\n" + good[:9]), tenOf(record.EOFIn), 10, 10},
	{"closes before the last chunk", once(head + "Transfer-Encoding: chunked\r\n\r\n26\r\n" + good + "\r\n"), tenOf(record.EOFIn), 10, 10},
	{"resets", func(p *peer) { p.request(); p.reset() }, tenOf(record.Reset), 10, 10},
	{"resets in the body", func(p *peer) {
		p.request()
		p.say(plain[:len(plain)-1])
		time.Sleep(20 * time.Millisecond) // a reset would eat what is still on its way
		p.reset()
	}, tenOf(record.Reset), 10, 10},

	{"half-closes before the answer", func(p *peer) { p.request(); _ = p.CloseWrite(); p.untilClosed() }, tenOf(record.EOFBefore), 10, 10},
	{"half-closes in the answer", func(p *peer) {
		p.request()
		p.say(plain[:len(plain)-1])
		_ = p.CloseWrite()
		p.untilClosed()
	}, tenOf(record.ShortRead), 10, 10},

	{"longer than announced", always(plain + "\r\n"), tenOf(record.Malformed), 10, 10},
	{"longer than announced, and closes", once(head + "Connection: close\r\nContent-Length: 38\r\n\r\n" + good + good), tenOf(record.Malformed), 10, 10},
	{"an answer too many", always(plain + plain), tenOf(record.Malformed), 10, 10},
	{"a body where there is none", always("HTTP/1.1 204 No Content\r\nContent-Length: 38\r\n\r\n" + good), tenOf(record.Malformed), 10, 10},
	{"garbage", always("hello\r\n\r\n"), tenOf(record.Malformed), 10, 10},
	{"garbage without an end", always("SSH-2.0-OpenSSH_9.2"), tenOf(record.Malformed), 10, 10},
	{"two lengths", always(head + "Content-Length: 38\r\nContent-Length: 39\r\n\r\n" + good), tenOf(record.Malformed), 10, 10},
	{"bad chunk", always(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), tenOf(record.Malformed), 10, 10},
	{"switches protocols", always("HTTP/1.1 101 Switching Protocols\r\n\r\n"), tenOf(record.Malformed), 10, 10},

	{"endless head", pour("", "HTTP/1.1 200 OK\r\nA: b"), tenOf(record.Malformed), 10, 10},

	{"closes a kept connection", func(p *peer) {
		for range 5 { // the fifth answer is followed by a close nobody announced
			p.request()
			p.say(plain)
		}
	}, nil, 2, 0}, // nil: ten ok, with pauses
	{"trickles without an end", func(p *peer) {
		p.request()
		for _, b := range []byte(head) {
			p.say(string(b))
			time.Sleep(5 * time.Millisecond)
		}
		p.untilClosed()
	}, tenOf(record.ReadTimeout), 10, 10},
	{"body without an end", pour(head+"\r\n", "x"), tenOf(record.ReadTimeout), 10, 10},
	{"interim answers without an end", pour("", "HTTP/1.1 102 Processing\r\n\r\n"), tenOf(record.ReadTimeout), 10, 10},
	{"never answers", func(p *peer) { p.request(); _, _ = p.Read(make([]byte, 1)) }, tenOf(record.ReadTimeout), 10, 10},
}

func TestConformance(t *testing.T) {
	for _, procs := range []int{1, 2} {
		for engine, drive := range engines() {
			for _, c := range conformance {
				t.Run(fmt.Sprintf("procs=%d/%s/%s", procs, engine, c.name), func(t *testing.T) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
					url, seen := counting(t, c.serve)
					p := Plan{URL: url, Metrics: 3, Clients: 1, Requests: 10, Timeout: 150 * time.Millisecond}
					if c.want[record.ReadTimeout] == 0 {
						p.Timeout = 5 * time.Second
					} else {
						p.Clients = 2
					}
					if c.want == nil {
						p.Think = 10 * time.Millisecond // time for the close to arrive
						c.want = tenOf(record.OK)
					}
					r := runOn(t, context.Background(), drive, p)
					got := r.Counts
					if !maps.Equal(got.ByClass, c.want) {
						t.Errorf("by class %v, want %v", got.ByClass, c.want)
					}
					// On a busy machine a timeout may strike before the request is out.
					undelivered := c.inDoubt - got.InDoubt
					if c.want[record.ReadTimeout] > 0 && undelivered <= 2 {
						undelivered = 0
					}
					if got.Sent != 10 || got.Connects != c.connects || undelivered != 0 {
						t.Errorf("sent %d, connects %d, in doubt %d; want 10, %d, %d",
							got.Sent, got.Connects, got.InDoubt, c.connects, c.inDoubt)
					}
					if n := seen.Load(); n < got.OK || n > got.Sent || got.InDoubt == 0 && n != got.Sent {
						t.Errorf("the server took %d requests, ok %d, sent %d", n, got.OK, got.Sent)
					}
				})
			}
		}
	}
}

// TestSurplusInAPause: what a server sends unasked while its client pauses is
// nobody's answer. The connection is given up, and the next request, which has
// one of its own, is not harmed.
func TestSurplusInAPause(t *testing.T) {
	for engine, drive := range engines() {
		url := awkward(t, func(p *peer) {
			for p.request() {
				p.say(plain)
				time.Sleep(2 * time.Millisecond)
				p.say("\r\n")
			}
		})
		r := runOn(t, context.Background(), drive, Plan{URL: url, Metrics: 3, Clients: 1, Requests: 10, Think: 20 * time.Millisecond})
		// Read late, on a busy machine, the surplus comes with the answer.
		c := r.Counts
		if c.OK < 5 || c.OK+c.ByClass[record.Malformed] != 10 || c.Connects != 10 {
			t.Errorf("%s: counts %+v", engine, c)
		}
	}
}

func TestRefusedConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	l.Close()
	for engine, drive := range engines() {
		began := time.Now()
		r := runOn(t, context.Background(), drive, Plan{URL: url, Clients: 2, Requests: 10})
		if r.Counts.ByClass[record.ConnectRefused] != 10 || r.Counts.Connects != 0 || r.Counts.Starved != 2 || r.Counts.InDoubt != 0 {
			t.Errorf("%s: counts %+v", engine, r.Counts)
		}
		if took := time.Since(began); took < 4*refusedPause {
			t.Errorf("%s: a refused client did not wait: %v", engine, took)
		}
	}
}

// TestConnectTimeout fills the accept queue of a listener that accepts
// nothing, so that the kernel drops further SYNs.
func TestConnectTimeout(t *testing.T) {
	url, fill := stuckListener(t)
	for engine, drive := range engines() {
		fill()
		r := runOn(t, context.Background(), drive, Plan{URL: url, Clients: 1, Requests: 2, Timeout: 80 * time.Millisecond})
		if r.Counts.ByClass[record.ConnectTimeout] != 2 || r.Counts.InDoubt != 0 {
			t.Errorf("%s: counts %+v", engine, r.Counts)
		}
	}
}

// TestAnswerBeforeTheWholeRequest: a server that refuses a large body at once
// and closes is understood, if the answer gets through.
func TestAnswerBeforeTheWholeRequest(t *testing.T) {
	url := awkward(t, func(p *peer) {
		p.say("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_ = p.CloseWrite()
		_, _ = io.Copy(io.Discard, p.r)
	})
	for engine, drive := range engines() {
		r := runOn(t, context.Background(), drive, Plan{URL: url, Body: make([]byte, 32<<20), Clients: 1, Requests: 3})
		if r.Counts.ByClass[record.Status4xx] != 3 || r.Counts.InDoubt != 0 {
			t.Errorf("%s: counts %+v", engine, r.Counts)
		}
	}
}

func TestNewConnections(t *testing.T) {
	for name, serve := range map[string]func(*peer){
		"server closes":      once(plain),
		"announces":          once(head + "Connection: close\r\nContent-Length: 38\r\n\r\n" + good),
		"server stays":       always(plain),
		"announces and stay": always(head + "Connection: close\r\nContent-Length: 38\r\n\r\n" + good),
	} {
		for engine, drive := range engines() {
			t.Run(name+"/"+engine, func(t *testing.T) {
				url := awkward(t, serve)
				before := openFiles(t)
				r := runOn(t, context.Background(), drive, Plan{
					URL: url, Metrics: 3, Clients: 4, RequestsPerClient: 5, Connection: New, SpreadSources: true,
				})
				if r.Counts.OK != 20 || r.Counts.Connects != 20 || r.Load.SourceAddresses != 20 {
					t.Errorf("counts %+v, %d sources", r.Counts, r.Load.SourceAddresses)
				}
				// The server's ends close when it notices; ours are closed.
				for range 100 {
					if openFiles(t) <= before {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
				t.Errorf("%d files open, %d before", openFiles(t), before)
			})
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc to count open files in:", err)
	}
	return len(fds)
}
