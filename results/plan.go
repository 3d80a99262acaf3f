package results

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"mslab/results/record"
)

// RunSchema is the format of run.json that this version writes.
const RunSchema = "mslab.run/v1"

// Plan is what a run sets out to do. It is data: resolved before the first
// server starts, stored in run.json, and enough to draw the report again.
type Plan struct {
	Scenario string        `json:"scenario"` // its name; also the first half of the folder's name
	About    string        `json:"about,omitempty"`
	Subjects []SubjectPlan `json:"subjects"` // in the order of the tables
	Arms     []ArmPlan     `json:"arms"`
	Seed     int64         `json:"seed"` // of the orders and of the bodies
	// MinEffect is the smallest relative effect that a comparison may call
	// significant, as a fraction (0.01 is 1 %), and MinEffectFrom the words that
	// say where it comes from.
	MinEffect     float64 `json:"min_effect"`
	MinEffectFrom string  `json:"min_effect_from"`
	// Assert are the assertions on the finished run; see ParseAssertion.
	Assert []string `json:"assert,omitempty"`
	// Source is what the plan was made from, in the form of the package that
	// plans, so that an interrupted run can be planned again and finished.
	Source json.RawMessage `json:"source,omitempty"`
}

// SubjectPlan is one subject and what was claimed of it elsewhere.
type SubjectPlan struct {
	record.Subject
	// Claim is the figure that the original's authors gave, in their words;
	// tables print it beside ours, labelled as a claim.
	Claim string `json:"claim,omitempty"`
}

// Title is the subject as tables print it: the phase's number and name, or the
// name alone.
func (s SubjectPlan) Title() string {
	if s.Phase == nil {
		return s.Name
	}
	return fmt.Sprintf("%d %s", *s.Phase, s.Name)
}

// ArmPlan is one way to play the subjects: a set of overrides under one or
// more loads.
type ArmPlan struct {
	Name  string `json:"name"`
	About string `json:"about,omitempty"`
	// Ranked arms are sliced, interleaved and compared. The others show
	// success, tail and waits, and rank nothing.
	Ranked bool `json:"ranked"`
	// Subjects are the names of those that play here; empty means all.
	Subjects []string `json:"subjects,omitempty"`
	// Loads are the variants, each played by every subject in every block. Where
	// there are several, clients, arrival, connection, requests, think time and
	// metrics tell them apart, and a trial's record repeats those.
	Loads []record.Load `json:"loads"`
	// Blocks is how often all subjects play, each time in fresh processes; the
	// least number of times where there is a precision to reach.
	Blocks int `json:"blocks"`
	// PrecisionGoal is the half-width that the 95 % interval of every comparison
	// is to reach, a fraction of its ratio; 0 plays Blocks and no more. BudgetS
	// bounds the seconds that are spent on it, 0 for no bound.
	PrecisionGoal float64 `json:"precision_goal,omitempty"`
	BudgetS       float64 `json:"budget_s,omitempty"`
	// Slices is the number of stretches of load a subject gets in a block; 1 in
	// an arm that is not sliced. SliceS is the length of one in seconds, 0 where
	// the number of requests bounds it.
	Slices int     `json:"slices"`
	SliceS float64 `json:"slice_s,omitempty"`
	// Overrides are stage -> variant, and server flags, set for all subjects.
	Overrides map[string]string `json:"overrides,omitempty"`
	// Faults are the timeline of each trial. An arm that has one is not ranked.
	Faults []record.FaultPlan `json:"faults,omitempty"`
	// Pairs are the comparisons, in the order of the table.
	Pairs []PairPlan `json:"pairs,omitempty"`
}

// PairPlan asks for the comparison of B against A, the one before it.
type PairPlan struct {
	A string `json:"a"`
	B string `json:"b"`
	// CannotShow is the reason why this machine cannot bring out the
	// difference, such as one core for the server under lock contention. A pair
	// that has one is not tested: its verdict is `cannot show here`.
	CannotShow string `json:"cannot_show,omitempty"`
}

// Played is the order in which the slices of one block were played under one
// load: a subject's name a slice.
type Played struct {
	Arm   string   `json:"arm"`
	Block int      `json:"block"` // counted from 1, as in record.Record
	Load  int      `json:"load"`  // index into ArmPlan.Loads
	Order []string `json:"order"`
	TookS float64  `json:"took_s,omitempty"` // seconds, with the starts and stops of the servers
}

// Run is a run folder: the plan, how it went, and the trials.
type Run struct {
	Schema      string              `json:"schema"`
	Tool        record.Tool         `json:"tool"`
	Plan        Plan                `json:"plan"`
	Started     time.Time           `json:"started"`
	Ended       time.Time           `json:"ended,omitzero"`
	Incomplete  bool                `json:"incomplete,omitempty"` // interrupted; what was measured so far
	Environment *record.Environment `json:"environment,omitempty"`
	Order       []Played            `json:"order,omitempty"`
	Notes       []string            `json:"notes,omitempty"` // what the reader of the tables must know
	// Stopped says why the arms with a precision to reach ended.
	Stopped []Stopped `json:"stopped,omitempty"`
	// Predictions were stored before the first trial was played.
	Predictions []Prediction `json:"predictions,omitempty"`
	// Traced are the trials that the probe syscalls played apart from Trials.
	Traced []TracedSyscalls `json:"traced_syscalls,omitempty"`
	// Asserted is what came of the plan's assertions; nil until the run is
	// complete.
	Asserted []Asserted `json:"asserted,omitempty"`

	Dir    string           `json:"-"` // where it was read from
	Trials []*record.Record `json:"-"` // in the order of their names

	ofLoad bool // one load, by RunOf
	joined bool // two runs, by Join
}

// Arm returns the arm called name.
func (p *Plan) Arm(name string) (ArmPlan, bool) {
	for _, a := range p.Arms {
		if a.Name == name {
			return a, true
		}
	}
	return ArmPlan{}, false
}

// Subject returns the subject called name.
func (p *Plan) Subject(name string) (SubjectPlan, bool) {
	for _, s := range p.Subjects {
		if s.Name == name {
			return s, true
		}
	}
	return SubjectPlan{}, false
}

// SubjectsOf returns the subjects of an arm in the order of the plan.
func (p *Plan) SubjectsOf(a ArmPlan) []SubjectPlan {
	if len(a.Subjects) == 0 {
		return p.Subjects
	}
	var out []SubjectPlan
	for _, s := range p.Subjects {
		for _, name := range a.Subjects {
			if s.Name == name {
				out = append(out, s)
				break
			}
		}
	}
	return out
}

// loadKey is what tells the load variants of an arm apart: what was asked for,
// not what came of it.
type loadKey struct {
	clients           int
	arrival           string
	connection        string
	requests          int64
	requestsPerClient int64
	perConnection     int
	thinkNS           int64
	thinkDistribution string
	retry             string
	metrics           int
	clientIDs         int
	hosts             int
	rates             string
}

// keyOf fills in the generator's defaults, so that a plan that leaves them out
// finds the records that name them.
func keyOf(l record.Load) loadKey {
	return loadKey{l.Clients, cmp.Or(l.Arrival, "closed"), cmp.Or(l.Connection, "keep"), l.Requests, l.RequestsPerClient,
		l.RequestsPerConnection, l.ThinkNS, l.ThinkDistribution, l.Retry.Text(), l.Metrics, l.ClientIDs, l.Hosts, ratesText(l)}
}

// Under says whether a trial of an arm was played under the load of an index.
func (a ArmPlan) Under(t *record.Record, load int) bool {
	if len(a.Loads) <= 1 {
		return true
	}
	have, want := keyOf(t.Load), keyOf(a.Loads[load])
	if t.Subject.Request != "" {
		have.metrics = want.metrics // a foreign subject gets a request of its own
	}
	return have == want
}

// ratesText is the rate of an open loop as it was asked for; "" where none was.
func ratesText(l record.Load) string {
	switch l.Arrival {
	case "constant", "poisson":
		return fmt.Sprintf("%g requests/s", l.Rate)
	case "ramp", "steps":
		return fmt.Sprintf("%g requests/s", l.Rates)
	}
	return ""
}

// loadTitle names a variant as tables do: "20 clients, new connections".
func loadTitle(l record.Load) string {
	s := fmt.Sprintf("%d clients", l.Clients)
	switch l.Connection {
	case "new":
		s += ", new connections"
	case "keep":
		s += ", kept connections"
	}
	if l.RequestsPerConnection > 0 {
		s += fmt.Sprintf(" of %d requests", l.RequestsPerConnection)
	}
	if l.Retry != nil {
		s += ", " + l.Retry.Text()
	}
	if l.RequestsPerClient > 0 {
		s += fmt.Sprintf(", %d requests each", l.RequestsPerClient)
	}
	if l.Requests > 0 {
		s += fmt.Sprintf(", %d requests", l.Requests)
	}
	if l.ThinkNS > 0 {
		s += ", " + strings.TrimSpace(l.ThinkDistribution+" think time ") + " " + FormatNS(float64(l.ThinkNS))
	}
	if text := ratesText(l); text != "" {
		s += ", " + l.Arrival + " " + text
	}
	if l.ClientIDs > 0 {
		s += fmt.Sprintf(", %d client ids", l.ClientIDs)
	}
	if l.Hosts > 0 {
		s += fmt.Sprintf(", %d hosts", l.Hosts)
	}
	if l.Metrics > 0 && l.Metrics != 3 {
		s += fmt.Sprintf(", %d metrics a body", l.Metrics)
	}
	return s
}
