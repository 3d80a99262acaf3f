package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/pprof"
	"runtime"
	runtimepprof "runtime/pprof"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// What is noted of contention while such a profile is being taken. Outside of
// that both are off and cost nothing.
const (
	mutexFraction = 1                     // each unlock that others waited for
	blockRate     = 10 * time.Microsecond // each wait from this on; shorter ones in proportion to their length
)

// windowHeader tells, with each profile, what the server did while it was
// taken. Only the server can read this at the very moments at which a profile
// begins and ends.
const windowHeader = "Mslab-Window"

// profileWindow is what the server did between two moments.
type profileWindow struct {
	LengthNS int64 `json:"length_ns"`
	CPUNS    int64 `json:"cpu_ns"`   // user and system time of all threads, ended ones included
	Requests int64 `json:"requests"` // complete requests of any kind
	Batches  int64 `json:"batches"`  // batches answered 200
}

// windowStart is the first of the two moments.
type windowStart struct {
	at                time.Time
	cpu               time.Duration
	requests, batches int64
}

func (s *Server) beginWindow() windowStart {
	return windowStart{time.Now(), processCPU(), s.counters.requests.Load(), s.counters.batchesProcessed.Load()}
}

func (s *Server) endWindow(start windowStart) profileWindow {
	return profileWindow{
		LengthNS: int64(time.Since(start.at)),
		CPUNS:    int64(processCPU() - start.cpu),
		Requests: s.counters.requests.Load() - start.requests,
		Batches:  s.counters.batchesProcessed.Load() - start.batches,
	}
}

// processCPU is the user and system time of this process; the kernel makes the
// two sum up to the exact time that its threads ran, to 1 µs.
func processCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // it fails for a wrong argument only
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// profiles answers for the profiles on the admin listener as net/http/pprof
// does, and adds the window to each.
type profiles struct {
	server     *Server
	contention contention
}

func (p *profiles) addRoutes(routes *http.ServeMux) {
	routes.HandleFunc("/debug/pprof/", p.windowed(pprof.Index))
	routes.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	routes.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	routes.HandleFunc("/debug/pprof/trace", pprof.Trace)
	routes.HandleFunc("/debug/pprof/profile", p.cpu)
	routes.HandleFunc("/debug/pprof/mutex", p.windowed(p.contention.whileTaken(contentionMutex, pprof.Handler("mutex").ServeHTTP)))
	routes.HandleFunc("/debug/pprof/block", p.windowed(p.contention.whileTaken(contentionBlock, pprof.Handler("block").ServeHTTP)))
	routes.HandleFunc("GET /window", p.window)
}

// cpu is pprof.Profile with a window that begins and ends with the sampling.
// A request that is given up, or a server that stops, ends it early; what was
// sampled until then is answered.
func (p *profiles) cpu(w http.ResponseWriter, r *http.Request) {
	length := secondsOf(r, 30*time.Second)
	var profile bytes.Buffer
	if err := runtimepprof.StartCPUProfile(&profile); err != nil {
		w.Header().Set("X-Go-Pprof", "1")
		writeAnswer(w, http.StatusInternalServerError, "text/plain; charset=utf-8",
			fmt.Appendf(nil, "Could not enable CPU profiling: %s\n", err))
		return
	}
	start := p.server.beginWindow()
	sleep(r.Context(), length)
	sampled := p.server.endWindow(start)
	runtimepprof.StopCPUProfile()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Disposition", `attachment; filename="profile"`)
	tellWindow(w, sampled)
	writeAnswer(w, http.StatusOK, "application/octet-stream", profile.Bytes())
}

// window watches for ?seconds= without taking a profile: what the server costs
// when nothing looks inside.
func (p *profiles) window(w http.ResponseWriter, r *http.Request) {
	start := p.server.beginWindow()
	sleep(r.Context(), secondsOf(r, time.Second))
	watched := p.server.endWindow(start)
	tellWindow(w, watched)
	body, err := json.Marshal(watched)
	if err != nil {
		writeAnswer(w, http.StatusInternalServerError, "application/json", appendProblem(nil, err.Error()))
		return
	}
	writeAnswer(w, http.StatusOK, "application/json", append(body, '\n'))
}

// secondsOf reads ?seconds=, which need not be whole.
func secondsOf(r *http.Request, fallback time.Duration) time.Duration {
	seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64)
	if err != nil || !(seconds > 0) || seconds > math.MaxInt64/1e9 {
		return fallback
	}
	return time.Duration(seconds * 1e9)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func tellWindow(w http.ResponseWriter, what profileWindow) {
	if text, err := json.Marshal(what); err == nil {
		w.Header().Set(windowHeader, string(text))
	}
}

// windowed adds the window of a handler, which ends with its first byte.
func (p *profiles) windowed(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		handle(&windowWriter{ResponseWriter: w, server: p.server, start: p.server.beginWindow()}, r)
	}
}

type windowWriter struct {
	http.ResponseWriter
	server *Server
	start  windowStart
	told   bool
}

func (w *windowWriter) tell() {
	if !w.told {
		w.told = true
		tellWindow(w.ResponseWriter, w.server.endWindow(w.start))
	}
}

func (w *windowWriter) WriteHeader(status int) {
	w.tell()
	w.ResponseWriter.WriteHeader(status)
}

func (w *windowWriter) Write(data []byte) (int, error) {
	w.tell()
	return w.ResponseWriter.Write(data)
}

// contention switches the runtime's notes about waits on while at least one
// profile of them is being taken.
type contention struct {
	mu     sync.Mutex
	takers [contentionKinds]int
}

type contentionKind int

const (
	contentionMutex contentionKind = iota
	contentionBlock
	contentionKinds
)

// whileTaken notes contention for the length of a request for a stretch of
// time; one without ?seconds= asks for what was noted before.
func (c *contention) whileTaken(kind contentionKind, handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("seconds") != "" {
			c.take(kind, 1)
			defer c.take(kind, -1)
		}
		handle(w, r)
	}
}

func (c *contention) take(kind contentionKind, takers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takers[kind] += takers
	on := c.takers[kind] > 0
	switch {
	case kind == contentionMutex && on:
		runtime.SetMutexProfileFraction(mutexFraction)
	case kind == contentionMutex:
		runtime.SetMutexProfileFraction(0)
	case on:
		runtime.SetBlockProfileRate(int(blockRate))
	default:
		runtime.SetBlockProfileRate(0)
	}
}
