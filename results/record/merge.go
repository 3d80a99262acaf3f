package record

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Merge adds up the parts of one trial, its slices, in the order given: counts
// are summed, histograms added bucket by bucket, the series set end to end.
// Rates are weighted by time, client CPU by requests. The lags are
// the largest of the parts, since percentiles cannot be added. Starved clients
// are summed: each part starts its clients anew. Faults keep the times of their
// own part.
func Merge(parts ...*Record) (*Record, error) {
	if len(parts) == 0 {
		return nil, errors.New("merge records: none given")
	}
	sum := *parts[0]
	sum.Counts = Counts{ByClass: map[Class]int64{}}
	sum.Load.AchievedRate = 0
	sum.Load.DurationS, sum.Load.WarmupS, sum.Load.Requests, sum.Load.RequestsPerClient = 0, 0, 0, 0
	sum.RPS, sum.Client = RPS{}, Client{}
	sum.Series, sum.Slices, sum.Little, sum.Faults, sum.Stored = nil, nil, nil, nil, nil
	sum.Verdict = Verdict{Valid: true, Comparable: true}
	for _, p := range parts {
		if p.Subject.Name != sum.Subject.Name || p.Scenario != sum.Scenario || p.Arm != sum.Arm || p.Block != sum.Block {
			return nil, fmt.Errorf("merge records: %q and %q are not slices of one trial", sum.Subject.Name, p.Subject.Name)
		}
		if p.Started.Before(sum.Started) {
			sum.Started = p.Started
		}
		sum.Incomplete = sum.Incomplete || p.Incomplete
		sum.addRates(p)
		sum.Counts.add(p.Counts)
		sum.addLoad(p.Load)
		sum.addSeries(p.Series)
		sum.Slices = append(sum.Slices, p.Slices...)
		sum.Faults = append(sum.Faults, p.Faults...)
		sum.Stored = sum.Stored.add(p.Stored)
		sum.Little = sum.Little.add(p.Little)
		sum.Verdict.add(p.Verdict)
	}
	sum.finishRates()
	if err := sum.mergeLatencies(parts); err != nil {
		return nil, fmt.Errorf("merge records: %w", err)
	}
	sum.Server = mergeServers(parts, sum.Counts.OK)
	sum.Finalize()
	return &sum, nil
}

func (c *Counts) add(o Counts) {
	c.Sent += o.Sent
	c.Answered += o.Answered
	c.OK += o.OK
	c.Failed += o.Failed
	c.InFlight += o.InFlight
	c.InDoubt += o.InDoubt
	c.WithinDeadline += o.WithinDeadline
	c.Connects += o.Connects
	c.Starved += o.Starved
	c.Waited += o.Waited
	c.Retries += o.Retries
	c.Exhausted += o.Exhausted
	for class, n := range o.ByClass {
		c.ByClass[class] += n
	}
}

// add joins what two parts know of what was stored.
func (s *Stored) add(o *Stored) *Stored {
	switch {
	case s == nil:
		return o
	case o == nil:
		return s
	}
	return &Stored{
		Acknowledged: s.Acknowledged + o.Acknowledged, Stored: s.Stored + o.Stored, Lost: s.Lost + o.Lost,
		Duplicated: s.Duplicated + o.Duplicated, Unknown: s.Unknown + o.Unknown,
	}
}

func (r *Record) addLoad(l Load) {
	r.Load.DurationS += l.DurationS
	r.Load.WarmupS += l.WarmupS
	r.Load.Requests += l.Requests
	r.Load.RequestsPerClient += l.RequestsPerClient
	r.Load.SourceAddresses = max(r.Load.SourceAddresses, l.SourceAddresses)
	r.Load.AchievedRate += l.AchievedRate * l.DurationS
	r.Load.MaxConnections = max(r.Load.MaxConnections, l.MaxConnections)
}

// addRates collects numerators; finishRates divides.
func (r *Record) addRates(p *Record) {
	r.RPS.OK += p.RPS.OK * p.Load.DurationS
	r.RPS.Total += p.RPS.Total * p.Load.DurationS
	r.Client.CPUPerRequest += p.Client.CPUPerRequest * float64(p.Counts.OK+p.Counts.Failed)
	r.Client.SpinPerRequest += p.Client.SpinPerRequest * float64(p.Counts.OK+p.Counts.Failed)
	r.Client.SendLag = r.Client.SendLag.add(p.Client.SendLag)
	r.Client.GCPauses += p.Client.GCPauses
	r.Client.SchedLagP99 = max(r.Client.SchedLagP99, p.Client.SchedLagP99)
}

func (r *Record) finishRates() {
	if d := r.Load.DurationS; d > 0 {
		r.RPS.OK /= d
		r.RPS.Total /= d
		r.Load.AchievedRate /= d
	}
	if n := r.Counts.OK + r.Counts.Failed; n > 0 {
		r.Client.CPUPerRequest /= float64(n)
		r.Client.SpinPerRequest /= float64(n)
	}
}

// add keeps the larger lags: percentiles cannot be added.
func (l *SendLag) add(o *SendLag) *SendLag {
	switch {
	case l == nil:
		return o
	case o == nil:
		return l
	}
	return &SendLag{max(l.P50, o.P50), max(l.P99, o.P99), max(l.Max, o.Max)}
}

func (r *Record) addSeries(s []Second) {
	offset := 0
	if n := len(r.Series); n > 0 {
		offset = r.Series[n-1].T + 1
	}
	for _, second := range s {
		second.T += offset
		r.Series = append(r.Series, second)
	}
}

func (v *Verdict) add(o Verdict) {
	v.Valid = v.Valid && o.Valid
	v.Comparable = v.Comparable && o.Comparable
	for _, reason := range o.Reasons {
		if !slices.Contains(v.Reasons, reason) {
			v.Reasons = append(v.Reasons, reason)
		}
	}
	if v.Bottleneck == "" {
		v.Bottleneck, v.Evidence = o.Bottleneck, o.Evidence
	}
}

func (r *Record) mergeLatencies(parts []*Record) error {
	var latency, service, first []*Latency
	for _, p := range parts {
		latency = append(latency, &p.Latency)
		if p.Service != nil {
			service = append(service, p.Service)
		}
		if p.FirstWait != nil {
			first = append(first, p.FirstWait)
		}
	}
	merged, err := mergeLatency(latency)
	if err != nil {
		return err
	}
	r.Latency = *merged
	r.Service, r.FirstWait = nil, nil
	if len(service) > 0 {
		if r.Service, err = mergeLatency(service); err != nil {
			return err
		}
	}
	if len(first) > 0 {
		r.FirstWait, err = mergeLatency(first)
	}
	return err
}

// mergeServers sums what the kernel says of the server. A part without it
// would make the sum a lie, so then there is none.
func mergeServers(parts []*Record, ok int64) *Server {
	sum := Server{Counters: map[string]int64{}}
	for _, p := range parts {
		s := p.Server
		if s == nil {
			return nil
		}
		sum.Unknown = mergeUnknown(sum.Unknown, s.Unknown)
		sum.CPUNS += s.CPUNS
		sum.UserNS += s.UserNS
		sum.SystemNS += s.SystemNS
		sum.RSSMax = max(sum.RSSMax, s.RSSMax)
		sum.RSSIdle = max(sum.RSSIdle, s.RSSIdle)
		sum.ThreadsMax = max(sum.ThreadsMax, s.ThreadsMax)
		sum.CtxSwitches.Voluntary += s.CtxSwitches.Voluntary
		sum.CtxSwitches.Involuntary += s.CtxSwitches.Involuntary
		sum.ListenDrops += s.ListenDrops
		sum.ListenOverflows += s.ListenOverflows
		sum.SynRetransmits += s.SynRetransmits
		for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
			sum.Counters[name] += s.Counters[name]
		}
	}
	if ok > 0 && sum.Knows(UnknownCPU) {
		sum.CPUPerRequest = float64(sum.CPUNS) / float64(ok)
	}
	return &sum
}
