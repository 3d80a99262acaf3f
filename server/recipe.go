package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Stage is one decision of a recipe.
type Stage string

// The stages in the order in which a request meets them.
const (
	StageListen     Stage = "listen"
	StageExec       Stage = "exec"
	StageGOMAXPROCS Stage = "gomaxprocs"
	StageGOGC       Stage = "gogc"
	StageConn       Stage = "conn"
	StageParse      Stage = "parse"
	StageLimit      Stage = "limiter"
	StageEvents     Stage = "events"
	StageGuard      Stage = "guard"
	StageSink       Stage = "sink"
	StageAck        Stage = "ack"
)

// auto as the value of gomaxprocs and gogc leaves the choice to Exec and Conn
// (Recipe.Processors) and to the Go runtime. As the value of ack it is what the
// Sink gives by itself (Recipe.AckLevel).
const auto = "auto"

// Recipe picks one variant for each stage. It is data: it can be printed,
// compared and overridden stage by stage before a server is made of it.
type Recipe struct {
	Listen, Exec, GOMAXPROCS, GOGC, Conn, Parse, Limit, Events, Guard, Sink, Ack string
}

// Variant is one way to decide a stage.
type Variant struct {
	Name  string
	About string
	// Source is the file of this package that implements it.
	Source string
}

// StageInfo describes a stage and its variants.
type StageInfo struct {
	Stage    Stage
	About    string
	Variants []Variant // empty where the value is a number
	// Planned names variants that are designed and not built yet.
	Planned []string
}

// Stages lists every stage. Adding a variant is a file and a line here.
func Stages() []StageInfo {
	return []StageInfo{
		{StageListen, "the accept queue's backlog and who shares the port", []Variant{
			{"backlog10", "listen(2) with a backlog of 10, as the original had it", "listen_linux.go"},
			{"backlog1024", "listen(2) with a backlog of 1,024", "listen_linux.go"},
		}, []string{"percore"}},
		{StageExec, "who reads and who works", []Variant{
			{"serial", "the accepting thread answers, one connection at a time", "exec_serial_linux.go"},
			{"threads", "an OS thread for each connection", "exec_threads_linux.go"},
			{"pool", "16 worker threads take connections from a queue", "exec_pool_linux.go"},
		}, []string{"epoll", "epoll-percore", "uring"}},
		{StageGOMAXPROCS, "how many threads may run Go code at once", nil, nil},
		{StageGOGC, "the garbage collector's pace", nil, nil},
		{StageConn, "how long a connection lives", []Variant{
			{"close", "one request, then the server closes", "conn_linux.go"},
			{"keep", "kept until the client closes or it idles out", "conn_linux.go"},
		}, nil},
		{StageParse, "bytes to batch", []Variant{
			{"quadratic", "each access scans the body from its start", "parse_quadratic.go"},
			{"linear", "one pass over the body", "parse_linear.go"},
		}, []string{"zeroalloc"}},
		{StageLimit, "admission of each client", []Variant{
			{"mutex", "one lock over one map of sliding windows", "limiter_mutex.go"},
			{"shards", "64 locks, each over a map of its own", "limiter_shards.go"},
		}, []string{"cas"}},
		{StageEvents, "where the limiter's decisions are noted", []Variant{
			{"lock", "a slice under a lock", "events_lock.go"},
			{"ring", "a lock-free ring with many producers", "events_ring.go"},
		}, nil},
		{StageGuard, "what bounds the work taken in", []Variant{
			{"none", "nothing but the kernel's own queues", "guard.go"},
			{"queue", "at most 10,000 waiting, 503 beyond", "guard.go"},
		}, nil},
		{StageSink, "where a batch goes", []Variant{
			{"sync", "the request writes its lines to the file", "sink_sync.go"},
			{"async", "a writer thread takes them from a queue", "sink_async.go"},
		}, []string{"log"}},
		{StageAck, "when a batch is acknowledged", []Variant{
			{"memory", "once it is queued in memory", "sink_async.go"},
			{"written", "once write(2) has returned", "sink_file.go"},
		}, []string{"durable"}},
	}
}

func stageInfo(stage Stage) StageInfo {
	for _, info := range Stages() {
		if info.Stage == stage {
			return info
		}
	}
	return StageInfo{}
}

// Source is the file of this package that implements a stage's variant, "" for
// a number.
func Source(stage Stage, variant string) string {
	for _, v := range stageInfo(stage).Variants {
		if v.Name == variant {
			return v.Source
		}
	}
	return ""
}

func (r *Recipe) field(stage Stage) *string {
	switch stage {
	case StageListen:
		return &r.Listen
	case StageExec:
		return &r.Exec
	case StageGOMAXPROCS:
		return &r.GOMAXPROCS
	case StageGOGC:
		return &r.GOGC
	case StageConn:
		return &r.Conn
	case StageParse:
		return &r.Parse
	case StageLimit:
		return &r.Limit
	case StageEvents:
		return &r.Events
	case StageGuard:
		return &r.Guard
	case StageSink:
		return &r.Sink
	case StageAck:
		return &r.Ack
	}
	return nil
}

// Get is the variant that the recipe picks for a stage, "" for an unknown one.
func (r Recipe) Get(stage Stage) string {
	if f := r.field(stage); f != nil {
		return *f
	}
	return ""
}

// With is the recipe with one stage overridden. The error names the values that
// the stage takes.
func (r Recipe) With(stage Stage, value string) (Recipe, error) {
	f := r.field(stage)
	if f == nil {
		return r, fmt.Errorf("override stage %q: no such stage", stage)
	}
	if err := checkVariant(stage, value); err != nil {
		return r, err
	}
	*f = value
	return r, nil
}

func checkVariant(stage Stage, value string) error {
	info := stageInfo(stage)
	switch stage {
	case StageGOMAXPROCS:
		if n, err := strconv.Atoi(value); value == auto || err == nil && n >= 1 && n <= 1024 {
			return nil
		}
		return fmt.Errorf("--gomaxprocs %s: want a number from 1 to 1024, or auto", value)
	case StageGOGC:
		if n, err := strconv.Atoi(value); value == auto || value == "off" || err == nil && n >= 1 && n <= 100000 {
			return nil
		}
		return fmt.Errorf("--gogc %s: want a percentage from 1 to 100000, off, or auto", value)
	case StageAck:
		if value == auto {
			return nil
		}
	}
	names := make([]string, 0, len(info.Variants))
	for _, v := range info.Variants {
		if v.Name == value {
			return nil
		}
		names = append(names, v.Name)
	}
	if slices.Contains(info.Planned, value) {
		return fmt.Errorf("--%s %s: designed, but not built in this version; it has %s", stage, value, strings.Join(names, ", "))
	}
	return fmt.Errorf("--%s %s: no such variant; want %s", stage, value, strings.Join(names, ", "))
}

// Check refuses values that no stage has and combinations that have no meaning.
func (r Recipe) Check() error {
	for _, info := range Stages() {
		if err := checkVariant(info.Stage, r.Get(info.Stage)); err != nil {
			return err
		}
	}
	if r.Sink == "sync" && r.Ack == "memory" {
		return fmt.Errorf("--sink sync with --ack memory has no meaning: a synchronous sink has written before it acknowledges; use --ack written or --sink async")
	}
	return nil
}

// Diff lists the stages in which two recipes differ, in the order of Stages.
func (r Recipe) Diff(other Recipe) []Stage {
	var differ []Stage
	for _, info := range Stages() {
		if r.Get(info.Stage) != other.Get(info.Stage) {
			differ = append(differ, info.Stage)
		}
	}
	return differ
}

// Settled is what the recipe comes to for a stage: Get, but where that leaves
// the choice to other stages, what follows from them.
func (r Recipe) Settled(stage Stage) string {
	switch stage {
	case StageGOMAXPROCS:
		return strconv.Itoa(r.Processors())
	case StageAck:
		return r.AckLevel()
	default:
		return r.Get(stage)
	}
}

// AckLevel is when the recipe's Sink acknowledges: memory or written.
func (r Recipe) AckLevel() string {
	switch {
	case r.Ack != auto:
		return r.Ack
	case r.Sink == "async":
		return "memory"
	default:
		return "written"
	}
}

// Processors is the number of Ps (GOMAXPROCS) that suits the recipe. Threads
// that block while they hold a kept connection want a P each, or the Go
// scheduler decides who runs (p99 of 65 ms at 2 Ps, 0.6 ms at 32, with 16
// workers); a connection for each request wants few (p99 of 2 ms at 2 Ps, 20 ms
// at 32).
func (r Recipe) Processors() int {
	if n, err := strconv.Atoi(r.GOMAXPROCS); err == nil {
		return n
	}
	if r.Conn == "keep" && r.Exec != "serial" {
		return 32
	}
	return 2
}

// GCPercent is the recipe's garbage-collection percentage for
// debug.SetGCPercent: -1 is off, and ok is false where the runtime's own choice
// stands.
func (r Recipe) GCPercent() (percent int, ok bool) {
	if r.GOGC == "off" {
		return -1, true
	}
	n, err := strconv.Atoi(r.GOGC)
	return n, err == nil
}
