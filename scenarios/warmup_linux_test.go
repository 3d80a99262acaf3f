package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mslab/results/record"
)

const (
	roleWarmer = "warmer"            // a server whose requests change their price
	warmerEnv  = "MSLAB_TEST_WARMER" // how
)

// prices are the factors of a request's cost by the time since the first one.
var prices = map[string]func(since time.Duration) float64{
	"steady": func(time.Duration) float64 { return 1 },
	"falls":  func(since time.Duration) float64 { return 1 + 8*math.Exp(-since.Seconds()/0.4) }, // as an optimizing virtual machine's
	"rises":  func(since time.Duration) float64 { return math.Pow(1.5, since.Seconds()/0.3) },
}

// warmerRole serves as mslab does, as far as the runner asks, and spends 50 µs
// of CPU on a request at factor 1.
func warmerRole(how string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var processed, first atomic.Int64
	ingest := func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().UnixNano()
		first.CompareAndSwap(0, now)
		_, _ = io.Copy(io.Discard, r.Body)
		burn(time.Duration(prices[how](time.Duration(now-first.Load())) * 5e4))
		processed.Add(1)
		_, _ = io.WriteString(w, `{"success":true,"metrics_processed":3}`)
	}
	admin := func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]int64{"batches_processed": processed.Load(), "sink_pending": 0})
	}
	var all sync.WaitGroup
	for i, handler := range []http.HandlerFunc{ingest, admin} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		server := &http.Server{Handler: handler}
		all.Go(func() { _ = server.Serve(listener) })
		context.AfterFunc(ctx, func() { _ = server.Close() })
		fmt.Printf("%s http://%s\n", []string{"listening", "admin"}[i], listener.Addr())
	}
	all.Wait()
	return 0
}

// burn uses up CPU time, not time, so that a busy machine changes nothing.
func burn(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	clock := func() int64 {
		var ts unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
		return ts.Nano()
	}
	for begin := clock(); clock()-begin < int64(d); {
	}
}

// TestWarmupLastsAsLongAsItMust warms servers that are steady, that take longer
// than the scenario's warm-up, and that never come to rest.
func TestWarmupLastsAsLongAsItMust(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(roleEnv, roleWarmer)
	cases := []warmupCase{
		// A machine with others on it may take a second look.
		{"steady", 300 * time.Millisecond, 900 * time.Millisecond, ""},
		{"falls", 900 * time.Millisecond, longestWarmup, ""},
		{"rises", longestWarmup, longestWarmup, "no steady state after a warm-up of 3s: within the last part of it a request's cost went from "},
	}
	for _, c := range cases {
		t.Run(c.how, func(t *testing.T) {
			t.Setenv(warmerEnv, c.how)
			// One look at a server on a machine with others on it may miss what is
			// there; a runner that does not look misses it each time.
			var amiss []string
			for range 3 {
				if amiss = c.check(warmed(t, exe)); len(amiss) == 0 {
					return
				}
			}
			t.Error(strings.Join(amiss, "; "))
		})
	}
}

// warmupCase is a server and the warm-up that it wants.
type warmupCase struct {
	how      string
	from, to time.Duration
	unrest   string
}

// check says what is amiss with a trial; of a server that others took the core
// from, only what holds anywhere.
func (c warmupCase) check(trial *record.Record, alone bool) (amiss []string) {
	from, to := c.from, c.to
	if !alone {
		from, to = 300*time.Millisecond, longestWarmup
	}
	if got := time.Duration(trial.Load.WarmupS * 1e9).Round(time.Millisecond); got < from || got > to {
		amiss = append(amiss, fmt.Sprintf("warmed for %v, want %v to %v", got, from, to))
	}
	if !alone {
		return amiss
	}
	why := strings.Join(trial.Verdict.Reasons, "; ")
	if told := strings.Contains(why, "no steady state"); !trial.Verdict.Valid || told != (c.unrest != "") || !strings.Contains(why, c.unrest) {
		amiss = append(amiss, fmt.Sprintf("verdict %+v, want %q", trial.Verdict, c.unrest))
	}
	if c.unrest != "" && trial.Verdict.Comparable {
		amiss = append(amiss, "rates of a server that does not come to rest are comparable")
	}
	return amiss
}

// warmed plays one block of one slice and returns its trial, and whether the
// machine left the server most of a core for it, in one of a few tries.
func warmed(t *testing.T, exe string) (trial *record.Record, alone bool) {
	t.Helper()
	load := defaultLoad()
	load.Clients, load.Connection = []int{8}, "keep"
	var share float64
	var err error
	for range 5 {
		r, cells := startCells(t, exe, Arm{Overrides: map[string]string{}, Load: load, Slices: 1, Blocks: 1}, "3")
		arm := &r.plan.arms[0]
		if _, err := r.slices(t.Context(), arm, cells, []int{0}, arm.loads[0], 1); err != nil {
			t.Fatal(err)
		}
		if trial, err = record.Merge(cells[0].parts...); err != nil {
			t.Fatal(err)
		}
		r.complete(trial, arm, cells[0])
		if share = float64(trial.Server.CPUNS) / 1e9 / trial.Slices[0].DurationS; share > 0.9 {
			return trial, true
		}
	}
	t.Logf("others leave this server %.0f %% of a core", 100*share)
	return trial, false
}
