// Package loadgen offers load to an HTTP server on a schedule and accounts for
// every request: sent = ok + failed + in flight, always.
package loadgen

import (
	"io"
	"net/http"
	"time"

	"mslab/results/record"
)

// Plan is one load. The zero value of a field means its default where one is
// given.
type Plan struct {
	URL    string      // http://HOST:PORT/PATH
	Method string      // default GET, or POST with a body
	Header http.Header // further fields; Host is taken from here when present
	// Body is sent as it is. Nil with Metrics > 0 means bodies of the seed's
	// shape, made from Seed.
	Body    []byte
	Metrics int // metrics a body
	// ClientIDs, where not 0, is how many clients the requests name in turn in their
	// Authorization field, whichever connection takes them; up to MaxClientIDs. 0: each
	// of Clients names itself.
	ClientIDs int
	Hosts     int // that bodies of the seed's shape are drawn from, up to MaxHosts; default 100

	// Clients is the number of concurrent clients, default 10; in an open loop
	// that of the names that requests bear, and of the connections to start with.
	Clients int
	// Exactly one of these bounds the load. An open loop has no
	// RequestsPerClient, and a replay may be bounded by its own end.
	Requests          int64
	RequestsPerClient int64
	Duration          time.Duration

	Connection Connection // default Keep
	// RequestsPerConnection, where not 0, is after how many requests a kept
	// connection ends: the last one asks the server to close it.
	RequestsPerConnection int
	Think                 time.Duration // pause between an answer and the next request, kept to 0.2 ms
	ThinkDistribution     Distribution  // of Think, which is the mean; default ConstantThink
	Deadline              time.Duration // only classifies; default 250 ms
	Timeout               time.Duration // ends a request; default 5 s
	Warmup                time.Duration // load before the measured time, counted apart
	Retry                 Retry         // of requests that failed; default none
	Seed                  int64

	// SpreadSources makes new connections to 127.0.0.0/8 come from many
	// loopback addresses, so that ports do not run out.
	SpreadSources bool

	// With a rate, or times to replay, the load is an open loop: its requests
	// come due on a schedule, whatever the server does. One that is due takes an
	// idle connection or opens one, and waits where MaxConnections, default the
	// larger of Clients and 1,000, are busy. Timeout runs from when it was due.
	Rate           float64         // requests a second, for Constant and Poisson
	Arrival        Arrival         // default Constant
	Rates          []float64       // requests a second, for Ramp (two) and Steps
	Replay         []time.Duration // since the start of the measured time, for Replay
	MaxConnections int

	// Ledger, where not nil, gets one JSON line a batch, and requests carry
	// X-Correlation-ID, as they do where they may be sent again.
	Ledger io.Writer
	// Progress, where not nil, is called from one goroutine every ProgressEvery:
	// 10 ms or more, default DefaultProgressEvery, kept to 10 ms. A call is left
	// out while the one before it has not returned.
	Progress      func(Progress)
	ProgressEvery time.Duration
	// Started, where not nil, is called once just before the measured time
	// begins and Drained once when nothing is in flight any more, before Run
	// returns. No request is started while they run; answers to requests of
	// the warm-up may wait for Started to return. An interruption during the
	// warm-up calls neither.
	Started, Drained func()
	// Begun, where not nil, is called right after Started with the moment from
	// which the measured time counts, and so do the requests that Ended is told
	// of. It is part of that time: it must return at once.
	Begun func(time.Time)
	// Ended, where not nil, is called with each request of the measured time
	// that has ended, one at a time and in that order. The load waits for it.
	Ended func(record.Request)
}

// Distribution says how a client's pauses vary.
type Distribution string

const (
	ConstantThink    Distribution = "constant"
	ExponentialThink Distribution = "exponential" // independent of each other, and at most 37 times the mean
)

// Connection says how long a client keeps its connection.
type Connection string

const (
	Keep Connection = "keep" // one connection a client, reopened when the server closes it
	New  Connection = "new"  // one connection a request
)
