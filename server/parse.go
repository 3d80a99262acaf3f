package server

import (
	"strconv"

	"mslab/server/sink"
)

// parseFunc turns a request's body into its metrics, which hold copies, never a
// part of body. They are no batch until validateBatch has passed them: a missing
// name is "" there, a missing value NaN. Any error is a badRequest.
//
// Together with validateBatch all parsers accept one language:
//
//   - RFC 8259 in valid UTF-8 without a byte order mark, one document and
//     nothing but white space after it, nested to a depth of at most 10,000.
//   - The top level is an object; its "metrics" is an array of at most 1,000
//     objects; missing, null or [] is an empty batch.
//   - name (string) and value (number) are required, and null there counts as
//     missing; type (string) and tags (object of strings) are optional, and null
//     there counts as missing; timestamp (integer, Unix ms) is optional, and null
//     there is an error, as is a null tag value or a null metric.
//   - Keys are compared exactly, after escapes are resolved; unknown ones are
//     skipped. A lone surrogate escape reads as U+FFFD.
//   - Of duplicate keys the last wins, at every level, and replaces the earlier
//     value as a whole (tags are not merged). What cannot be converted to its
//     field's type at all is refused even where a later duplicate replaces it,
//     as encoding/json does: a wrong JSON type, a value that overflows a float64,
//     a timestamp that is no int64, an array of more than 1,000 metrics. What
//     validateBatch asks (names, types, ranges, presence) is asked only of the
//     metrics that remain.
type parseFunc func(body []byte) ([]sink.Metric, error)

// badRequest is a body that is refused with 400. It is returned by value.
type badRequest struct {
	reason string // lower-case phrase in plain ASCII without quotes, safe to show
}

func (e badRequest) Error() string { return e.reason }

const (
	maxBatchMetrics   = 1000
	maxNameCharacters = 255
	notFinite         = "value not finite"
	// maxJSONDepth is how many arrays and objects may be open at once, the
	// outermost counted: the limit of encoding/json.
	maxJSONDepth = 10000
)

// What is wrong with the shape of a body, wherever in it that stands. They are
// errors already: a conversion to one would allocate on each use.
var (
	errNotObject       error = badRequest{"body must be a JSON object"}
	errMetricsType     error = badRequest{"metrics must be an array"}
	errMetricType      error = badRequest{"each of the metrics must be an object"}
	errTooManyMetrics  error = badRequest{"more than 1,000 metrics"}
	errNameType        error = badRequest{"name must be a string"}
	errTypeType        error = badRequest{"type must be a string"}
	errValueType       error = badRequest{"value must be a number"}
	errValueNotFinite  error = badRequest{notFinite}
	errTagsType        error = badRequest{"tags must be an object"}
	errTagType         error = badRequest{"tag values must be strings"}
	errTimestampType   error = badRequest{"timestamp must be an integer (Unix milliseconds)"}
	errNestedTooDeeply error = badRequest{"invalid JSON: nested deeper than 10,000"}
)

// jsonField is a key that the server knows.
type jsonField int

const (
	fieldUnknown jsonField = iota
	fieldMetrics
	fieldName
	fieldValue
	fieldType
	fieldTags
	fieldTimestamp
)

// fieldOf matches a key exactly, whatever way it was spelt.
func fieldOf(key jsonString) jsonField {
	raw := key.raw
	if key.escaped {
		raw = appendUnescaped(nil, raw)
	}
	switch string(raw) {
	case "metrics":
		return fieldMetrics
	case "name":
		return fieldName
	case "value":
		return fieldValue
	case "type":
		return fieldType
	case "tags":
		return fieldTags
	case "timestamp":
		return fieldTimestamp
	}
	return fieldUnknown
}

// typeText is the metric type's text, without an allocation for those that are
// valid.
func typeText(s jsonString) string {
	if !s.escaped {
		switch string(s.raw) {
		case typeCounter:
			return typeCounter
		case typeGauge:
			return typeGauge
		case typeHistogram:
			return typeHistogram
		case typeSummary:
			return typeSummary
		}
	}
	return s.text()
}

// timestampOf reads an integer literal; fractions and exponents are refused
// even where they amount to an integer.
func timestampOf(n jsonNumber) (int64, error) {
	ms, err := strconv.ParseInt(string(n.literal), 10, 64)
	if err != nil {
		return 0, errTimestampType
	}
	return ms, nil
}

// tagIndexFrom is how many tags are searched one by one; above it a map keeps a
// body of many tags from costing the square of their number.
const tagIndexFrom = 16

// tagList collects tags in the order of first appearance, keys unique.
type tagList struct {
	tags  []sink.Tag
	index map[string]int // nil up to tagIndexFrom tags
}

func (l *tagList) set(key, value string) {
	if at, found := l.find(key); found {
		l.tags[at].Value = value
		return
	}
	if l.tags == nil {
		l.tags = make([]sink.Tag, 0, 2)
	}
	l.tags = append(l.tags, sink.Tag{Key: key, Value: value})
	switch {
	case l.index != nil:
		l.index[key] = len(l.tags) - 1
	case len(l.tags) > tagIndexFrom:
		l.index = make(map[string]int, 4*tagIndexFrom)
		for i, tag := range l.tags {
			l.index[tag.Key] = i
		}
	}
}

func (l *tagList) find(key string) (at int, found bool) {
	if l.index != nil {
		at, found = l.index[key]
		return at, found
	}
	for i := range l.tags {
		if l.tags[i].Key == key {
			return i, true
		}
	}
	return 0, false
}
