package server

import (
	"runtime/metrics"
	"strconv"
	"sync/atomic"
)

// counters are the live form of Counters. What Events and the Sink count
// themselves is read from them.
type counters struct {
	metricsReceived, batchesProcessed, validationErrors, rateLimited,
	requests, overloaded, accepted, refused, active atomic.Int64
}

// Counters is what the server has counted so far.
func (s *Server) Counters() Counters {
	c := &s.counters
	counted := Counters{
		MetricsReceived:     c.metricsReceived.Load(),
		BatchesProcessed:    c.batchesProcessed.Load(),
		ValidationErrors:    c.validationErrors.Load(),
		RateLimitedRequests: c.rateLimited.Load(),
		RequestsTotal:       c.requests.Load(),
		OverloadedRequests:  c.overloaded.Load(),
		ConnectionsAccepted: c.accepted.Load(),
		ConnectionsRefused:  c.refused.Load(),
		ConnectionsActive:   c.active.Load(),
		SinkPending:         s.sink.Pending(),
		SinkErrors:          s.file.errors.Load(),
		SinkWriteNS:         s.file.writing.Load(),
		MutexWaitNS:         mutexWaitNS(),
	}
	if s.events != nil {
		counted.EventsRecorded, counted.EventsDropped = s.events.counts()
	}
	return counted
}

// mutexWaitNS asks the runtime, which counts waits for locks in any case: what
// waits for nothing pays nothing for it.
func mutexWaitNS() int64 {
	sample := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64 {
		return 0 // a runtime without it
	}
	return int64(sample[0].Value.Float64() * 1e9)
}

// metricFamily is one counter in the three ways in which it is shown.
type metricFamily struct {
	key, prometheus, kind string
	value                 int64
}

func (c Counters) families() []metricFamily {
	return []metricFamily{
		{"metrics_received", "mslab_metrics_received_total", "counter", c.MetricsReceived},
		{"batches_processed", "mslab_batches_processed_total", "counter", c.BatchesProcessed},
		{"validation_errors", "mslab_validation_errors_total", "counter", c.ValidationErrors},
		{"rate_limited_requests", "mslab_rate_limited_requests_total", "counter", c.RateLimitedRequests},
		{"requests_total", "mslab_requests_total", "counter", c.RequestsTotal},
		{"overloaded_requests", "mslab_overloaded_requests_total", "counter", c.OverloadedRequests},
		{"connections_accepted", "mslab_connections_accepted_total", "counter", c.ConnectionsAccepted},
		{"connections_refused", "mslab_connections_refused_total", "counter", c.ConnectionsRefused},
		{"connections_active", "mslab_connections_active", "gauge", c.ConnectionsActive},
		{"events_recorded", "mslab_limiter_events_recorded_total", "counter", c.EventsRecorded},
		{"events_dropped", "mslab_limiter_events_dropped_total", "counter", c.EventsDropped},
		{"sink_pending", "mslab_sink_pending_batches", "gauge", c.SinkPending},
		{"sink_errors", "mslab_sink_errors_total", "counter", c.SinkErrors},
		{"sink_write_ns", "mslab_sink_write_nanoseconds_total", "counter", c.SinkWriteNS},
		{"mutex_wait_ns", "mslab_mutex_wait_nanoseconds_total", "counter", c.MutexWaitNS},
	}
}

// appendJSON appends the counters as one flat JSON object.
func (c Counters) appendJSON(dst []byte) []byte {
	for i, family := range c.families() {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		dst = append(append(append(dst, separator, '"'), family.key...), '"', ':')
		dst = strconv.AppendInt(dst, family.value, 10)
	}
	return append(dst, '}', '\n')
}

// appendPrometheus appends the counters in Prometheus' text format 0.0.4.
func (c Counters) appendPrometheus(dst []byte) []byte {
	for _, family := range c.families() {
		dst = append(append(append(append(append(dst, "# TYPE "...), family.prometheus...), ' '), family.kind...), '\n')
		dst = append(append(dst, family.prometheus...), ' ')
		dst = append(strconv.AppendInt(dst, family.value, 10), '\n')
	}
	return dst
}
