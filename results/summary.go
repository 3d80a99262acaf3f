package results

import (
	"fmt"
	"math"

	"mslab/results/record"
)

// summary is a row of a table: one subject in one arm under one load, over all
// blocks.
type summary struct {
	subject SubjectPlan
	// cpu is the geometric mean of the blocks' CPU per request, which makes the
	// ratio of two rows equal the ratio of their comparison where both used the
	// same blocks.
	cpu float64
	// all is everything that is valid, timed what is comparable too; nil where
	// there is none.
	all, timed *record.Record
	// struck says that no trial could be used and that the figures shown are
	// those of trials that count for nothing.
	allStruck, timedStruck bool
	faults                 []fault // why trials were left out
}

func summarizeSubject(t trialIndex, arm ArmPlan, subject SubjectPlan, load int) (summary, error) {
	s := summary{subject: subject, cpu: math.NaN()}
	cpu, _ := parseMetric(MetricCPU)
	rps, _ := parseMetric(MetricRPS)
	var every, valid, timed []*record.Record
	var blocks []float64
	for _, r := range t.trials(arm, subject.Name, load) {
		every = append(every, r)
		why, all := rps.unusable(r), cpu.unusable(r)
		switch {
		case all != "":
			s.faults = append(s.faults, fault{"Struck out", subject.Title(), r.Block, all})
		case why != "":
			s.faults = append(s.faults, fault{"Rates and latencies struck out", subject.Title(), r.Block, why})
		}
		if why == "" {
			timed = append(timed, r)
		}
		if all == "" {
			valid = append(valid, r)
			if v := geometricMean(positive(cpu.values(r))); !math.IsNaN(v) {
				blocks = append(blocks, v)
			}
		}
	}
	s.cpu = geometricMean(blocks)
	if s.allStruck = len(valid) == 0; s.allStruck {
		valid = every
	}
	if s.timedStruck = len(timed) == 0; s.timedStruck {
		timed = valid
	}
	var err error
	if s.all, err = mergeBlocks(valid); err == nil {
		if s.timed = s.all; len(timed) != len(valid) {
			s.timed, err = mergeBlocks(timed)
		}
	}
	if err != nil {
		return s, fmt.Errorf("sum up %s in arm %s: %w", subject.Name, arm.Name, err)
	}
	return s, nil
}

// summarize is summarizeSubject of these trials.
func (t trialIndex) summarize(arm ArmPlan, subject SubjectPlan, load int) (summary, error) {
	return summarizeSubject(t, arm, subject, load)
}

func positive(values []float64) []float64 {
	var out []float64
	for _, v := range values {
		if v > 0 {
			out = append(out, v)
		}
	}
	return out
}

// mergeBlocks adds up the trials of a subject: counts are summed and latency
// histograms added, so that percentiles are those of all requests. A trial
// without a request has no histogram to add; nil where there is no trial.
func mergeBlocks(trials []*record.Record) (*record.Record, error) {
	if len(trials) == 0 {
		return nil, nil
	}
	parts := make([]*record.Record, len(trials))
	for i, r := range trials {
		part := *r
		part.Block = 0 // one trial, to the one who adds up
		parts[i] = &part
	}
	return record.Merge(parts...)
}

// perRequest divides a count of the server by the requests that were served.
// It is NaN where it is not known, by the record's word for what it is.
func perRequest(r *record.Record, what string, count func(*record.Server) int64) float64 {
	if r == nil || !r.Server.Knows(what) || r.Counts.OK == 0 {
		return math.NaN()
	}
	return float64(count(r.Server)) / float64(r.Counts.OK)
}

func ofServer(r *record.Record, what string, count func(*record.Server) int64) float64 {
	if r == nil || !r.Server.Knows(what) {
		return math.NaN()
	}
	return float64(count(r.Server))
}

func ofLatency(l *record.Latency, figure func(*record.Latency) int64) float64 {
	if l == nil || l.Count == 0 {
		return math.NaN()
	}
	return float64(figure(l))
}
