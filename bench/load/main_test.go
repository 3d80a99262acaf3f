//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// compiled builds the C server, or skips where there is no compiler.
func compiled(t *testing.T) string {
	t.Helper()
	program, err := compileServer(t.Context(), t.TempDir())
	var missing *missingError
	if errors.As(err, &missing) {
		t.Skip(missing.why)
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// counts ends the server and returns what it counted.
func (s *server) counts(t *testing.T) counted {
	t.Helper()
	c, err := s.stop()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func started(t *testing.T) *server {
	t.Helper()
	s, err := startC(compiled(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dial connects to the server, with a limit on everything after.
func dial(t *testing.T, s *server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func post(body string) string {
	return fmt.Sprintf("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// wantAnswers reads n answers and wants each to be the constant one.
func wantAnswers(t *testing.T, from *bufio.Reader, n int) {
	t.Helper()
	for i := range n {
		r, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatalf("answer %d of %d: %v", i+1, n, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK || string(body) != answer {
			t.Fatalf("answer %d of %d: %s %q, %v", i+1, n, r.Status, body, err)
		}
	}
}

func TestServerAnswersClient(t *testing.T) {
	s := started(t)
	client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	sent := int64(0)
	for _, size := range []int{0, 1, 693, 16383, 16384, 16385, 5 << 20} {
		for range 3 {
			r, err := client.Post(s.url+"/metrics", "application/json", bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Fatalf("a body of %d bytes: %v", size, err)
			}
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || string(body) != answer || r.StatusCode != http.StatusOK {
				t.Fatalf("a body of %d bytes: %s %q, %v", size, r.Status, body, err)
			}
			sent++
		}
	}
	client.CloseIdleConnections()
	if c := s.counts(t); c.requests != sent || c.malformed != 0 || c.span <= 0 {
		t.Errorf("counted %+v, want %d requests", c, sent)
	}
}

// TestServerTakesSplitRequests sends requests cut at every place, and byte by
// byte.
func TestServerTakesSplitRequests(t *testing.T) {
	s := started(t)
	request := post(`{"metrics":[]}`)
	c := dial(t, s)
	from := bufio.NewReader(c)
	sent := int64(0)
	for cut := 1; cut < len(request); cut++ {
		for _, part := range []string{request[:cut], request[cut:]} {
			if _, err := io.WriteString(c, part); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			time.Sleep(200 * time.Microsecond) // a segment of its own
		}
		wantAnswers(t, from, 1)
		sent++
	}
	for i := range request {
		if _, err := io.WriteString(c, request[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	wantAnswers(t, from, 1)
	if got := s.counts(t); got.requests != sent+1 {
		t.Errorf("counted %d, want %d", got.requests, sent+1)
	}
}

// TestServerAnswersPipelined sends more at once than the server reads or answers
// at once, and reads nothing before all is on its way.
func TestServerAnswersPipelined(t *testing.T) {
	s := started(t)
	c := dial(t, s)
	const n = 20000 // their answers are 2 MB: more than its socket takes
	failed := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, strings.Repeat(post(strings.Repeat("x", 100)), n))
		failed <- err
	}()
	time.Sleep(300 * time.Millisecond) // until both sides are full
	wantAnswers(t, bufio.NewReader(c), n)
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if got := s.counts(t); got.requests != n {
		t.Errorf("counted %d, want %d", got.requests, n)
	}
}

func TestServerClosesWhenAsked(t *testing.T) {
	s := started(t)
	for _, test := range []struct {
		head   string
		closes bool
	}{
		{"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", true},
		{"POST / HTTP/1.1\r\nHost: a\r\nconnection: x , CLOSE\r\n", true},
		{"POST / HTTP/1.1\r\nHost: a\r\nConnection: closer\r\n", false},
		{"POST / HTTP/1.0\r\n", true},
		{"POST / HTTP/1.0\r\nConnection: Keep-Alive\r\n", false}, // as ab does
	} {
		c := dial(t, s)
		if _, err := io.WriteString(c, test.head+"Content-Length: 2\r\n\r\nok"); err != nil {
			t.Fatal(err)
		}
		from := bufio.NewReader(c)
		r, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatalf("%q: %v", test.head, err)
		}
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != answer {
			t.Errorf("%q: %q, %v", test.head, body, err)
		}
		if test.closes {
			if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("%q: %v after the answer, want the end", test.head, err)
			}
			continue
		}
		if _, err := io.WriteString(c, post("again")); err != nil {
			t.Fatal(err)
		}
		wantAnswers(t, from, 1)
	}
	s.counts(t)
}

// TestServerRefusesWhatIsNoRequest wants 400 and the end of that connection, and
// the server to live on.
func TestServerRefusesWhatIsNoRequest(t *testing.T) {
	s := started(t)
	const line = "POST / HTTP/1.1\r\n"
	wrong := []string{
		"\r\n\r\n", "GARBAGE\r\n\r\n", "POST  / HTTP/1.1\r\n\r\n", "POST / / HTTP/1.1\r\n\r\n", "POST / HTTP/2.0\r\n\r\n", " / HTTP/1.1\r\n\r\n",
		line + "Content-Length: x\r\n\r\n", line + "Content-Length: -1\r\n\r\n", line + "Content-Length:\r\n\r\n",
		line + "Content-Length: 99999999999999999999999\r\n\r\n", line + "Content-Length: 999999999999999\r\n\r\n",
		line + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", line + "Content-Length : 1\r\n\r\n", line + "No colon\r\n\r\n", line + ": a\r\n\r\n",
		line + "A: b\r\n folded\r\n\r\n", line + "Transfer-Encoding: chunked\r\n\r\n", line + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n",
		line + "A: " + strings.Repeat("a", 9000) + "\r\n\r\n", strings.Repeat("a", 9000), strings.Repeat("\x00", 20000),
	}
	for _, text := range wrong {
		c := dial(t, s)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatalf("%.40q: %v", text, err)
		}
		from := bufio.NewReader(c)
		r, err := http.ReadResponse(from, nil)
		if err != nil || r.StatusCode != http.StatusBadRequest {
			t.Errorf("%.40q: %v, %v; want 400", text, r, err)
			continue
		}
		if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("%.40q: %v after the answer, want the end", text, err)
		}
	}
	// Half a request, and its end: no answer is due, and none is counted.
	for _, half := range []string{"", "POST", line + "Content-Length: 5\r\n\r\n1234"} {
		c := dial(t, s)
		if _, err := io.WriteString(c, half); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(c); err != nil || len(text) > 0 {
			t.Errorf("%q: got %q, %v; want the end", half, text, err)
		}
	}
	c := dial(t, s)
	if _, err := io.WriteString(c, post("fine")); err != nil {
		t.Fatal(err)
	}
	wantAnswers(t, bufio.NewReader(c), 1)
	if got := s.counts(t); got.requests != 1 || got.malformed != int64(len(wrong)) {
		t.Errorf("counted %+v, want 1 request and %d malformed", got, len(wrong))
	}
}

// TestServerAnswersBeforeTheEnd sends a request and its end in one go.
func TestServerAnswersBeforeTheEnd(t *testing.T) {
	s := started(t)
	for range 200 {
		c := dial(t, s)
		if _, err := io.WriteString(c, post("last")); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		from := bufio.NewReader(c)
		wantAnswers(t, from, 1)
		if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
			t.Fatalf("%v after the answer, want the end", err)
		}
	}
	if got := s.counts(t); got.requests != 200 {
		t.Errorf("counted %d, want 200", got.requests)
	}
}

// TestPlaysOneRound plays all tools and servers that are here, and wants each to
// be in the tables or to be named as missing.
func TestPlaysOneRound(t *testing.T) {
	compiled(t)
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), &stdout, &stderr, []string{"-runs", "1", "-d", "300ms"}); code != 0 {
		t.Fatalf("exit %d\n%s", code, &stderr)
	}
	text := strings.Join(strings.Fields(stdout.String()), " ")
	for _, tool := range allTools() {
		if here := tool.name == ours || exists(tool.program); !here {
			if !strings.Contains(text, tool.name+" is left out") {
				t.Errorf("%s is not here, and nothing says so", tool.name)
			}
			continue
		}
		busy := strings.Contains(text, "left out: "+tool.name+" in round 1: others kept")
		if row := regexp.MustCompile(`(?m)^` + tool.name + `( [\d.]+)? +1 +[1-9]\d{2,}`); !row.Match(stdout.Bytes()) && !busy {
			t.Errorf("%s has no row with a rate", tool.name)
		}
	}
	if want := "2 of 2"; !strings.Contains(text, want) && exists("nginx") {
		t.Errorf("mslab's own counts are not the server's: no %q", want)
	}
	if !strings.Contains(text, "too few rounds to tell") {
		t.Error("judges a goal on one round")
	}
	if t.Failed() {
		t.Logf("it printed\n%s\n%s", &stderr, &stdout)
	}
}

func exists(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func TestCaptureTakesMslabsRequest(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := capture(ctx, "false"); err == nil {
		t.Error("takes a request of a program that sends none")
	}
}
