package server_test

import (
	"bufio"
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

func phaseByName(t testing.TB, name string) server.Phase {
	t.Helper()
	phase, err := server.FindPhase(name)
	if err != nil {
		t.Fatal(err)
	}
	return phase
}

func dial(t testing.TB, r *running) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// TestStopWithConnectionsOpen stops every phase while one connection idles, one
// has sent half a request and, where they are kept, one has been answered.
func TestStopWithConnectionsOpen(t *testing.T) {
	forEachPhase(t, func(t *testing.T, phase server.Phase) {
		r := start(t, phase, nil)
		answered := dial(t, r)
		send(t, answered, post(seedBody))
		if status := readStatus(t, answered); status != 200 {
			t.Fatalf("status %d", status)
		}
		_ = dial(t, r)
		half := dial(t, r)
		send(t, half, post(seedBody)[:100])
		time.Sleep(50 * time.Millisecond)
		begun := time.Now()
		r.stop()
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("stop took %v, want at most 5 s", took)
		}
		if lines := r.lines(t); len(lines) != 3 {
			t.Errorf("%d lines after the stop, want 3", len(lines))
		}
		if _, err := net.DialTimeout("tcp", r.address(), time.Second); err == nil {
			t.Errorf("the stopped server still accepts")
		}
	})
}

// TestStopFinishesWhatIsBeingAnswered stops the server while a slow sink holds
// an answer back: the answer comes all the same, and until then the admin
// listener says that no more work is taken in.
func TestStopFinishesWhatIsBeingAnswered(t *testing.T) {
	for _, name := range []string{"serial", "threads", "keepalive"} {
		t.Run(name, func(t *testing.T) {
			r := start(t, phaseByName(t, name), func(c *server.Config) {
				c.FaultHooks, c.SinkDelay = true, time.Second
				c.Recipe.Sink = "sync"
			})
			conn := dial(t, r)
			send(t, conn, post(seedBody))
			waitUntil(t, "the request is being answered", func() bool { return r.Counters().RequestsTotal == 1 })
			go r.stop()
			waitUntil(t, "not ready", func() bool { return health(r) == 503 })
			if status := readStatus(t, conn); status != 200 {
				t.Errorf("status %d", status)
			}
			r.stop()
		})
	}
}

// health asks the admin listener and returns the status, 0 where it is gone.
func health(r *running) int {
	answer, err := http.Get(r.AdminURL() + "/health")
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func waitUntil(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for: %s", what)
		}
	}
}

func send(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func readStatus(t testing.TB, conn net.Conn) int {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// TestTimeouts: a request that does not arrive whole is answered 408, however
// steadily it drips; a connection without a request is closed without a word.
func TestTimeouts(t *testing.T) {
	forEachPhase(t, func(t *testing.T, phase server.Phase) {
		r := start(t, phase, func(c *server.Config) {
			c.ReadTimeout, c.IdleTimeout = 300*time.Millisecond, 200*time.Millisecond
		})
		t.Run("half a request", func(t *testing.T) {
			conn := dial(t, r)
			send(t, conn, post(seedBody)[:100])
			if status := readStatus(t, conn); status != 408 {
				t.Errorf("status %d, want 408", status)
			}
		})
		t.Run("dripping", func(t *testing.T) {
			conn := dial(t, r)
			begun := time.Now()
			go func() {
				for _, b := range []byte(post(seedBody)) {
					if _, err := conn.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}()
			if status := readStatus(t, conn); status != 408 {
				t.Errorf("status %d, want 408", status)
			}
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		})
		t.Run("silent", func(t *testing.T) {
			conn := dial(t, r)
			if text, err := io.ReadAll(conn); err != nil || len(text) > 0 {
				t.Errorf("got %q, %v; want the end of the connection", text, err)
			}
		})
	})
}

// TestWriteTimeout: a client that asks on without reading the answers does not
// hold its worker for longer than the write timeout, nor does it delay the stop.
func TestWriteTimeout(t *testing.T) {
	ask := strings.Repeat(request("GET /metrics HTTP/1.1", "", "Accept: text/plain"), 1000)
	flood := func(t *testing.T, r *running) {
		conn := dial(t, r)
		go func() {
			for {
				if _, err := io.WriteString(conn, ask); err != nil {
					return
				}
			}
		}()
		stuck := int64(-1)
		waitUntil(t, "the answers fill the buffers", func() bool {
			before := stuck
			stuck = r.Counters().RequestsTotal
			time.Sleep(50 * time.Millisecond)
			return stuck > 0 && stuck == before
		})
	}
	t.Run("timeout", func(t *testing.T) {
		r := start(t, phaseByName(t, "keepalive"), func(c *server.Config) { c.WriteTimeout = 500 * time.Millisecond })
		flood(t, r)
		waitUntil(t, "the connection is closed", func() bool { return r.Counters().ConnectionsActive == 0 })
	})
	t.Run("stop", func(t *testing.T) {
		r := start(t, phaseByName(t, "keepalive"), func(c *server.Config) { c.WriteTimeout = time.Minute })
		flood(t, r)
		begun := time.Now()
		r.stop()
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("stop took %v, want at most 5 s", took)
		}
	})
}

// TestStopCutsOffWhatTakesTooLong: requests whose work ends by no call do not
// hold up the stop; what was not written is not acknowledged.
func TestStopCutsOffWhatTakesTooLong(t *testing.T) {
	const requests = 10
	r := start(t, phaseByName(t, "threads"), func(c *server.Config) {
		c.FaultHooks, c.SinkDelay = true, time.Second
	})
	answered := make(chan bool, requests)
	for range requests {
		conn := dial(t, r)
		send(t, conn, post(seedBody))
		go func() {
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				_ = answer.Body.Close()
			}
			answered <- err == nil && answer.StatusCode == 200
		}()
	}
	waitUntil(t, "all requests have come", func() bool { return r.Counters().RequestsTotal == requests })
	begun := time.Now()
	r.stop()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("stop took %v, want at most 5 s", took)
	}
	ok := 0
	for range requests {
		if <-answered {
			ok++
		}
	}
	if lines := len(r.lines(t)); ok == requests || lines < 3*ok {
		t.Errorf("%d of %d requests, 1 s each, were acknowledged, %d lines are stored", ok, requests, lines)
	}
}

// TestRateLimit: a client beyond its rate gets 429, another does not; a second
// later it is let in again. The clock is the test's.
func TestRateLimit(t *testing.T) {
	clock := &manualClock{now: time.Unix(1e9, 0)}
	forEachPhase(t, func(t *testing.T, phase server.Phase) {
		r := start(t, phase, func(c *server.Config) { c.RateLimit, c.Clock = 3, clock })
		ask := func(client string) int {
			q, err := newRequest(r.URL()+"/metrics", seedBody, client)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{DisableKeepAlives: true}
			answer, err := transport.RoundTrip(q)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode == 429 && answer.Header.Get("Retry-After") == "" {
				t.Errorf("429 without Retry-After")
			}
			return answer.StatusCode
		}
		for i, want := range []int{200, 200, 200, 429} {
			if got := ask("a"); got != want {
				t.Errorf("request %d: %d, want %d", i, got, want)
			}
		}
		if got := ask("b"); got != 200 {
			t.Errorf("another client: %d, want 200", got)
		}
		clock.advance(time.Second - time.Nanosecond)
		if got := ask("a"); got != 429 {
			t.Errorf("just under a second later: %d, want 429", got)
		}
		clock.advance(time.Nanosecond)
		if got := ask("a"); got != 200 {
			t.Errorf("a second later: %d, want 200", got)
		}
	})
}

// TestLongCorrelationID: the id is stored with every metric of a batch, so that
// a long one would make hundreds of megabytes of a body of 30 KB.
func TestLongCorrelationID(t *testing.T) {
	body := `{"metrics":[` + strings.Repeat(`{"name":"a","value":1},`, 999) + `{"name":"a","value":1}]}`
	forEachPhase(t, func(t *testing.T, phase server.Phase) {
		r := start(t, phase, nil)
		for length, want := range map[int]int{256: 200, 257: 431, 30 << 10: 431} {
			conn := dial(t, r)
			send(t, conn, post(body, "Connection: close", "X-Correlation-ID: "+strings.Repeat("\xff", length)))
			if status := readStatus(t, conn); status != want {
				t.Errorf("id of %d bytes: status %d, want %d", length, status, want)
			}
		}
		r.stop()
		if lines := r.lines(t); len(lines) != 1000 || len(lines[0]) > 2000 {
			t.Errorf("%d lines of %d bytes", len(lines), len(lines[0]))
		}
	})
}

type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// TestFullDisk: what cannot be written is not acknowledged where the recipe
// acknowledges written batches, counted everywhere, and told once to the
// operator, not once a batch.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skipf("needs /dev/full: %v", err)
	}
	for ack, want := range map[string]int{"written": 500, "auto": 0} {
		t.Run(ack, func(t *testing.T) {
			forEachPhase(t, func(t *testing.T, phase server.Phase) { onFullDisk(t, phase, ack, want) })
		})
	}
}

// onFullDisk sends three batches that cannot be written. A status of 0 stands
// for what the recipe's own acknowledgement makes of it.
func onFullDisk(t *testing.T, phase server.Phase, ack string, want int) {
	var log lockedBuffer
	r := start(t, phase, func(c *server.Config) {
		c.Recipe.Ack, c.Log = ack, &log
		if err := os.Symlink("/dev/full", filepath.Join(c.DataDir, server.LinesFile)); err != nil {
			t.Fatal(err)
		}
		if want == 0 {
			want = map[string]int{"memory": 200, "written": 500}[c.Recipe.AckLevel()]
		}
	})
	for range 3 {
		conn := dial(t, r)
		send(t, conn, post(seedBody, "Connection: close"))
		if status := readStatus(t, conn); status != want {
			t.Errorf("status %d, want %d", status, want)
		}
	}
	conn := dial(t, r)
	send(t, conn, request("GET /health HTTP/1.1", "", "Connection: close"))
	if status := readStatus(t, conn); status != 200 {
		t.Errorf("health: status %d", status)
	}
	r.stop()
	if got := r.Counters(); got.SinkErrors != 3 || (got.BatchesProcessed != 0) != (want == 200) {
		t.Errorf("counters %+v", got)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "no space left on device") {
		t.Errorf("told the operator %q, want one line", text)
	}
}

type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestDataDirectory: a torn line of a killed server is cut off, whole lines
// stay, and two servers never share a file.
func TestDataDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, server.LinesFile)
	if err := os.WriteFile(path, []byte("{\"whole\":1}\n{\"torn\":"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, phaseByName(t, "keepalive"), func(c *server.Config) { c.DataDir = dir })
	if text, _ := os.ReadFile(path); string(text) != "{\"whole\":1}\n" {
		t.Errorf("file holds %q", text)
	}
	second := server.Config{Phase: r.phase, Recipe: r.phase.Recipe, Address: "127.0.0.1:0", DataDir: dir}
	if _, err := server.New(second); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("second server on the same file: %v", err)
	}
	second.DataDir, second.Address = filepath.Join(t.TempDir(), "new"), r.address()
	if _, err := server.New(second); err == nil || !strings.Contains(err.Error(), "already in use") {
		t.Errorf("second server on the same address: %v", err)
	}
	second.Address, second.Admin = "127.0.0.1:0", strings.TrimPrefix(r.AdminURL(), "http://")
	if _, err := server.New(second); err == nil || !strings.Contains(err.Error(), "already in use") {
		t.Errorf("second server on the same admin address: %v", err)
	}
	if _, err := os.Stat(second.DataDir); err == nil {
		t.Errorf("what failed to start has left a data directory")
	}
	start(t, r.phase, func(c *server.Config) { c.DataDir = second.DataDir })
}

// TestConnectionLimit: beyond it connections are closed and counted.
func TestConnectionLimit(t *testing.T) {
	r := start(t, phaseByName(t, "keepalive"), func(c *server.Config) { c.MaxConnections = 2 })
	for range 2 {
		conn := dial(t, r)
		send(t, conn, post(seedBody))
		readStatus(t, conn)
	}
	if text, err := io.ReadAll(dial(t, r)); len(text) > 0 {
		t.Errorf("third connection: %q, %v; want it closed", text, err)
	}
	if got := r.Counters(); got.ConnectionsRefused != 1 || got.ConnectionsAccepted != 2 {
		t.Errorf("counters %+v", got)
	}
}

// TestThreadBudget: in phase 1 a connection beyond the budget is refused before
// a thread is made for it.
func TestThreadBudget(t *testing.T) {
	r := start(t, phaseByName(t, "threads"), func(c *server.Config) { c.MaxThreads = 3 })
	for range 3 {
		send(t, dial(t, r), "POST ")
	}
	time.Sleep(100 * time.Millisecond)
	if text, _ := io.ReadAll(dial(t, r)); len(text) > 0 {
		t.Errorf("fourth connection: %q; want it closed", text)
	}
	if got := r.Counters().ConnectionsRefused; got != 1 {
		t.Errorf("%d refused, want 1", got)
	}
}

// TestAdmin: counters, health and profiles while every worker is held.
func TestAdmin(t *testing.T) {
	r := start(t, phaseByName(t, "keepalive"), func(c *server.Config) { c.FaultHooks = true })
	for range 17 {
		conn := dial(t, r)
		send(t, conn, "POST ")
	}
	for path, want := range map[string]string{
		"/health": `{"status":"ok"}`, "/metrics": `"connections_active":`, "/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		text := get(t, r.AdminURL()+path)
		if !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %s in it", path, text, want)
		}
	}
	answer, err := http.Post(r.AdminURL()+"/clock?offset=1h", "", nil)
	if err != nil || answer.StatusCode != 200 {
		t.Errorf("move the clock: %v, %v", answer, err)
	}
	_ = answer.Body.Close()
}

// TestAdminStaysOnLoopback: without a host the admin listener, which gives
// profiles away, is not reachable from other machines.
func TestAdminStaysOnLoopback(t *testing.T) {
	r := start(t, phaseByName(t, "serial"), func(c *server.Config) { c.Admin = ":0" })
	if !strings.HasPrefix(r.AdminURL(), "http://127.0.0.1:") {
		t.Errorf("admin listens on %s, want 127.0.0.1", r.AdminURL())
	}
}

func get(t testing.TB, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
