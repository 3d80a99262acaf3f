package loadgen

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mslab/results/record"
)

// childServer names the variable that makes this test's program the server
// that others stop.
const childServer = "LOADGEN_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(childServer) != "" {
		serveParent()
		return
	}
	os.Exit(m.Run())
}

// serveParent serves until standard input ends, as it does with the parent.
func serveParent() {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, good)
	}))
	defer s.Close()
	_, _ = io.WriteString(os.Stdout, s.URL+"\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startChild starts the server in a child process.
func startChild(t *testing.T) (url string, process *os.Process) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childServer+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill() // a stopped process reads nothing
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line[:len(line)-1], cmd.Process
}

// tries plays a timed check until it holds: what other processes do to it they
// hardly do three times in a row, and an engine that is wrong always is.
func tries(t *testing.T, check func() []error) {
	t.Helper()
	for try := 1; ; try++ {
		errs := check()
		if len(errs) == 0 {
			return
		}
		for _, err := range errs {
			t.Logf("try %d: %v", try, err)
		}
		if try == 3 {
			t.Fatal("no try held")
		}
	}
}

// TestCoordinatedOmission stops a server for 0.5 s of 3 s. Of the requests that
// came due meanwhile the first waits for all of the stop, the last for nothing:
// of all requests the share p is answered within stop - (1 - p) x duration. The
// service time of a few connections does not know of those that waited to be
// sent.
func TestCoordinatedOmission(t *testing.T) {
	const duration, few = 3 * time.Second, 2
	for name, connections := range map[string]int{"few connections": few, "many connections": 1000} {
		for engine, drive := range engines() {
			t.Run(name+"/"+engine, func(t *testing.T) {
				url, server := startChild(t)
				plan := Plan{URL: url, Metrics: 3, Clients: few, MaxConnections: connections, Rate: 100, Duration: duration}
				tries(t, func() []error {
					r, length := playStopped(t, drive, plan, server)
					return checkStopped(t, r, length, connections == few)
				})
			})
		}
	}
}

// playStopped plays the plan, whose server is stopped for half a second after
// the first, and returns for how long it was.
func playStopped(t *testing.T, drive engine, p Plan, server *os.Process) (*record.Record, time.Duration) {
	t.Helper()
	begun := make(chan struct{}, 1)
	var stopped time.Duration
	var signals sync.WaitGroup
	stop := func() {
		signals.Go(func() {
			<-begun
			time.Sleep(time.Second)
			at := time.Now()
			_ = server.Signal(syscall.SIGSTOP)
			time.Sleep(500 * time.Millisecond)
			_ = server.Signal(syscall.SIGCONT)
			stopped = time.Since(at)
		})
	}
	p.Begun = func(time.Time) { begun <- struct{}{} }
	stop()
	r := playOpen(t, drive, p, func() { signals.Wait(); stop() })
	signals.Wait()
	return r, stopped
}

// checkStopped holds 300 requests against the analytic answer.
func checkStopped(t *testing.T, r *record.Record, length time.Duration, few bool) (errs []error) {
	t.Helper()
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Counts.OK != 300 || r.Counts.Sent != 300 {
		t.Errorf("counts %+v", r.Counts)
	}
	h, err := r.Latency.Histogram()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []float64{90, 95, 99, 99.9} {
		got := time.Duration(h.ValueAtPercentile(p))
		want := length - time.Duration((1-p/100)*float64(3*time.Second))
		// What waited is served at once after the stop, within a while.
		if off := (got - want).Abs(); off > want/50+40*time.Millisecond {
			fail("p%v of the response time is %v, want %v", p, got, want)
		}
	}
	if p50 := time.Duration(r.Latency.P50); p50 > 20*time.Millisecond {
		fail("the median is %v: it has nothing to do with the stop", p50)
	}
	service := time.Duration(r.Service.P99)
	switch {
	case few && service > length/2:
		fail("p99 of the service time is %v: only 2 of 300 requests were sent into the stop of %v", service, length)
	case few && r.Counts.Waited < 40:
		fail("%d requests waited, want the 50 that came due in the stop", r.Counts.Waited)
	case !few && (r.Counts.Waited > 0 || r.Counts.Connects < 35):
		fail("%d requests waited, %d connections: each of the 50 should have had its own", r.Counts.Waited, r.Counts.Connects)
	}
	return errs
}

// TestKnownDelays: the response times are those that the server makes, as it
// sees them itself: constant ones, and one in ten four times as long.
func TestKnownDelays(t *testing.T) {
	for name, delay := range map[string]func(n int64) time.Duration{
		"constant": func(int64) time.Duration { return 10 * time.Millisecond },
		"bimodal": func(n int64) time.Duration {
			if n%10 == 0 {
				return 40 * time.Millisecond
			}
			return 10 * time.Millisecond
		},
	} {
		for engine, drive := range engines() {
			t.Run(name+"/"+engine, func(t *testing.T) {
				var n atomic.Int64
				var mu sync.Mutex
				known := record.NewHistogram()
				url := awkward(t, func(p *peer) {
					for p.request() {
						began := time.Now()
						time.Sleep(delay(n.Add(1)))
						took := time.Since(began)
						p.say(plain)
						mu.Lock()
						_ = known.RecordValue(record.Clamp(int64(took)))
						mu.Unlock()
					}
				})
				forget := func() { mu.Lock(); known.Reset(); mu.Unlock() }
				tries(t, func() (errs []error) {
					forget()
					r := playOpen(t, drive, Plan{URL: url, Metrics: 3, Clients: 20, Rate: 200, Duration: time.Second}, forget)
					got, err := r.Latency.Histogram()
					if err != nil {
						t.Fatal(err)
					}
					mu.Lock()
					defer mu.Unlock()
					for _, p := range []float64{50, 80, 95, 99} {
						want := float64(known.ValueAtPercentile(p))
						is := float64(got.ValueAtPercentile(p))
						// The way there and back, on a machine whose cores are as busy as the
						// send lag tells.
						busy := 2 * float64(r.Client.SendLag.Max)
						if is < want*0.98 || is > want*1.02+float64(5*time.Millisecond)+busy {
							errs = append(errs, fmt.Errorf("p%v is %.2f ms, the server made it %.2f ms", p, is/1e6, want/1e6))
						}
					}
					return errs
				})
			})
		}
	}
}

// TestOpenLoopDoesNotAllocate: between the first and the last answer the epoll
// engine takes no memory.
func TestOpenLoopDoesNotAllocate(t *testing.T) {
	if !rawSupported {
		t.Skip("the net engine allocates")
	}
	const requests, first = 2000, 200 // the buffers have grown by then
	url, _ := startChild(t)
	var before, after runtime.MemStats
	ended := 0
	r := mustRun(t, context.Background(), Plan{URL: url, Metrics: 3, Clients: 4, MaxConnections: 4, Rate: 5000, Requests: requests,
		Ended: func(record.Request) {
			switch ended++; ended {
			case first:
				runtime.ReadMemStats(&before)
			case requests:
				runtime.ReadMemStats(&after)
			}
		}})
	logOpen(t, r)
	// What the process does besides.
	if n := after.Mallocs - before.Mallocs; n > 100 {
		t.Errorf("%d allocations for %d requests", n, requests-first)
	}
}
