package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Phase is a recipe with a number: one step of the optimization's history.
type Phase struct {
	Number  int
	Name    string
	Base    int     // number of the phase that it changes; -1 for the first
	Changes []Stage // the stages in which it differs from its base, and no others
	Recipe  Recipe
	About   string // what changed, one sentence
	Claim   string // the figure that the original's document claims; not ours
	Shows   Shows  // the load that brings out its change
}

// Shows describes the load under which a phase differs from the one before.
// Zero fields leave the load of the scenario as it is.
type Shows struct {
	Why         string
	Clients     int
	Metrics     int           // metrics a body
	SinkDelay   time.Duration // slept in the file write
	RateLimit   int           // requests/s a client: a hot limiter
	SameClient  bool          // all connections are one client to the limiter
	Keep        bool          // clients keep their connections
	ServerCores int           // cores the server needs to show it; 0 is one
}

// Phases lists the phases in their order: the package's table of contents.
// Each is written as its base with the changed stages; a test holds the two
// against each other.
func Phases() []Phase {
	serial := Recipe{
		Listen: "backlog10", Exec: "serial", GOMAXPROCS: auto, GOGC: auto, Conn: "close",
		Parse: "quadratic", Limit: "mutex", Events: "lock", Guard: "none", Sink: "sync", Ack: auto,
	}
	threads := serial
	threads.Exec = "threads"
	async := threads
	async.Sink = "async"
	linear := async
	linear.Parse = "linear"
	mutexPool := linear
	mutexPool.Limit = "shards"
	pool := mutexPool
	pool.Exec, pool.Guard = "pool", "queue"
	ring := pool
	ring.Events = "ring"
	keepalive := ring
	keepalive.Conn, keepalive.Listen = "keep", "backlog1024"

	return []Phase{
		{Number: 0, Name: "serial", Base: -1, Recipe: serial,
			About: "One thread accepts, answers and closes, one connection at a time."},
		{Number: 1, Name: "threads", Base: 0, Changes: []Stage{StageExec}, Recipe: threads,
			About: "An OS thread for each request.",
			Claim: "88 % success at 20 clients",
			Shows: Shows{Why: "large bodies (300 metrics) parsed on several cores at once", Metrics: 300, ServerCores: 2}},
		{Number: 2, Name: "async", Base: 1, Changes: []Stage{StageSink}, Recipe: async,
			About: "The writer leaves the request path: producer and consumer with a queue between.",
			Claim: "66 % success at 50 clients",
			Shows: Shows{Why: "a slow file write (1 ms) is what the request no longer waits for", SinkDelay: time.Millisecond}},
		{Number: 3, Name: "linear-json", Base: 2, Changes: []Stage{StageParse}, Recipe: linear,
			About: "One pass over the body instead of a scan from its start for each access.",
			Claim: "80.2 % success at 100 clients, 2.73 ms",
			Shows: Shows{Why: "the quadratic parser hurts in large bodies only: 300 metrics", Metrics: 300}},
		{Number: 4, Name: "mutex-pool", Base: 3, Changes: []Stage{StageLimit}, Recipe: mutexPool,
			About: "The limiter's lock becomes 64, each over a map of its own.",
			Claim: "less contention",
			Shows: Shows{Why: "a hot limiter, and threads on several cores that meet at its lock", RateLimit: 1000000, Clients: 64, ServerCores: 2}},
		{Number: 5, Name: "pool", Base: 4, Changes: []Stage{StageExec, StageGuard}, Recipe: pool,
			About: "16 worker threads and a bounded queue instead of a thread for each request; 503 beyond the queue.",
			Claim: "100 % success, 0.65 ms",
			Shows: Shows{Why: "a connection for each request is a thread for each request before this"}},
		{Number: 6, Name: "ring", Base: 5, Changes: []Stage{StageEvents}, Recipe: ring,
			About: "The limiter's decision events go through a lock-free ring with many producers.",
			Claim: "overhead of metrics gone",
			Shows: Shows{Why: "a hot limiter, and threads on several cores that note decisions at once", RateLimit: 1000000, Clients: 64, ServerCores: 2}},
		{Number: 7, Name: "keepalive", Base: 6, Changes: []Stage{StageConn, StageListen}, Recipe: keepalive,
			About: "Connections are kept (60 s idle), and the backlog is 1,024 instead of 10.",
			Claim: "2,253 RPS, 100 % success, 0.25 ms at 100 clients",
			Shows: Shows{Why: "clients that keep their connections", Keep: true, Clients: 16}},
	}
}

// FindPhase finds a phase by its number or its name. The error lists those
// there are.
func FindPhase(numberOrName string) (Phase, error) {
	known := make([]string, 0, 8)
	for _, p := range Phases() {
		if numberOrName == strconv.Itoa(p.Number) || numberOrName == p.Name {
			return p, nil
		}
		known = append(known, fmt.Sprintf("%d %s", p.Number, p.Name))
	}
	return Phase{}, fmt.Errorf("find phase %q: no such phase; there are %s", numberOrName, strings.Join(known, ", "))
}
