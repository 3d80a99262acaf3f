package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mslab/server"
)

// conformanceCase is one conversation on one connection: what is sent, and how
// the answers must look. It holds in every phase.
type conformanceCase struct {
	name string
	send string
	// answers are status codes in order; the connection must be closed after
	// the last where closes is true.
	answers []int
	closes  bool
	body    string // a part of the last answer's body
	header  string // "Name: value" of the last answer
}

const seedBody = `{"metrics":[
  {"name":"cpu_usage","value":75.5,"type":"gauge","tags":{"host":"server1","region":"eu"}},
  {"name":"memory_usage","value":8e9,"type":"gauge","tags":{"host":"server1"}},
  {"name":"requests_total","value":1000,"type":"counter","tags":{"service":"api","host":"server1"}}
]}`

func post(body string, headers ...string) string {
	return request("POST /metrics HTTP/1.1", body, headers...)
}

func request(line, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\r\nHost: lab\r\n", line)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if body != "" || strings.HasPrefix(line, "POST") {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

func one(metric string) string { return `{"metrics":[` + metric + `]}` }

func conformanceCases() []conformanceCase {
	many := strings.TrimSuffix(strings.Repeat(`{"name":"a","value":1},`, 1001), ",")
	bad := func(name, body, reason string) conformanceCase {
		return conformanceCase{name: name, send: post(body), answers: []int{400}, body: reason}
	}
	wire := func(name, send string, status int) conformanceCase {
		return conformanceCase{name: name, send: send, answers: []int{status}, closes: true, body: `"error"`}
	}
	return []conformanceCase{
		{name: "seed body", send: post(seedBody), answers: []int{200}, body: `{"success":true,"metrics_processed":3}`},
		{name: "default type", send: post(one(`{"name":"a","value":1}`)), answers: []int{200}, body: `"metrics_processed":1`},
		{name: "exponent, escapes, null tags", send: post(one(`{"n\u0061me":"\u00e4\n","value":-1.5e-3,"type":null,"tags":null}`)), answers: []int{200}},
		{name: "brackets inside strings", send: post(one(`{"name":"]}","value":1,"tags":{"}":"["}}`)), answers: []int{200}},
		{name: "own time stamp", send: post(one(`{"name":"a","value":1,"timestamp":1700000000123}`)), answers: []int{200}},
		{name: "unknown fields", send: post(`{"x":[1,{"y":null}],"metrics":[{"name":"a","value":1,"Name":7}]}`), answers: []int{200}},
		{name: "thousand metrics", send: post(one(strings.TrimSuffix(strings.Repeat(`{"name":"a","value":1},`, 1000), ","))), answers: []int{200}, body: `"metrics_processed":1000`},
		{name: "name of 255 characters", send: post(one(`{"name":"` + strings.Repeat("ä", 255) + `","value":1}`)), answers: []int{200}},

		bad("no JSON", `{"metrics":`, `"error"`), bad("empty body", "", `"error"`), bad("trailing bytes", seedBody+"x", `"error"`),
		bad("byte order mark", "\xef\xbb\xbf"+seedBody, `"error"`), bad("invalid UTF-8", one("{\"name\":\"\xff\",\"value\":1}"), `"error"`),
		bad("empty batch", `{"metrics":[]}`, `"error"`), bad("no metrics", `{}`, `"error"`), bad("top-level array", `[]`, `"error"`),
		bad("1,001 metrics", one(many), `"error"`), bad("empty name", one(`{"name":"","value":1}`), `"error"`),
		bad("long name", one(`{"name":"`+strings.Repeat("a", 256)+`","value":1}`), `"error"`),
		bad("value not finite", one(`{"name":"a","value":1e999}`), `"error"`), bad("value missing", one(`{"name":"a"}`), `"error"`),
		bad("value null", one(`{"name":"a","value":null}`), `"error"`), bad("value a string", one(`{"name":"a","value":"1"}`), `"error"`),
		bad("unknown type", one(`{"name":"a","value":1,"type":"meter"}`), `"error"`), bad("tag no string", one(`{"name":"a","value":1,"tags":{"k":1}}`), `"error"`),
		bad("time stamp no integer", one(`{"name":"a","value":1,"timestamp":1.5}`), `"error"`), bad("key in other case", one(`{"Name":"a","value":1}`), `"error"`),
		bad("leading zero", one(`{"name":"a","value":01}`), `"error"`), bad("too deep", `{"x":`+strings.Repeat("[", 10001)+strings.Repeat("]", 10001)+`,"metrics":[]}`, `"error"`),

		{name: "health", send: request("GET /health HTTP/1.1", ""), answers: []int{200}, body: `{"status":"ok"}`},
		{name: "counters", send: request("GET /metrics HTTP/1.1", ""), answers: []int{200}, body: `"batches_processed":`},
		{name: "counters as text", send: request("GET /metrics HTTP/1.1", "", "Accept: text/plain"), answers: []int{200}, body: "# TYPE mslab_batches_processed_total counter"},
		{name: "no such path", send: request("GET /nothing HTTP/1.1", ""), answers: []int{404}, body: `"error"`},
		{name: "method not allowed", send: request("DELETE /metrics HTTP/1.1", ""), answers: []int{405}, header: "Allow: GET, HEAD, POST"},
		{name: "correlation id is echoed", send: post(seedBody, "X-Correlation-ID: abc-1"), answers: []int{200}, header: "X-Correlation-Id: abc-1"},
		{name: "query is not the path", send: request("GET /health?x=1 HTTP/1.1", ""), answers: []int{200}},

		{name: "chunked", send: "POST /metrics HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n" +
			fmt.Sprintf("%x\r\n%s\r\n%x;e=1\r\n%s\r\n0\r\n\r\n", 10, seedBody[:10], len(seedBody)-10, seedBody[10:]), answers: []int{200}, body: `"metrics_processed":3`},
		{name: "expect continue", send: post(seedBody, "Expect: 100-continue"), answers: []int{100, 200}},
		{name: "HTTP/1.0 without a host", send: "POST /metrics HTTP/1.0\r\nContent-Length: " + fmt.Sprint(len(seedBody)) + "\r\n\r\n" + seedBody, answers: []int{200}, closes: true},
		{name: "close asked for", send: post(seedBody, "Connection: close"), answers: []int{200}, closes: true, header: "Connection: close"},

		{name: "correlation id of a refused body", send: "POST /metrics HTTP/1.1\r\nHost: lab\r\nX-Correlation-ID: abc-2\r\nContent-Length: 1048577\r\n\r\n", answers: []int{413}, closes: true, header: "X-Correlation-Id: abc-2"},
		wire("both lengths", "POST /metrics HTTP/1.1\r\nHost: lab\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
		wire("two lengths", "POST /metrics HTTP/1.1\r\nHost: lab\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
		wire("signed length", "POST /metrics HTTP/1.1\r\nHost: lab\r\nContent-Length: +3\r\n\r\nabc", 400),
		wire("empty length", "POST /metrics HTTP/1.1\r\nHost: lab\r\nContent-Length:\r\n\r\n", 400),
		wire("bare line feed", "GET /health HTTP/1.1\nHost: lab\n\n", 400),
		wire("bare carriage return", "GET /health HTTP/1.1\r\nHost: lab\r\nX: a\rb\r\n\r\n", 400),
		wire("NUL", "GET /health HTTP/1.1\r\nHost: lab\r\nX: a\x00b\r\n\r\n", 400),
		wire("folded header", "GET /health HTTP/1.1\r\nHost: lab\r\nX: a\r\n b\r\n\r\n", 400),
		wire("space before the colon", "GET /health HTTP/1.1\r\nHost : lab\r\n\r\n", 400),
		wire("name no token", "GET /health HTTP/1.1\r\nHost: lab\r\nX(): a\r\n\r\n", 400),
		wire("no host", "GET /health HTTP/1.1\r\n\r\n", 400),
		wire("two hosts", "GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
		wire("chunked in 1.0", "POST /metrics HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
		wire("HTTP/2.0", "GET /health HTTP/2.0\r\nHost: lab\r\n\r\n", 505),
		wire("long request line", "GET /"+strings.Repeat("a", 9<<10)+" HTTP/1.1\r\nHost: lab\r\n\r\n", 414),
		wire("long headers", "GET /health HTTP/1.1\r\nHost: lab\r\nX: "+strings.Repeat("a", 40<<10)+"\r\n\r\n", 431),
		wire("large body", "POST /metrics HTTP/1.1\r\nHost: lab\r\nContent-Length: 1048577\r\n\r\n", 413),
		wire("large chunked body", "POST /metrics HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n", 413),
	}
}

// running is a server under test.
type running struct {
	*server.Server
	phase server.Phase
	dir   string
	stop  func()
}

func start(t testing.TB, phase server.Phase, change func(*server.Config)) *running {
	t.Helper()
	config := server.Config{
		Phase: phase, Recipe: phase.Recipe, Address: "127.0.0.1:0", Admin: "127.0.0.1:0", DataDir: t.TempDir(),
	}
	if change != nil {
		change(&config)
	}
	s, err := server.New(config)
	if err != nil {
		t.Fatalf("make server of phase %d: %v", phase.Number, err)
	}
	ctx, cancel := newContext()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-served:
				if err != nil {
					t.Errorf("serve phase %d: %v", phase.Number, err)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("phase %d did not stop", phase.Number)
			}
		})
	}
	t.Cleanup(stop)
	return &running{Server: s, phase: phase, dir: config.DataDir, stop: stop}
}

func (r *running) address() string { return strings.TrimPrefix(r.URL(), "http://") }

func (r *running) lines(t testing.TB) [][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, server.LinesFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(text) == 0 {
		return nil
	}
	if text[len(text)-1] != '\n' {
		t.Errorf("the file ends in a torn line")
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

func forEachPhase(t *testing.T, test func(t *testing.T, phase server.Phase)) {
	for _, phase := range server.Phases() {
		t.Run(fmt.Sprintf("%d-%s", phase.Number, phase.Name), func(t *testing.T) { test(t, phase) })
	}
}

// TestConformance holds every phase to the same conversations, each sent whole
// and again byte by byte at its critical places, since a partial read must
// never be taken for a whole request.
func TestConformance(t *testing.T) {
	forEachPhase(t, func(t *testing.T, phase server.Phase) {
		r := start(t, phase, nil)
		for _, c := range conformanceCases() {
			t.Run(c.name, func(t *testing.T) {
				converse(t, r, c, []string{c.send})
				if len(c.send) < 2000 {
					converse(t, r, c, cut(c.send))
				}
			})
		}
	})
}

// cut splits a conversation in the middle of its request line, its head's end
// and its body.
func cut(send string) []string {
	end := strings.Index(send, "\r\n\r\n")
	if end < 0 {
		end = len(send) / 2
	}
	body := min(len(send), end+6)
	return []string{send[:3], send[3 : end+2], send[end+2 : body], send[body:]}
}

func converse(t *testing.T, r *running, c conformanceCase, pieces []string) {
	t.Helper()
	conn, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		for i, piece := range pieces {
			if i > 0 {
				time.Sleep(3 * time.Millisecond)
			}
			if _, err := io.WriteString(conn, piece); err != nil {
				return // answered before all was sent
			}
		}
	}()
	reader := bufio.NewReader(conn)
	var last *http.Response
	var body []byte
	for _, status := range c.answers {
		last, err = http.ReadResponse(reader, &http.Request{Method: strings.Fields(c.send + " x")[0]})
		if err != nil {
			t.Fatalf("read answer: %v", err)
		}
		if body, err = io.ReadAll(last.Body); err != nil {
			t.Fatalf("read body: %v", err)
		}
		if last.StatusCode != status {
			t.Fatalf("status %d, want %d; body %s", last.StatusCode, status, body)
		}
	}
	if !strings.Contains(string(body), c.body) {
		t.Errorf("body %s, want %s in it", body, c.body)
	}
	if c.header != "" {
		name, value, _ := strings.Cut(c.header, ": ")
		if got := last.Header.Get(name); got != value && !(name == "Connection" && last.Close) {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if last.Header.Get("X-Correlation-Id") == "" {
		t.Errorf("no X-Correlation-ID")
	}
	if c.closes || r.phase.Recipe.Conn == "close" {
		if n, err := reader.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the answer: %d bytes, %v; want the end of the connection", n, err)
		}
	}
}

// TestPipelining sends requests in one write: kept connections answer all in
// order, others the first.
func TestPipelining(t *testing.T) {
	forEachPhase(t, func(t *testing.T, phase server.Phase) {
		r := start(t, phase, nil)
		c := conformanceCase{send: post(seedBody) + request("GET /nothing HTTP/1.1", "") + post(seedBody, "Connection: close"), answers: []int{200, 404, 200}, closes: true}
		if phase.Recipe.Conn == "close" {
			c.answers = c.answers[:1]
		}
		converse(t, r, c, []string{c.send})
	})
}

// TestAccounting lets 100 concurrent clients send valid and invalid bodies and
// holds the counters and the file against what was sent.
func TestAccounting(t *testing.T) {
	const clients = 100
	each := soaked(20, 1000)
	forEachPhase(t, func(t *testing.T, phase server.Phase) {
		r := start(t, phase, func(c *server.Config) { c.RateLimit = 1 << 20; c.Recipe.Listen = "backlog1024" })
		var wait sync.WaitGroup
		for client := range clients {
			wait.Go(func() { sendEach(t, r, client, each) })
		}
		wait.Wait()
		r.stop()
		got := r.Counters()
		valid := int64(clients * each / 2)
		if got.BatchesProcessed != valid || got.MetricsReceived != 3*valid || got.ValidationErrors != valid ||
			got.RequestsTotal != 2*valid || got.RateLimitedRequests != 0 || got.OverloadedRequests != 0 || got.SinkPending != 0 {
			t.Errorf("counters %+v, want %d valid and as many invalid batches", got, valid)
		}
		if got.EventsRecorded+got.EventsDropped != 2*valid {
			t.Errorf("events: %d recorded and %d dropped, want %d in all", got.EventsRecorded, got.EventsDropped, 2*valid)
		}
		if got.ConnectionsActive != 0 {
			t.Errorf("%d connections active after the stop", got.ConnectionsActive)
		}
		lines := r.lines(t)
		if int64(len(lines)) != got.MetricsReceived {
			t.Errorf("%d lines, want %d", len(lines), got.MetricsReceived)
		}
		for _, line := range lines {
			if !json.Valid(line) {
				t.Fatalf("line is no JSON: %s", line)
			}
		}
	})
}

// sendEach alternates valid and invalid bodies, as fast as answers come.
func sendEach(t *testing.T, r *running, client, requests int) {
	transport := &http.Transport{MaxIdleConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	http := http.Client{Transport: transport, Timeout: 30 * time.Second}
	for i := range requests {
		body, want := seedBody, 200
		if i%2 == 1 {
			body, want = `{"metrics":[]}`, 400
		}
		q, err := newRequest(r.URL()+"/metrics", body, fmt.Sprintf("client_%d", client))
		if err != nil {
			t.Error(err)
			return
		}
		answer, err := http.Do(q)
		if err != nil {
			t.Errorf("client %d: %v", client, err)
			return
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("client %d: status %d, want %d", client, answer.StatusCode, want)
		}
	}
}
