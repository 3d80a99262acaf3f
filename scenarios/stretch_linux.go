package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
)

const (
	drainTimeout = time.Second
	drainPoll    = 5 * time.Millisecond
	endNotice    = 500 * time.Millisecond // within which the end of a process is known
)

// offer is what the generator is asked for.
func (l Load) offer(url string) loadgen.Plan {
	p := loadgen.Plan{
		URL: url + "/metrics", Metrics: l.Metrics, Clients: l.Clients[0],
		Requests: l.Requests, RequestsPerClient: l.RequestsPerClient,
		Connection: l.Connection, Think: l.Think, Deadline: l.Deadline, Timeout: l.Timeout, Seed: l.Seed,
		SpreadSources: true,
	}
	switch {
	case l.Duration > 0:
		p.Duration = l.Duration
	case !l.bounded():
		p.Duration = l.Slice
	}
	if len(l.Rates) > 0 {
		p.Rate, p.Arrival = l.Rates[0], loadgen.Constant
	}
	if l.SameClient {
		p.Header = http.Header{"Authorization": {"load_client_0"}}
	}
	return p
}

// lost notes that nothing more can be measured of a cell's server. It is an
// error only when the run is being ended.
func (c *cell) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.child.failed = err.Error()
	// Where it has ended, that is the reason; the news may be behind the error.
	select {
	case <-c.child.ended:
	case <-time.After(endNotice):
	}
	if !c.child.alive() {
		c.child.failed = fmt.Sprintf("%s ended by itself (%s)%s", c.child.name, c.child.endText(), c.child.stderr.quote())
	}
	return nil
}

// drain waits until the server has counted at least processed batches and
// written all that it took, at most 1 s, and returns its counters. A foreign
// one, which has none, is watched until it rests.
func drain(ctx context.Context, c *child, processed int64) (map[string]int64, error) {
	if c.foreign != nil {
		return nil, c.settle(ctx)
	}
	for limit := time.Now().Add(drainTimeout); ; {
		counters, err := c.counters(ctx)
		if err != nil {
			return nil, err
		}
		settled := counters["sink_pending"] == 0 && counters["batches_processed"] >= processed
		if settled || time.Now().After(limit) {
			return counters, nil
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// stretch plays one slice, or the whole of a load that has a bound of its own,
// with its faults, and asks the kernel and the server what it cost. It returns nil where the server was
// lost.
func (r *runner) stretch(ctx context.Context, c *cell, load Load, position int) (*record.Record, error) {
	calibration := results.Calibrate()
	before, err := r.readBefore(ctx, c.child)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	around := readMachine(r.plan.cores.server)
	endSampling := r.sample(c.child)
	start := time.Now()
	// Making the requests takes time, too, before the first is sent.
	var sending, drained time.Time
	offer := c.player.offer(load, c.child.url)
	offer.Begun, offer.Drained = func(at time.Time) { sending = at }, func() { drained = time.Now() }
	r.progress.watch(&offer)
	endFaults := func() {}
	if c.timeline != nil {
		endFaults = c.timeline.join(ctx, c.child, &offer)
	}
	part, err := loadgen.Run(ctx, offer)
	c.machine.add(readMachine(r.plan.cores.server).since(around))
	endFaults()
	wall := time.Since(start)
	sampled := endSampling()
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", c.child.name, err)
	}
	if err := r.account(ctx, c, part, before, sampled, wall); err != nil {
		if ctx.Err() == nil {
			if err := c.lost(ctx, err); err != nil || !c.timeline.bit() {
				return nil, err
			}
			c.felled = true // by its faults: that is what was to be seen
		} else {
			part.Incomplete = true // what the generator saw is kept
		}
	}
	if c.timeline != nil {
		part.Faults = c.timeline.measure(load.Deadline, ctx.Err() == nil && c.child.alive())
		c.faults = append(c.faults, c.timeline.amiss()...)
	} else if load.bounded() {
		results.JudgeSteady(part)
	}
	slice := record.Slice{
		Order: position, OffsetS: sending.Sub(r.run.Started).Seconds(), DurationS: drained.Sub(sending).Seconds(),
		Sent: part.Counts.Sent, OK: part.Counts.OK, RPSOK: part.RPS.OK,
		P50: part.Latency.P50, P99: part.Latency.P99, CalibrationNS: calibration,
	}
	if part.Server != nil {
		slice.CPUPerRequest = part.Server.CPUPerRequest
	}
	part.Slices = []record.Slice{slice}
	return part, nil
}

// account adds the server's side of a stretch to its record and judges both
// together. An interrupted stretch is read too, with time of its own.
func (r *runner) account(ctx context.Context, c *cell, part *record.Record, before reading, sampled treeSample, wall time.Duration) error {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout+adminTimeout)
	defer cancel()
	if c.child.foreign != nil {
		return r.accountForeign(late, c, part, before, sampled, wall)
	}
	counters, err := drain(late, c.child, before.counters["batches_processed"]+part.Counts.OK)
	if err != nil {
		return err
	}
	after, err := r.readAfter(c.child, counters)
	if err != nil {
		return err
	}
	part.Server = difference(before, after, part.Counts.OK)
	if r.proc {
		m, err := readMemory(c.child.pid)
		if err != nil {
			return err
		}
		part.Server.RSSIdle, part.Server.RSSMax = c.child.idleRSS, m.rssMax
		part.Server.ThreadsMax = max(sampled.threads, m.threads)
	}
	judge(part, counters["sink_pending"])
	c.taken.add(after.disturbance.since(before.disturbance))
	c.underLoad += wall
	if lost := part.Server.Counters["sink_errors"]; lost > 0 {
		invalidate(part, fmt.Sprintf("the server could not write %d batches to its file", lost))
	}
	return nil
}
