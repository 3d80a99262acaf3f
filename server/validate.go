package server

import (
	"math"
	"strconv"
	"unicode/utf8"

	"mslab/server/sink"
)

// The metric types; typeGauge is what a metric without a type is.
const (
	typeCounter   = "counter"
	typeGauge     = "gauge"
	typeHistogram = "histogram"
	typeSummary   = "summary"
)

// The first and last millisecond whose year has four digits, as RFC 3339 wants
// it: 0001-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
const (
	minTimestampMS = -62135596800000
	maxTimestampMS = 253402300799999
)

// missingValue stands for a value that the body did not give. JSON has no NaN,
// so that no body can spell it.
func missingValue() float64 { return math.NaN() }

// validateBatch checks what a parsed batch must hold: 1 to 1,000 metrics, each
// with a name of 1 to 255 characters (Unicode code points), a finite value, a
// known type and a time stamp within the years 0001 to 9999. The error is a
// badRequest that names the first metric at fault by its index.
func validateBatch(metrics []sink.Metric) error {
	switch {
	case len(metrics) == 0:
		return badRequest{"empty batch"}
	case len(metrics) > maxBatchMetrics:
		return errTooManyMetrics
	}
	for i := range metrics {
		if fault := metricFault(&metrics[i]); fault != "" {
			return badRequest{"metrics[" + strconv.Itoa(i) + "]: " + fault}
		}
	}
	return nil
}

// metricFault says what is wrong with a metric, "" where nothing is.
func metricFault(m *sink.Metric) string {
	if m.Name == "" {
		return "empty or missing name"
	}
	if len(m.Name) > maxNameCharacters && utf8.RuneCountInString(m.Name) > maxNameCharacters {
		return "name over 255 characters"
	}
	if math.IsNaN(m.Value) {
		return "missing value"
	}
	if math.IsInf(m.Value, 0) {
		return notFinite
	}
	switch m.Type {
	case typeCounter, typeGauge, typeHistogram, typeSummary:
	default:
		return "type must be counter, gauge, histogram or summary"
	}
	if m.HasTimestamp && (m.TimestampMS < minTimestampMS || m.TimestampMS > maxTimestampMS) {
		return "timestamp outside the years 0001 to 9999"
	}
	return ""
}
