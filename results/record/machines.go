package record

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Merged says of which records of several machines, that loaded one server
// together, a record is the sum.
type Merged struct {
	// StartsApartS is how far the starts of the windows are apart, in seconds, by
	// the machines' own clocks: a difference between their clocks is in it.
	StartsApartS float64 `json:"starts_apart_s"`
	// UnionS is how long at least one machine measured, and what rates are
	// divided by; CommonS is how long all of them did. Both are in seconds.
	UnionS   float64   `json:"union_s"`
	CommonS  float64   `json:"common_s"`
	Machines []Machine `json:"machines"` // in the order of their starts
}

// check refuses names that a terminal would obey; of one machine there is nothing
// to check.
func (m *Merged) check() error {
	if m == nil {
		return nil
	}
	for _, machine := range m.Machines {
		if strings.ContainsFunc(machine.File, unicode.IsControl) {
			return fmt.Errorf("the file name %q of a machine holds control characters, which a terminal would obey", machine.File)
		}
	}
	return nil
}

// Machine is the part of one machine in a sum.
type Machine struct {
	File          string       `json:"file"` // that its record was read from
	Tool          Tool         `json:"tool"`
	OffsetS       float64      `json:"offset_s"`   // from the first machine's start to this one's, by their clocks
	DurationS     float64      `json:"duration_s"` // measured
	Clients       int          `json:"clients"`
	Sent          int64        `json:"sent"`
	OK            int64        `json:"ok"`
	Failed        int64        `json:"failed"`
	RPSOK         float64      `json:"rps_ok"` // over its own window
	P50           int64        `json:"p50"`    // ns
	P99           int64        `json:"p99"`    // ns
	CPUPerRequest float64      `json:"cpu_ns_per_request"`
	SchedLagP99   int64        `json:"sched_lag_ns_p99"`
	Environment   *Environment `json:"environment,omitempty"`
}

// Part is the record of one machine and the file that it was read from.
type Part struct {
	File   string
	Record *Record
}

// MergeMachines adds up what several machines measured that loaded one server at
// the same time: counts are summed and histograms added bucket by bucket, so
// that percentiles are those of all requests. Clients, rates asked for and
// connections are summed too. A machine's window goes from its start, warm-up
// apart, for its duration; rates are the requests that ended inside the windows
// by the union of these. Seconds of the series are set beside each other by the
// clocks, each machine's shifted by whole seconds; since a second has no
// histogram, its percentiles are the largest of the machines', which those of
// all its requests do not exceed. The generators' CPU is weighted by requests;
// their lags are the largest. The environment is kept where all have the same;
// each machine's stands in Merged. Reasons of the verdicts name the file.
//
// What the records say of the server is left out, since each has the same one in
// view. Whether the records are of one server under loads that can be added up is for
// the caller to judge. The error names the file at fault, or says which identity
// of the accounting the sum does not keep.
func MergeMachines(parts ...Part) (*Record, error) {
	if len(parts) == 0 {
		return nil, errors.New("merge records: none given")
	}
	for _, p := range parts {
		if err := p.addable(len(parts)); err != nil {
			return nil, fmt.Errorf("merge %s: %w", p.File, err)
		}
	}
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b Part) int { return a.Record.windowStart().Compare(b.Record.windowStart()) })
	first := parts[0].Record
	sum := *first
	sum.Counts = Counts{ByClass: map[Class]int64{}}
	sum.Load.clearSums()
	sum.RPS, sum.Client = RPS{}, Client{}
	sum.Slices, sum.Faults, sum.Stored, sum.Server, sum.Little = nil, nil, nil, nil, nil
	sum.Verdict = Verdict{Valid: true, Comparable: true, Reasons: []string{}}
	sum.Merged = mergeWindows(parts)
	records := make([]*Record, len(parts))
	for i, p := range parts {
		r := p.Record
		records[i] = r
		if r.Started.Before(sum.Started) {
			sum.Started = r.Started
		}
		sum.Incomplete = sum.Incomplete || r.Incomplete
		sum.Counts.add(r.Counts)
		sum.addRates(r)
		sum.Load.addBeside(r.Load)
		sum.Little = sum.Little.add(r.Little)
		sum.Verdict.add(p.verdict())
	}
	sum.finishBeside()
	sum.Series = seriesBeside(parts)
	sum.Environment = commonEnvironment(records)
	if err := sum.mergeLatencies(records); err != nil {
		return nil, fmt.Errorf("merge records: %w", err)
	}
	sum.Finalize()
	if err := errors.Join(sum.checkShape(), sum.Check()); err != nil {
		return nil, fmt.Errorf("merge records: %w", err)
	}
	return &sum, nil
}

// The largest figures that are added up: beyond what a load can last or count,
// and so small that no sum of them overflows.
const (
	maxAddedSeconds = 1 << 26 // two years
	maxAddedFigure  = 1e18
)

// addable refuses figures that no load has and whose sum would not be one.
func (p Part) addable(parts int) error {
	r := p.Record
	if err := errors.Join(r.checkShape(), r.Check()); err != nil {
		return err
	}
	c, limit := r.Counts, math.MaxInt64/int64(parts)
	for name, n := range map[string]int64{
		"counts.sent": c.Sent, "counts.in_flight": c.InFlight, "counts.connects": c.Connects, "counts.starved_clients": c.Starved,
		"counts.waited": c.Waited, "counts.retries": c.Retries, "counts.exhausted": c.Exhausted, "client.gc_pauses": r.Client.GCPauses, "load.clients": int64(r.Load.Clients),
		"load.requests": r.Load.Requests, "load.max_connections": int64(r.Load.MaxConnections),
	} {
		if n < 0 || n > limit {
			return fmt.Errorf("%s is %d, which no load counts", name, n)
		}
	}
	little := cmp.Or(r.Little, &Little{})
	for name, v := range map[string]float64{
		"littles_law.in_flight_ns": little.InFlightNS, "littles_law.requests_ns": little.RequestsNS, "load.rates": slices.Max(append([]float64{0}, r.Load.Rates...)),
		"load.duration_s": r.Load.DurationS, "load.warmup_s": r.Load.WarmupS, "load.rate": r.Load.Rate, "load.achieved_rate": r.Load.AchievedRate,
		"rps.ok": r.RPS.OK, "rps.total": r.RPS.Total, "client.cpu_ns_per_request": r.Client.CPUPerRequest, "client.spin_ns_per_request": r.Client.SpinPerRequest,
	} {
		if !(v >= 0 && v <= maxAddedFigure) {
			return fmt.Errorf("%s is %v, which no load measures", name, v)
		}
	}
	if r.Load.DurationS+r.Load.WarmupS > maxAddedSeconds {
		return fmt.Errorf("it lasted %v s, which no load does", r.Load.DurationS+r.Load.WarmupS)
	}
	for _, s := range r.Series {
		if s.T > maxAddedSeconds || s.OK > limit || s.Failed > limit {
			return fmt.Errorf("second %d of the series has %d ok and %d failed, which no load has", s.T, s.OK, s.Failed)
		}
	}
	return nil
}

// windowStart is when the measured time began, as far as the record tells: the
// load's start and the warm-up that was asked for.
func (r *Record) windowStart() time.Time {
	return r.Started.Add(time.Duration(r.Load.WarmupS * float64(time.Second)))
}

func (l *Load) clearSums() {
	l.Clients, l.Requests, l.DurationS, l.WarmupS = 0, 0, 0, 0
	l.Rate, l.AchievedRate, l.MaxConnections = 0, 0, 0
	l.Rates = make([]float64, len(l.Rates))
	l.SourceAddresses = 0
}

// addBeside adds a load that ran beside, where addLoad adds one that came after.
// Rates are summed with their durations as weights, as addRates does, for
// finishBeside to divide.
func (l *Load) addBeside(o Load) {
	l.Clients += o.Clients
	l.Requests += o.Requests
	l.WarmupS = max(l.WarmupS, o.WarmupS)
	l.Rate += o.Rate
	for i := range min(len(l.Rates), len(o.Rates)) {
		l.Rates[i] += o.Rates[i]
	}
	l.AchievedRate += o.AchievedRate * o.DurationS
	l.MaxConnections += o.MaxConnections
	l.SourceAddresses = max(l.SourceAddresses, o.SourceAddresses)
}

// finishBeside divides by the time in which any machine measured.
func (r *Record) finishBeside() {
	r.Load.DurationS = r.Merged.UnionS
	r.finishRates()
	if len(r.Load.Rates) == 0 {
		r.Load.Rates = nil
	}
	if r.Little != nil {
		r.Little.WindowNS = int64(r.Merged.UnionS * float64(time.Second))
	}
}

// mergeWindows describes the machines, which are in the order of their starts.
func mergeWindows(parts []Part) *Merged {
	base := parts[0].Record.windowStart()
	m := &Merged{}
	reached, common, last := 0.0, math.Inf(1), 0.0
	for _, p := range parts {
		r := p.Record
		offset := r.windowStart().Sub(base).Seconds()
		end := offset + r.Load.DurationS
		m.UnionS += max(0, end-max(offset, reached))
		reached, common, last = max(reached, end), min(common, end), offset
		m.Machines = append(m.Machines, Machine{
			File: p.File, Tool: r.Tool, OffsetS: offset, DurationS: r.Load.DurationS, Clients: r.Load.Clients,
			Sent: r.Counts.Sent, OK: r.Counts.OK, Failed: r.Counts.Failed, RPSOK: r.RPS.OK, P50: r.Latency.P50, P99: r.Latency.P99,
			CPUPerRequest: r.Client.CPUPerRequest, SchedLagP99: r.Client.SchedLagP99, Environment: r.Environment,
		})
	}
	m.StartsApartS, m.CommonS = last, max(0, common-last)
	return m
}

// verdict is that of one machine, its reasons with the file's name.
func (p Part) verdict() Verdict {
	v := p.Record.Verdict
	v.Reasons = nil
	for _, reason := range p.Record.Verdict.Reasons {
		v.Reasons = append(v.Reasons, p.File+": "+reason)
	}
	if len(v.Reasons) == 0 && !v.Valid {
		v.Reasons = []string{p.File + ": not valid, without a reason"}
	}
	if v.Evidence != "" {
		v.Evidence = p.File + ": " + v.Evidence
	}
	return v
}

// seriesBeside adds up the seconds by the machines' clocks. Each series is
// shifted by the whole seconds next to its offset, since its seconds cannot be
// split.
func seriesBeside(parts []Part) []Second {
	base := parts[0].Record.windowStart()
	at := map[int]Second{}
	for _, p := range parts {
		shift := int(math.Round(p.Record.windowStart().Sub(base).Seconds()))
		for _, s := range p.Record.Series {
			sum := at[s.T+shift]
			at[s.T+shift] = Second{T: s.T + shift, OK: sum.OK + s.OK, Failed: sum.Failed + s.Failed, P50: max(sum.P50, s.P50), P99: max(sum.P99, s.P99)}
		}
	}
	series := make([]Second, 0, len(at))
	for _, s := range at {
		series = append(series, s)
	}
	slices.SortFunc(series, func(a, b Second) int { return cmp.Compare(a.T, b.T) })
	return series
}

// commonEnvironment is the environment that all machines share, nil where they
// differ in more than their speed. Steal and calibration are the worst of all.
func commonEnvironment(records []*Record) *Environment {
	var common *Environment
	for _, r := range records {
		e := r.Environment
		switch {
		case e == nil:
			return nil
		case common == nil:
			copied := *e
			common = &copied
		case !common.alike(e):
			return nil
		default:
			common.CalibrationNS = max(common.CalibrationNS, e.CalibrationNS)
			common.Steal = max(common.Steal, e.Steal)
		}
	}
	return common
}

// alike compares all that is not measured anew each time.
func (e *Environment) alike(o *Environment) bool {
	a, b := *e, *o
	a.CalibrationNS, b.CalibrationNS = 0, 0
	a.Steal, b.Steal = 0, 0
	return reflect.DeepEqual(a, b)
}
