package results

import (
	"fmt"
	"math"
	"strings"

	"mslab/results/record"
)

// TrialsTable lists the trials of a run one by one, in the order of the arms,
// loads, blocks and subjects: what each measured, whether it is used, and why
// not. What is not used is struck out.
func TrialsTable(run *Run) Table {
	t := Table{Title: "trials, one by one", Under: map[int]string{}, Columns: []Column{
		{Key: "arm", Title: "arm", Left: true},
		{Key: "load", Title: "load", Left: true, Extra: true},
		{Key: "block", Title: "block"},
		run.Plan.subjectColumn(),
		{Key: "server_cpu_ns_per_request", Title: "CPU/req", Unit: "ns"},
		{Key: "rps_ok", Title: "ok/s", Unit: "1/s"},
		{Key: "latency_p99", Title: "p99", Unit: "ns"},
		{Key: "verdict", Title: "verdict", Left: true},
		{Key: "bottleneck", Title: "bottleneck", Left: true},
		{Key: "evidence", Title: "told by", Left: true, Extra: true},
		{Key: "reasons", Title: "because", Left: true, Extra: true},
	}}
	trials := indexTrials(run)
	used := 0
	for _, arm := range run.Plan.Arms {
		for load := range max(1, len(arm.Loads)) {
			for block := 1; block <= trials.blocks(arm); block++ {
				for _, subject := range run.Plan.SubjectsOf(arm) {
					r := trials.trial(arm, block, subject.Name, load)
					if r == nil {
						continue
					}
					if unused := verdictWord(r); unused == usedFully {
						used++
					} else if why := strings.TrimPrefix(reasons(r), ": "); why != "" {
						t.Under[len(t.Rows)] = why
					}
					t.Rows = append(t.Rows, trialRow(arm, subject, r))
				}
			}
		}
	}
	t.Notes = append(t.Notes, fmt.Sprintf("%d of %s are used for all figures; what is struck out enters no mean, no percentile and no comparison.",
		used, countOf(int64(len(t.Rows)), "trial")))
	return t
}

// usedFully is the verdict of a trial with nothing against it.
const usedFully = "valid"

// verdictWord is the verdict of a trial in a word or two.
func verdictWord(r *record.Record) string {
	switch {
	case r.Incomplete:
		return "interrupted"
	case !r.Verdict.Valid:
		return "invalid"
	case !r.Verdict.Comparable:
		return "not comparable"
	}
	return usedFully
}

func trialRow(arm ArmPlan, subject SubjectPlan, r *record.Record) []Cell {
	cpu, _ := parseMetric(MetricCPU)
	rps, _ := parseMetric(MetricRPS)
	figure := func(m metric, v float64, format func(float64) string) Cell {
		c := FigureCell(v, format)
		c.Struck = m.unusable(r) != "" && c.Text != dash
		return c
	}
	cost := math.NaN() // where it could not be read, and where nothing was ok
	if r.Server.Knows(record.UnknownCPU) && r.Counts.OK > 0 {
		cost = r.Server.CPUPerRequest
	}
	return []Cell{
		TextCell(arm.Name), TextCell(loadTitle(r.Load)), FigureCell(float64(r.Block), formatCount), TextCell(subject.Title()),
		figure(cpu, cost, FormatNS),
		figure(rps, r.RPS.OK, formatCount),
		figure(rps, ofLatency(&r.Latency, func(l *record.Latency) int64 { return l.P99 }), FormatNS),
		TextCell(verdictWord(r)), TextCell(r.Verdict.Bottleneck), TextCell(r.Verdict.Evidence), TextCell(strings.TrimPrefix(reasons(r), ": ")),
	}
}
