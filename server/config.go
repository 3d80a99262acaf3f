package server

import (
	"io"
	"time"
)

// Config is everything that a server is made from. The zero value of a field
// means the default given beside it.
type Config struct {
	Phase  Phase  // for names in answers and logs
	Recipe Recipe // what is built; Phase.Recipe with the overrides applied

	Address string // HOST:PORT to ingest on; default 127.0.0.1:8080, port 0 picks one
	Admin   string // HOST:PORT of the admin listener, 127.0.0.1 without a host; "" turns it off
	DataDir string // created where missing; default ./mslab-data

	RateLimit      int           // requests/s a client; 0 is off
	MaxThreads     int           // threads for connections, default 4,000, cut to half of what the system leaves
	MaxConnections int           // default min(65,536, open-file limit - 100)
	ReadTimeout    time.Duration // from a request's first byte to its last; default 10 s, then 408
	WriteTimeout   time.Duration // default 10 s
	IdleTimeout    time.Duration // of a kept connection between requests; default 60 s

	FaultHooks bool          // allows SinkDelay and POST /clock on the admin listener
	SinkDelay  time.Duration // slept in each file write

	Clock Clock     // default the system's
	Log   io.Writer // one line an event worth an operator's eye; default none
}

// Clock tells the time; tests and fault hooks move it.
type Clock interface {
	Now() time.Time
}

// Counters is what the server counted since it started. Every figure is exact.
type Counters struct {
	MetricsReceived     int64 `json:"metrics_received"`      // metrics of acknowledged batches
	BatchesProcessed    int64 `json:"batches_processed"`     // batches answered 200
	ValidationErrors    int64 `json:"validation_errors"`     // batches answered 400 for what they hold
	RateLimitedRequests int64 `json:"rate_limited_requests"` // answered 429
	RequestsTotal       int64 `json:"requests_total"`        // complete requests of any kind
	OverloadedRequests  int64 `json:"overloaded_requests"`   // answered 503
	ConnectionsAccepted int64 `json:"connections_accepted"`
	ConnectionsRefused  int64 `json:"connections_refused"` // closed at once: thread budget or connection limit
	ConnectionsActive   int64 `json:"connections_active"`
	EventsRecorded      int64 `json:"events_recorded"` // limiter decisions drained from Events
	EventsDropped       int64 `json:"events_dropped"`  // limiter decisions for which Events had no room
	SinkPending         int64 `json:"sink_pending"`    // batches taken and not yet written
	SinkErrors          int64 `json:"sink_errors"`     // batches that could not be written
	SinkWriteNS         int64 `json:"sink_write_ns"`   // time within writes to the file, which are one at a time
	// MutexWaitNS is how long goroutines have waited for locks, added up over
	// them: sync.Mutex, sync.RWMutex and the runtime's own. The runtime measures
	// one wait of eight and multiplies.
	MutexWaitNS int64 `json:"mutex_wait_ns"`
}
