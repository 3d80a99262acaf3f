package main

import "path/filepath"

// rateLimit is on, so that the limiter works, and above what a client reaches.
const rateLimit = "1000000"

// subject is one server of the comparison.
type subject struct {
	name  string
	about string
	twin  string   // mode of the C twin, or
	serve []string // flags of mslab serve
}

// Names of the subjects that the report's sums refer to.
const (
	cThreads       = "C thread"
	goThreads      = "Go thread"
	goThreadsNoGC  = "Go thread, GC off"
	goThreadsAsWas = "phase 1"
	cPool          = "C pool"
	goPool         = "Go pool"
	goPoolNoGC     = "Go pool, GC off"
)

// subjects lists the servers. The first of each group does the twin's work:
// linear parser, background writer, backlog of 1,024.
func subjects() []subject {
	threads := []string{"--phase", "1", "--listen", "backlog1024", "--parse", "linear", "--sink", "async"}
	pool := []string{"--phase", "5", "--listen", "backlog1024"}
	with := func(flags []string, more ...string) []string { return append(flags[:len(flags):len(flags)], more...) }
	return []subject{
		{name: cThreads, about: "pthread a connection", twin: "threads"},
		{name: goThreads, about: "phase 1 doing the twin's work (linear parser, background writer)", serve: threads},
		{name: goThreadsNoGC, about: "the same, --gogc off", serve: with(threads, "--gogc", "off")},
		{name: "Go thread, 1 P", about: "the same, --gomaxprocs 1", serve: with(threads, "--gomaxprocs", "1")},
		{name: "Go thread, 32 P", about: "the same, --gomaxprocs 32", serve: with(threads, "--gomaxprocs", "32")},
		{name: goThreadsAsWas, about: "phase 1 (quadratic parser, written in the request)", serve: []string{"--phase", "1", "--listen", "backlog1024"}},
		{name: cPool, about: "16 pthreads behind a queue", twin: "pool"},
		{name: goPool, about: "phase 5, which does the twin's work", serve: pool},
		{name: goPoolNoGC, about: "the same, --gogc off", serve: with(pool, "--gogc", "off")},
		{name: "Go pool, 1 P", about: "the same, --gomaxprocs 1", serve: with(pool, "--gomaxprocs", "1")},
		{name: "Go pool, 32 P", about: "the same, --gomaxprocs 32", serve: with(pool, "--gomaxprocs", "32")},
	}
}

// command is the subject's command line; its data goes below folder.
func (s subject) command(p *programs, folder string) []string {
	if s.twin != "" {
		return []string{p.twin, s.twin, "0", filepath.Join(folder, "metrics.jsonl"), rateLimit}
	}
	return append([]string{p.mslab, "serve", "--addr", "127.0.0.1:0", "--admin", "", "--register=false",
		"--rate-limit", rateLimit, "--data", folder}, s.serve...)
}
