package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"mslab/server"
)

type measuredWindow struct {
	LengthNS int64 `json:"length_ns"`
	CPUNS    int64 `json:"cpu_ns"`
	Requests int64 `json:"requests"`
	Batches  int64 `json:"batches"`
}

// fetchWindow asks for a profile and returns the window that comes with it.
func fetchWindow(t *testing.T, url string) (w measuredWindow, status int, body []byte) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return w, 0, nil
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal([]byte(answer.Header.Get("Mslab-Window")), &w); err != nil && answer.StatusCode == http.StatusOK {
		t.Errorf("%s: window %q: %v", url, answer.Header.Get("Mslab-Window"), err)
	}
	return w, answer.StatusCode, body
}

// TestProfilesComeWithTheirWindow holds what each answer says of its window
// against what was asked and sent.
func TestProfilesComeWithTheirWindow(t *testing.T) {
	r := start(t, phaseByName(t, "pool"), nil)
	for _, c := range []struct {
		path string
		want time.Duration
	}{
		{"/window?seconds=0.4", 400 * time.Millisecond},
		{"/debug/pprof/profile?seconds=0.4", 400 * time.Millisecond},
		{"/debug/pprof/mutex?seconds=1", time.Second},
		{"/debug/pprof/block?seconds=1", time.Second},
		{"/debug/pprof/allocs?seconds=1", time.Second},
		{"/debug/pprof/heap?gc=1", 0},
		{"/debug/pprof/goroutine", 0},
	} {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			time.Sleep(c.want / 4)
			if c.want > 0 {
				sendEach(t, r, 1, 4)
			}
		}()
		w, status, body := fetchWindow(t, r.AdminURL()+c.path)
		<-sent
		if status != 200 || len(body) == 0 {
			t.Errorf("%s: status %d, %d bytes", c.path, status, len(body))
		}
		if w.LengthNS < int64(c.want) || w.LengthNS > int64(c.want+2*time.Second) {
			t.Errorf("%s: a window of %v, want %v", c.path, time.Duration(w.LengthNS), c.want)
		}
		if c.want > 0 && (w.Requests != 4 || w.Batches != 2 || w.CPUNS <= 0) {
			t.Errorf("%s: %+v; 4 requests were sent, 2 of them batches", c.path, w)
		}
	}
}

// TestContentionIsNotedOnlyMeanwhile looks at the runtime's own switch.
func TestContentionIsNotedOnlyMeanwhile(t *testing.T) {
	fraction := func() int { return runtime.SetMutexProfileFraction(-1) }
	r := start(t, phaseByName(t, "pool"), nil)
	if got := fraction(); got != 0 {
		t.Fatalf("mutex profile fraction %d before any profile, want 0", got)
	}
	ended := make(chan struct{}, 2)
	for _, seconds := range []string{"1", "4"} { // the first to end leaves it on for the second
		go func() {
			fetchWindow(t, r.AdminURL()+"/debug/pprof/mutex?seconds="+seconds)
			ended <- struct{}{}
		}()
	}
	waitUntil(t, "contention is noted", func() bool { return fraction() == 1 })
	<-ended
	if got := fraction(); got != 1 {
		t.Errorf("mutex profile fraction %d while a second profile is taken, want 1", got)
	}
	<-ended
	if got := fraction(); got != 0 {
		t.Errorf("mutex profile fraction %d afterwards, want 0", got)
	}
	fetchWindow(t, r.AdminURL()+"/debug/pprof/mutex") // of no stretch of time
	if got := fraction(); got != 0 {
		t.Errorf("mutex profile fraction %d after a profile of one moment, want 0", got)
	}
}

// TestStopEndsProfiles stops a server that is being profiled for a minute: it
// stops at once, answers with what was sampled, and leaves nothing switched on.
func TestStopEndsProfiles(t *testing.T) {
	r := start(t, phaseByName(t, "pool"), nil)
	type answer struct {
		window measuredWindow
		status int
	}
	cpu, mutex := make(chan answer, 1), make(chan answer, 1)
	for path, to := range map[string]chan answer{"profile": cpu, "mutex": mutex} {
		go func() {
			w, status, _ := fetchWindow(t, r.AdminURL()+"/debug/pprof/"+path+"?seconds=60")
			to <- answer{w, status}
		}()
	}
	waitUntil(t, "contention is noted", func() bool { return runtime.SetMutexProfileFraction(-1) == 1 })
	// Looked at from the side: asking for a second profile in order to be
	// refused would now and then take the profiler before the first one does.
	waitUntil(t, "the CPU profiler runs", cpuProfilerRuns)
	if _, status, _ := fetchWindow(t, r.AdminURL()+"/debug/pprof/profile?seconds=0.01"); status != http.StatusInternalServerError {
		t.Errorf("status %d for a second CPU profile at a time, want 500", status)
	}
	begun := time.Now()
	r.stop()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if got := <-cpu; got.status != 200 || got.window.LengthNS > int64(30*time.Second) {
		t.Errorf("the CPU profile that was cut short: %+v", got)
	}
	if got := <-mutex; got.status == 200 {
		t.Errorf("half a difference was answered: %+v", got)
	}
	if got := runtime.SetMutexProfileFraction(-1); got != 0 {
		t.Errorf("mutex profile fraction %d after the stop, want 0", got)
	}
	// The profiler is free again.
	other := start(t, phaseByName(t, "pool"), func(c *server.Config) { c.DataDir = t.TempDir() })
	if _, status, _ := fetchWindow(t, other.AdminURL()+"/debug/pprof/profile?seconds=0.05"); status != 200 {
		t.Errorf("status %d for the next profile", status)
	}
}

// cpuProfilerRuns looks for the goroutine that collects the runtime's samples.
func cpuProfilerRuns() bool {
	stacks := make([]byte, 1<<20)
	return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("runtime/pprof.profileWriter("))
}
