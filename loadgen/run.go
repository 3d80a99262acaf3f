package loadgen

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"time"

	"mslab/results/record"
)

const (
	// refusedPause is how long a client waits after its connection was
	// refused or no local port was free, so that a dead server is not hammered.
	refusedPause = 10 * time.Millisecond
	// closeWait is how long a client waits for the close that an answer
	// announced before it closes itself: whoever closes first keeps the port
	// in TIME_WAIT, and that should be the server.
	closeWait = 20 * time.Millisecond
	tickEvery = 10 * time.Millisecond // how often the engine looks at its own lag
	saturated = 0.95                  // fraction of the time, running or waiting for a core, at which the engine is the bottleneck
)

// session is what the parts of one run share.
type session struct {
	plan     Plan
	target   target
	scripts  []script
	check    answerCheck
	ids      *correlation
	retries  retries
	ledger   *ledgerWriter
	base     time.Time // origin of the run's clock
	warm     *tally
	measured *tally
	progress *progressReporter
	sources  []netip.Addr
	roots    *x509.CertPool // trusted for https; nil: the system's
}

// now is the run's clock: ns since its base, monotonic.
func (s *session) now() int64 { return int64(time.Since(s.base)) }

// unix turns a time of the run's clock into Unix ns.
func (s *session) unix(t int64) int64 { return s.base.UnixNano() + t }

// outcome is what an engine measured besides the tallies.
type outcome struct {
	began       bool  // the measured time began
	interrupted bool  // by the context
	end         int64 // when the measured time ended, nothing in flight any more
	unfinished  int64 // summed time of the requests in flight at that end, ns
	starved     int64
	sources     int // source addresses used
	lagP99      int64
	busy        float64     // fraction of a core that the engine's thread used; 0 where unknown
	waiting     float64     // fraction of the time that it waited for a core
	usage       usage       // of the process, during the measured time
	pace        *paceResult // of an open loop whose measured time began
}

// Run offers the load of the plan and returns what came of it. An error means
// that the plan cannot be run at all; requests that fail are counts in the
// record. When ctx ends, Run stops at once and the record, marked incomplete,
// holds what was measured so far.
//
// The measured time of a load bounded by Duration is that duration: rates
// count the requests that ended inside it, so that a few starved waits at the
// end do not dilute them, while counts and latencies include those that ended
// after it. A load bounded by a number of requests is measured from its start
// to the end of its last request.
func Run(ctx context.Context, plan Plan) (*record.Record, error) {
	if err := plan.Validate(); err != nil {
		return nil, err
	}
	s, err := newSession(ctx, plan.withDefaults())
	if err != nil {
		return nil, err
	}
	if rawSupported && !s.target.tls {
		return s.run(ctx, driveRaw)
	}
	return s.run(ctx, driveNet)
}

// engine moves the bytes of a session and fills its tallies.
type engine func(context.Context, *session) (*outcome, error)

func (s *session) run(ctx context.Context, drive engine) (*record.Record, error) {
	out, err := drive(ctx, s)
	s.progress.stop()
	ledgerErr := s.ledger.close()
	if err != nil {
		return nil, err
	}
	if out.began && s.plan.Drained != nil {
		s.plan.Drained()
	}
	return s.record(out, ledgerErr), nil
}

func newSession(ctx context.Context, p Plan) (*session, error) {
	t, err := parseTarget(p.URL)
	if err != nil {
		return nil, err
	}
	if t, err = t.resolve(ctx); err != nil {
		return nil, err
	}
	if err := checkFiles(p.MaxConnections); err != nil {
		return nil, err
	}
	if err := checkCopies(p); err != nil {
		return nil, err
	}
	s := &session{
		plan: p, target: t, scripts: newScripts(p, t), check: newAnswerCheck(p.Metrics),
		warm: newTally(p.Deadline), measured: newTally(p.Deadline),
	}
	s.warm.watch = newWatch(p)
	s.measured.watch = s.warm.watch // one stretch at a time
	if p.SpreadSources {
		s.sources = loopbackSources(t.addr.Addr())
	}
	s.base = time.Now()
	s.retries = newRetries(&p)
	s.ids = newCorrelation(p.Seed, s.base.UnixNano())
	s.ledger = newLedgerWriter(p.Ledger)
	s.progress = newProgressReporter(p.Progress)
	return s, nil
}

// loopbackSources returns the addresses that connections to a loopback target
// come from, 250 of them, and none for any other target. With about 28,000
// ports each they outlast the minute that a closed connection stays in
// TIME_WAIT.
func loopbackSources(target netip.Addr) []netip.Addr {
	if !target.Is4() || !target.IsLoopback() {
		return nil
	}
	sources := make([]netip.Addr, 250)
	for i := range sources {
		sources[i] = netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)})
	}
	return sources
}

// begun tells when the measured time began.
func (s *session) begun() {
	if s.plan.Begun != nil {
		s.plan.Begun(s.base.Add(time.Duration(s.measured.begin)))
	}
}

// ended hands a request of the measured time to who wants to see each.
func (s *session) ended(e ending, kept bool) {
	if s.plan.Ended == nil {
		return
	}
	begin := s.measured.begin
	s.plan.Ended(record.Request{Sent: time.Duration(e.start - begin), Ended: time.Duration(e.now - begin), Class: e.class, Kept: kept})
}

// batch writes the ledger's line of a request.
func (s *session) batch(id []byte, e ending, warmup bool) {
	if s.ledger == nil {
		return
	}
	sent := e.start
	if e.sent > 0 {
		sent = e.sent
	}
	b := record.Batch{ID: string(id), Metrics: s.plan.Metrics, SentNS: s.unix(sent),
		Outcome: outcomeOf(e.class, e.delivered), Warmup: warmup}
	if b.Outcome == record.BatchFailed && e.doubt {
		b.Outcome = record.BatchInDoubt
	}
	if e.class.Answered() {
		b.AnsweredNS = s.unix(e.now)
	}
	s.ledger.add(b)
}

// record puts the pieces together and judges them.
func (s *session) record(out *outcome, ledgerErr error) *record.Record {
	p, t := s.plan, s.measured
	r := &record.Record{
		Started:    s.base.UTC(),
		Incomplete: out.interrupted,
		Subject:    record.Subject{Name: p.URL, URL: p.URL},
		Load: record.Load{
			Clients: p.Clients, Arrival: "closed", Connection: string(p.Connection),
			Requests: p.Requests, RequestsPerClient: p.RequestsPerClient,
			WarmupS: p.Warmup.Seconds(), ThinkNS: int64(p.Think), RequestsPerConnection: p.RequestsPerConnection,
			DeadlineNS: int64(p.Deadline), TimeoutNS: int64(p.Timeout),
			Metrics: p.Metrics, ClientIDs: p.ClientIDs, Seed: p.Seed, SourceAddresses: out.sources,
		},
		Counts: record.Counts{
			Sent: t.sent, Answered: t.answered, OK: t.ok, Failed: t.failed, InFlight: t.inFlight,
			InDoubt: t.inDoubt, ByClass: t.byClass, WithinDeadline: t.within,
			Connects: t.connects, Starved: out.starved, Retries: t.retries, Exhausted: t.exhausted,
		},
		Latency: t.latency(),
		Client:  record.Client{GCPauses: out.usage.gcs, SchedLagP99: out.lagP99},
	}
	if p.Metrics > 0 && p.Hosts != defaultHosts {
		r.Load.Hosts = p.Hosts
	}
	if p.Retry.Max > 0 {
		r.Load.Retry = &record.Retry{Max: p.Retry.Max, BackoffNS: int64(p.Retry.Backoff), On: p.Retry.On}
	}
	if p.ThinkDistribution != ConstantThink {
		r.Load.ThinkDistribution = string(p.ThinkDistribution)
	}
	r.Series = t.series
	if t.second.OK+t.second.Failed > 0 {
		t.closeSecond()
		r.Series = t.series
	}
	if t.firstWait.TotalCount() > 0 {
		first := record.NewLatency(t.firstWait, "service")
		r.FirstWait = &first
	}
	if out.began {
		r.Load.DurationS = s.measuredTime(out).Seconds()
	}
	if d := r.Load.DurationS; d > 0 {
		r.RPS = record.RPS{OK: float64(t.rateOK) / d, Total: float64(t.rateAll) / d}
	}
	if ended := t.ok + t.failed; ended > 0 {
		r.Client.CPUPerRequest = float64(out.usage.cpu) / float64(ended)
	}
	s.addPace(r, out)
	r.Little = &record.Little{WindowNS: out.end - t.begin, InFlightNS: t.area, RequestsNS: t.summedTime(out.unfinished)}
	r.Finalize()
	r.Verdict = s.judge(r, out, ledgerErr)
	return r
}

// addPace says what an open loop offered, and how well it kept to it.
func (s *session) addPace(r *record.Record, out *outcome) {
	p := s.plan
	if !p.Open() {
		return
	}
	r.Load.Arrival, r.Load.Rates, r.Load.MaxConnections = string(p.Arrival), p.Rates, p.MaxConnections
	r.Load.Rate = p.Rate
	r.Counts.Waited = s.measured.waited
	service := latencyOf(s.measured.service.ok, s.measured.service.times, "service")
	r.Service = &service
	r.FirstWait, r.Counts.Starved = nil, 0 // of a client, which is not waited for here
	pace := out.pace
	if pace == nil {
		return
	}
	if r.Load.Rate == 0 {
		r.Load.Rate = pace.asked
	}
	r.Load.AchievedRate = pace.achieved
	if pace.lag.TotalCount() > 0 {
		r.Client.SendLag = &record.SendLag{
			P50: pace.lag.ValueAtPercentile(50), P99: pace.lag.ValueAtPercentile(99), Max: pace.lag.Max(),
		}
	}
	if ended := r.Counts.OK + r.Counts.Failed; ended > 0 {
		r.Client.SpinPerRequest = float64(pace.spun) / float64(ended)
	}
}

// measuredTime is what rates are divided by; see Run.
func (s *session) measuredTime(out *outcome) time.Duration {
	end := out.end
	if !out.interrupted {
		end = s.measured.lastEnd
	}
	if s.measured.rateEnd > 0 && (s.measured.rateEnd < end || !out.interrupted) {
		end = s.measured.rateEnd
	}
	return time.Duration(max(end-s.measured.begin, 0))
}

// judge says what the record may be used for.
func (s *session) judge(r *record.Record, out *outcome, ledgerErr error) record.Verdict {
	v := record.Verdict{Valid: true, Comparable: true, Reasons: []string{}}
	invalid := func(reason string) {
		v.Valid, v.Comparable = false, false
		v.Reasons = append(v.Reasons, reason)
	}
	if err := r.Check(); err != nil {
		invalid(err.Error())
	}
	if ledgerErr != nil {
		invalid(ledgerErr.Error())
	}
	if err := r.CheckLittle(); err != nil {
		invalid(err.Error())
	}
	if err := out.pace.judge(); err != nil {
		invalid(err.Error())
		v.Bottleneck = "generator CPU"
	}
	if out.busy+out.waiting > saturated {
		v.Comparable = false
		v.Bottleneck = record.GeneratorCPU
		v.Evidence = fmt.Sprintf("its thread ran %.0f %% of the time and waited %.0f %% for a core", 100*out.busy, 100*out.waiting)
		v.Reasons = append(v.Reasons, "the generator is the bottleneck: "+v.Evidence)
	}
	return v
}
