// Package record defines what a measurement leaves behind: the JSON document
// of one trial or one `mslab load`, its error classes, its latency histograms
// and the ledger of batches. It is what the generator writes and everything
// else reads, so it depends on nothing that draws or decides.
package record

import (
	"fmt"
	"strings"
	"time"
)

// Schema is the format that this version writes. Readers accept it and every
// older version, and refuse newer ones by name.
const Schema = "mslab.result/v1"

// Record is one trial: one subject under one load, once.
type Record struct {
	Schema      string       `json:"schema"`
	Tool        Tool         `json:"tool"`
	Started     time.Time    `json:"started"`
	Scenario    string       `json:"scenario,omitempty"`
	Arm         string       `json:"arm,omitempty"`
	Block       int          `json:"block,omitempty"`
	Incomplete  bool         `json:"incomplete,omitempty"` // interrupted; what was measured so far
	Subject     Subject      `json:"subject"`
	Load        Load         `json:"load"`
	Counts      Counts       `json:"counts"`
	Success     Success      `json:"success"`
	RPS         RPS          `json:"rps"`
	Latency     Latency      `json:"latency"`
	Service     *Latency     `json:"service_latency,omitempty"`       // where Latency.Kind is "response"
	FirstWait   *Latency     `json:"first_request_latency,omitempty"` // each client's first request
	Series      []Second     `json:"series"`
	Slices      []Slice      `json:"slices,omitempty"`
	Faults      []Fault      `json:"faults,omitempty"` // in the order of the timeline
	Stored      *Stored      `json:"stored,omitempty"` // nil where no ledger was kept
	Server      *Server      `json:"server,omitempty"` // nil where the server could not be read
	Client      Client       `json:"client"`
	Environment *Environment `json:"environment,omitempty"`
	Little      *Little      `json:"littles_law,omitempty"` // nil in records of older versions
	Verdict     Verdict      `json:"verdict"`
	Merged      *Merged      `json:"merged,omitempty"` // of several machines' records; nil in that of one
}

// Tool names the program that measured.
type Tool struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

// Subject is what was measured: a phase, a peer, a command or a URL.
type Subject struct {
	Name    string            `json:"name"`
	Phase   *int              `json:"phase,omitempty"`
	Recipe  map[string]string `json:"recipe,omitempty"` // stage -> variant
	Command []string          `json:"command,omitempty"`
	URL     string            `json:"url,omitempty"`
	Request string            `json:"request,omitempty"` // of a foreign subject or of mslab load, in words: "GET /"
}

// Load is what was offered.
type Load struct {
	Clients           int     `json:"clients"`
	Arrival           string  `json:"arrival"`    // "closed", or how an open loop's requests come due
	Connection        string  `json:"connection"` // "keep" or "new"
	Requests          int64   `json:"requests,omitempty"`
	RequestsPerClient int64   `json:"requests_per_client,omitempty"`
	DurationS         float64 `json:"duration_s"` // measured, warm-up apart
	WarmupS           float64 `json:"warmup_s,omitempty"`
	// RequestsPerConnection is after how many requests a kept connection ended; 0:
	// it did not.
	RequestsPerConnection int    `json:"requests_per_connection,omitempty"`
	ThinkNS               int64  `json:"think_ns,omitempty"`           // the mean, where pauses vary
	ThinkDistribution     string `json:"think_distribution,omitempty"` // "exponential"; "": each pause is the same
	Retry                 *Retry `json:"retry,omitempty"`              // nil: none
	DeadlineNS            int64  `json:"deadline_ns"`
	TimeoutNS             int64  `json:"timeout_ns"`
	Metrics               int    `json:"metrics,omitempty"`    // metrics a body; 0: a body of the user's own
	ClientIDs             int    `json:"client_ids,omitempty"` // names that requests bore in turn; 0: each client its own
	Hosts                 int    `json:"hosts,omitempty"`      // that bodies were of; 0: the original's 100
	Seed                  int64  `json:"seed"`
	SourceAddresses       int    `json:"source_addresses,omitempty"` // distinct 127.0.0.0/8 sources

	// Of an open loop: requests a second as asked for, on average where the rate
	// changes, and those of a ramp or of steps; and how many of them the
	// generator took up within their time. What it took up and could not send,
	// since all connections were busy, is no missed rate: it counts as waited for
	// and in the end as shed.
	Rate           float64   `json:"rate,omitempty"`
	Rates          []float64 `json:"rates,omitempty"`
	AchievedRate   float64   `json:"achieved_rate,omitempty"`
	MaxConnections int       `json:"max_connections,omitempty"`
}

// Retry is which requests were sent again. Each attempt counts as sent.
type Retry struct {
	Max       int     `json:"max"`        // times a request
	BackoffNS int64   `json:"backoff_ns"` // longest pause before the first time; doubled for each further one, and drawn from 0 to that
	On        []Class `json:"on"`
}

// Text is like "up to 3 retries, backoff 100ms, on status_503 read_timeout"; of nil
// it is empty.
func (r *Retry) Text() string {
	if r == nil {
		return ""
	}
	on := make([]string, len(r.On))
	for i, class := range r.On {
		on[i] = string(class)
	}
	times := "retries"
	if r.Max == 1 {
		times = "retry"
	}
	return fmt.Sprintf("up to %d %s, backoff %v, on %s", r.Max, times, time.Duration(r.BackoffNS), strings.Join(on, " "))
}

// Counts account for every request. Sent = OK + Failed + InFlight, and
// OK + Failed = the sum of ByClass.
type Counts struct {
	Sent     int64           `json:"sent"`     // in an open loop: that came due
	Answered int64           `json:"answered"` // an HTTP answer came, whatever its status
	OK       int64           `json:"ok"`
	Failed   int64           `json:"failed"`
	InFlight int64           `json:"in_flight"`
	InDoubt  int64           `json:"in_doubt"` // of Failed: sent, and the server may have done it
	ByClass  map[Class]int64 `json:"by_class"`
	// WithinDeadline counts the OK requests answered within the deadline.
	WithinDeadline int64 `json:"within_deadline"`
	// Connects is the number of connections established.
	Connects int64 `json:"connects"`
	// Starved is the number of clients without a single answer.
	Starved int64 `json:"starved_clients"`
	// Waited is how many requests of an open loop found no free connection when
	// they came due.
	Waited int64 `json:"waited,omitempty"`
	// Retries is how many of Sent were attempts after a request's first, and Exhausted
	// how many requests failed with their last.
	Retries   int64 `json:"retries,omitempty"`
	Exhausted int64 `json:"exhausted,omitempty"`
}

// Success holds the four rates, each a fraction of Sent in [0, 1].
type Success struct {
	Transport float64 `json:"transport"` // an HTTP answer came
	HTTP      float64 `json:"http"`      // a 2xx answer came
	Semantic  float64 `json:"semantic"`  // the answer says that all was stored
	Deadline  float64 `json:"deadline"`  // semantic, and within the deadline
}

// RPS are rates per second of the measured time.
type RPS struct {
	OK    float64 `json:"ok"`
	Total float64 `json:"total"` // every ended request
}

// Latency describes a histogram. Percentiles are of OK requests; ByClass has
// the others.
type Latency struct {
	Unit    string             `json:"unit"` // "ns"
	Kind    string             `json:"kind"` // "service": from the send (or connect) to the answer; "response": from the intended start
	Count   int64              `json:"count"`
	Mean    float64            `json:"mean"`
	P50     int64              `json:"p50"`
	P90     int64              `json:"p90"`
	P99     int64              `json:"p99"`
	P999    int64              `json:"p999"`
	Max     int64              `json:"max"`
	HDR     string             `json:"hdr"` // base64 of the V2 compressed encoding
	ByClass map[Class]*Latency `json:"by_class,omitempty"`
}

// Second is one second of the series; T counts from the start of the measured
// time, and requests belong to the second in which they ended.
type Second struct {
	T      int   `json:"t_s"`
	OK     int64 `json:"ok"`
	Failed int64 `json:"failed"`
	P50    int64 `json:"p50"` // ns
	P99    int64 `json:"p99"` // ns
}

// Slice is a stretch of a trial's load, the unit of interleaving.
type Slice struct {
	Order         int     `json:"order"`      // position among all slices of its block
	OffsetS       float64 `json:"offset_s"`   // since the start of the run
	DurationS     float64 `json:"duration_s"` // from the first send to the last answer
	Sent          int64   `json:"sent"`
	OK            int64   `json:"ok"`
	CPUPerRequest float64 `json:"cpu_ns_per_request"` // of the server, per OK request
	RPSOK         float64 `json:"rps_ok"`
	P50           int64   `json:"p50"`
	P99           int64   `json:"p99"`
	CalibrationNS float64 `json:"calibration_ns"` // a fixed piece of socket work timed just before
}

// Server is what the kernel and the server say of the measured process.
type Server struct {
	CPUPerRequest   float64          `json:"cpu_ns_per_request"`
	CPUNS           int64            `json:"cpu_ns"`
	UserNS          int64            `json:"user_ns"`   // at the kernel's tick
	SystemNS        int64            `json:"system_ns"` // at the kernel's tick
	RSSMax          int64            `json:"rss_max_bytes"`
	RSSIdle         int64            `json:"rss_idle_bytes"`
	ThreadsMax      int64            `json:"threads_max"`
	CtxSwitches     CtxSwitches      `json:"ctx_switches"`
	ListenDrops     int64            `json:"listen_drops"`
	ListenOverflows int64            `json:"listen_overflows"`
	SynRetransmits  int64            `json:"syn_retransmits"`
	Counters        map[string]int64 `json:"counters"` // differences over the measured stretch
	// Unknown lists what could not be read of a foreign server; see the Unknown
	// constants. Its figures are left out of the JSON.
	Unknown []string `json:"unknown,omitempty"`
}

// CtxSwitches are context switches, summed over the threads that were alive at
// the readings and those that had ended.
type CtxSwitches struct {
	Voluntary   int64 `json:"voluntary"`
	Involuntary int64 `json:"involuntary"`
}

// Client is what the generator says of itself.
type Client struct {
	CPUPerRequest float64 `json:"cpu_ns_per_request"`
	GCPauses      int64   `json:"gc_pauses"`
	SchedLagP99   int64   `json:"sched_lag_ns_p99"`
	// SendLag is how long after it was due a request was sent, or began to wait
	// for a connection: the generator's own part of the response times. Nil in a
	// closed loop.
	SendLag *SendLag `json:"send_lag,omitempty"`
	// SpinPerRequest is the time an open loop's thread span to be in time, and
	// part of CPUPerRequest.
	SpinPerRequest float64 `json:"spin_ns_per_request,omitempty"`
}

// SendLag holds lags in ns.
type SendLag struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// Environment is what a figure depends on besides code.
type Environment struct {
	Kernel        string            `json:"kernel"`
	CPU           string            `json:"cpu"`
	Cores         int               `json:"cores"`
	Pinning       string            `json:"pinning"`
	Sandbox       string            `json:"sandbox"`
	Sysctls       map[string]string `json:"sysctls"`
	Go            string            `json:"go"`
	GOMAXPROCS    int               `json:"gomaxprocs"`
	Governor      string            `json:"governor"`
	Cgroup        string            `json:"cgroup"`
	Lockdown      string            `json:"lockdown"`
	CalibrationNS float64           `json:"calibration_ns"`
	Steal         float64           `json:"steal"` // share of the cores that other virtual machines took under load, in [0, 1]
}

// Verdict says what a trial may be used for.
type Verdict struct {
	Valid      bool     `json:"valid"`
	Comparable bool     `json:"comparable"`
	Reasons    []string `json:"reasons"`
	// Bottleneck is one of Bottlenecks, "" where nobody has looked for it.
	Bottleneck string `json:"bottleneck"`
	// Evidence is what the bottleneck was told by, one phrase with figures, such
	// as "server CPU 99 % of 1 core for 2.0 s".
	Evidence string `json:"evidence,omitempty"`
}

// The resources that can bind a trial.
const (
	ServerCPU       = "server CPU"
	GeneratorCPU    = "generator CPU"
	AcceptQueue     = "accept queue"
	LockWait        = "lock"
	Disk            = "disk"
	RateLimiter     = "rate limiter"
	UnknownResource = "unknown"
)

// Bottlenecks are the values of Verdict.Bottleneck.
var Bottlenecks = []string{ServerCPU, GeneratorCPU, AcceptQueue, LockWait, Disk, RateLimiter, UnknownResource}
