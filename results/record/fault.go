package record

import "time"

// FaultPlan is a fault as it is planned: what, and when. Times are seconds since
// the measured time began, as in the series.
type FaultPlan struct {
	Name    string            `json:"name"`
	Options map[string]string `json:"options,omitempty"`
	AtS     float64           `json:"at_s"`
	ForS    float64           `json:"for_s"`
}

// Fault is a fault of a trial: when it took effect and was undone, the proof
// that it did, and what the clients felt of it. What did not happen within the
// trial is nil.
type Fault struct {
	FaultPlan
	// InjectedS and HealedS are in seconds since the measured time began, to the
	// ns: the moments at which the fault took effect and was undone.
	InjectedS *float64 `json:"injected_at_s,omitempty"`
	HealedS   *float64 `json:"healed_at_s,omitempty"`
	// Verified says that the fault was seen to bite, Evidence by what, Via by
	// which means it was injected and Verdict the evidence for programs.
	Verified bool           `json:"verified"`
	Evidence string         `json:"evidence,omitempty"`
	Via      string         `json:"via,omitempty"`
	Verdict  map[string]any `json:"verdict,omitempty"`
	// Error is why it could not be injected or undone.
	Error string `json:"error,omitempty"`
	// Effect is what all requests felt of it, ByConnection those that went out on
	// a kept connection (key "keep") and those that had to connect (key "new"):
	// the first wait for TCP's retransmission timer, the others for their SYN's.
	Effect       *FaultEffect           `json:"effect,omitempty"`
	ByConnection map[string]FaultEffect `json:"by_connection,omitempty"`
}

// FaultEffect is what clients felt of a fault. A request misses when it fails
// or is answered after the deadline.
type FaultEffect struct {
	// LevelBefore is the share of the requests before the fault that met the
	// deadline, in the worst second; nil where there were none. GapS is the longest
	// time between two sends in the last second before the fault.
	LevelBefore *float64 `json:"level_before,omitempty"`
	GapS        float64  `json:"request_gap_s"`
	// FirstMissS is when the first request was sent that missed because of the
	// fault, in seconds since the measured time began.
	FirstMissS *float64 `json:"first_miss_sent_s,omitempty"`
	// DetectS is the time from the injection until a client knows of the first
	// miss: it has failed, or its deadline has passed.
	DetectS *float64 `json:"detect_s,omitempty"`
	// RecoverS is the time from the healing until the first request is answered
	// within its deadline, SteadyS until no request that the fault caught is in
	// flight any more and those sent from then on meet the deadline as before the
	// fault: in each second at least LevelBefore of them, for 0.5 s or longer.
	RecoverS *float64 `json:"recover_s,omitempty"`
	SteadyS  *float64 `json:"steady_s,omitempty"`
	// During are the requests that were in flight at any moment of the fault,
	// After those sent from its healing on, up to the next fault.
	During FaultCounts `json:"during"`
	After  FaultCounts `json:"after"`
}

// FaultCounts account for requests: Sent = OK + Late + the sum of Failed.
type FaultCounts struct {
	Sent   int64           `json:"sent"`
	OK     int64           `json:"ok"`   // within the deadline
	Late   int64           `json:"late"` // ok, and after the deadline
	Failed map[Class]int64 `json:"failed,omitempty"`
}

// FailedSum is the number of failed requests, whatever their class.
func (c FaultCounts) FailedSum() int64 {
	var sum int64
	for _, n := range c.Failed {
		sum += n
	}
	return sum
}

// Stored is what became of the batches of a trial: its ledger held against the
// server's data, as `mslab log verify` does it. Acknowledged = Stored + Lost.
type Stored struct {
	Acknowledged int64 `json:"acknowledged"`
	Stored       int64 `json:"stored"`
	Lost         int64 `json:"lost"`
	Duplicated   int64 `json:"duplicated"`
	Unknown      int64 `json:"unknown"` // stored, and nobody acknowledged them
}

// Request is one request as its client saw it. Times are since the measured
// time began; one that was due at that moment may have been sent just before.
type Request struct {
	Sent, Ended time.Duration
	Class       Class
	Kept        bool // it went out on a connection that had served another request
}
