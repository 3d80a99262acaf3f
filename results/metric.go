package results

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"mslab/results/record"
)

// The metrics that tables show, by their paths in the record. CPU per request
// is the one that ranks.
const (
	MetricCPU = "server.cpu_ns_per_request"
	MetricRPS = "rps.ok"
	MetricP50 = "latency.p50"
	MetricP99 = "latency.p99"
	MetricMax = "latency.max"
)

// better says which way a metric improves.
type better int

const (
	neither better = iota
	lower
	higher
)

// metric reads one figure of a record.
type metric struct {
	path   string
	better better
	// speed is a rate, a time or the CPU that a request costs: what can be
	// called faster.
	speed bool
	// timed figures lose their meaning where the trial is not comparable.
	timed bool
	// slice reads the figure of one slice; nil where a trial has one value only.
	slice func(record.Slice) float64
	// trial reads the figure of a whole trial, where that is asked of so many
	// that the way by the record's JSON form would be felt.
	trial func(*record.Record) int64
}

// parseMetric resolves a path. Every number in the measured parts of a record
// is a metric; the error of an unknown one names the parts.
func parseMetric(path string) (metric, error) {
	m := metric{path: path}
	head, _, _ := strings.Cut(path, ".")
	switch head {
	case "rps":
		m.better, m.timed, m.speed = higher, true, true
	case "latency", "service_latency", "first_request_latency":
		m.better, m.timed, m.speed = lower, true, true
	case "success":
		m.better, m.timed = higher, path == "success.deadline"
	case "server", "client", "counts":
	default:
		return metric{}, fmt.Errorf("find metric %q: a metric is a path in the record that begins with server, rps, latency, success, first_request_latency, service_latency, client or counts, such as %s", path, MetricCPU)
	}
	if _, known := lookup(blankRecord(), path); !known && !strings.HasPrefix(path, "server.counters.") && !strings.Contains(path, ".by_class.") {
		return metric{}, fmt.Errorf("find metric %q: the record has no such number; use one such as %s", path, strings.Join(knownMetrics(), ", "))
	}
	switch path {
	case MetricCPU:
		m.better, m.speed = lower, true
		m.slice = func(s record.Slice) float64 { return s.CPUPerRequest }
	case MetricRPS:
		m.slice = func(s record.Slice) float64 { return s.RPSOK }
	case MetricP50:
		m.trial = func(r *record.Record) int64 { return r.Latency.P50 }
	case "latency.p90":
		m.trial = func(r *record.Record) int64 { return r.Latency.P90 }
	case MetricP99:
		m.trial = func(r *record.Record) int64 { return r.Latency.P99 }
	case "latency.p999":
		m.trial = func(r *record.Record) int64 { return r.Latency.P999 }
	case MetricMax:
		m.trial = func(r *record.Record) int64 { return r.Latency.Max }
	case "client.cpu_ns_per_request":
		m.better, m.speed = lower, true
	case "server.rss_max_bytes", "server.rss_idle_bytes":
		m.better = lower
	}
	return m, nil
}

func knownMetrics() []string {
	return []string{MetricCPU, MetricRPS, MetricP50, MetricP99, MetricMax, "success.deadline", "server.rss_max_bytes"}
}

// values returns what a trial says of the metric: a value a slice, or one value
// where only the whole trial has it. Percentiles are of the second kind, since
// the trial's come from its slices' merged histogram.
func (m metric) values(r *record.Record) []float64 {
	if m.slice != nil && len(r.Slices) > 0 {
		slices := append([]record.Slice(nil), r.Slices...)
		sort.SliceStable(slices, func(i, j int) bool { return slices[i].Order < slices[j].Order })
		out := make([]float64, len(slices))
		for i, s := range slices {
			out[i] = m.slice(s)
		}
		return out
	}
	if m.trial != nil {
		return []float64{float64(m.trial(r))}
	}
	if v, ok := lookup(r, m.path); ok {
		return []float64{v}
	}
	return nil
}

// unusable returns why a trial may not be used for the metric, "" where it may.
func (m metric) unusable(r *record.Record) string {
	switch {
	case r == nil:
		return "no trial"
	case r.Incomplete:
		return "interrupted"
	case !r.Verdict.Valid:
		return "invalid" + reasons(r)
	case m.timed && !r.Verdict.Comparable:
		return "not comparable" + reasons(r)
	}
	return ""
}

func reasons(r *record.Record) string {
	if len(r.Verdict.Reasons) == 0 {
		return ""
	}
	return ": " + strings.Join(r.Verdict.Reasons, "; ")
}

// lookup walks the record's JSON form, so that a metric's name is its path in
// the file by construction.
func lookup(r *record.Record, path string) (float64, bool) {
	data, err := json.Marshal(r)
	if err != nil {
		return 0, false
	}
	var at any
	if json.Unmarshal(data, &at) != nil {
		return 0, false
	}
	for key := range strings.SplitSeq(path, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return 0, false
		}
		at = object[key]
	}
	v, ok := at.(float64)
	return v, ok
}

// blankRecord has every part that a record can have.
func blankRecord() *record.Record {
	return &record.Record{
		Service: &record.Latency{}, FirstWait: &record.Latency{},
		Client: record.Client{SendLag: &record.SendLag{}}, Server: &record.Server{}, Environment: &record.Environment{},
	}
}
