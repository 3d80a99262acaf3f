package server

import "mslab/server/sink"

// parseQuadratic reads the body through accessors that take bytes and know no
// document: parseQuadraticCount, parseQuadraticElement. There is no model of the
// body to hold a position, so each accessor starts over at the beginning of what
// it is given.
//
// That is what makes it quadratic in the number of metrics n. For each of the n
// metrics the loop in readElements
//
//   - asks parseQuadraticCount, in its condition, which passes over all n metrics
//     (the strlen in the condition of a for loop), and
//   - asks parseQuadraticElement for metric i, twice: for its type, then for
//     itself. Each time that passes over the i metrics before it (Shlemiel the
//     painter, who walks back to the paint can for each stroke):
//
// n x n + 2 x n x (n-1) / 2, about 2 n² metrics passed over to read n of them.
// The check of the syntax and the reading of the fields add a few passes, which
// are linear. Each function is reasonable for itself, and at three metrics nobody
// notices.
//
// The square stops at the limit of 1,000 metrics a batch: it is checked before
// the loop, so that a body of 1 MiB costs at most about 2,000 passes over it.
func parseQuadratic(body []byte) ([]sink.Metric, error) {
	if err := checkSyntax(body); err != nil {
		return nil, err
	}
	return readMetrics(body)
}

// checkSyntax refuses what is not one JSON object. The accessors rely on it:
// they neither check the grammar nor the end of their bytes.
func checkSyntax(body []byte) error {
	s := jsonScanner{data: body}
	s.space()
	if s.peek() != '{' {
		return errNotObject
	}
	if err := s.skip(0); err != nil {
		return err
	}
	return s.end()
}

// readMetrics reads every "metrics" of the document and keeps the last.
func readMetrics(body []byte) (metrics []sink.Metric, err error) {
	members := membersOf(body)
	for members.next() {
		if fieldOf(members.key) != fieldMetrics {
			continue
		}
		switch members.value[0] {
		case '[':
			metrics, err = readElements(members.value)
		case 'n':
			metrics = nil
		default:
			err = errMetricsType
		}
		if err != nil {
			return nil, err
		}
	}
	return metrics, nil
}

func readElements(array []byte) ([]sink.Metric, error) {
	if parseQuadraticCount(array) > maxBatchMetrics {
		return nil, errTooManyMetrics
	}
	var metrics []sink.Metric
	for i := 0; i < parseQuadraticCount(array); i++ {
		if parseQuadraticElement(array, i)[0] != '{' {
			return nil, errMetricType
		}
		metric, err := readMetric(parseQuadraticElement(array, i))
		if err != nil {
			return nil, err
		}
		metrics = append(metrics, metric)
	}
	return metrics, nil
}

func readMetric(element []byte) (sink.Metric, error) {
	m := sink.Metric{Type: typeGauge, Value: missingValue()}
	members := membersOf(element)
	for members.next() {
		if err := readMember(&m, fieldOf(members.key), members.value); err != nil {
			return m, err
		}
	}
	return m, nil
}

func readMember(m *sink.Metric, field jsonField, value []byte) (err error) {
	switch field {
	case fieldName:
		m.Name, err = readName(value)
	case fieldValue:
		m.Value, err = readValue(value)
	case fieldType:
		m.Type, err = readType(value)
	case fieldTags:
		m.Tags, err = readTags(value)
	case fieldTimestamp:
		m.TimestampMS, err = readTimestamp(value)
		m.HasTimestamp = true
	}
	return err
}

func readName(value []byte) (string, error) {
	switch value[0] {
	case '"':
		return stringOf(value).text(), nil
	case 'n':
		return "", nil
	}
	return "", errNameType
}

func readType(value []byte) (string, error) {
	switch value[0] {
	case '"':
		return typeText(stringOf(value)), nil
	case 'n':
		return typeGauge, nil
	}
	return "", errTypeType
}

func readValue(value []byte) (float64, error) {
	switch c := value[0]; {
	case c == '-' || isDigit(c):
		return numberOf(value).finite()
	case c == 'n':
		return missingValue(), nil
	}
	return 0, errValueType
}

func readTimestamp(value []byte) (int64, error) {
	if c := value[0]; c != '-' && !isDigit(c) {
		return 0, errTimestampType
	}
	return timestampOf(numberOf(value))
}

func readTags(value []byte) ([]sink.Tag, error) {
	switch value[0] {
	case '{':
		return readTagObject(value)
	case 'n':
		return nil, nil
	}
	return nil, errTagsType
}

func readTagObject(object []byte) ([]sink.Tag, error) {
	var list tagList
	members := membersOf(object)
	for members.next() {
		if members.value[0] != '"' {
			return nil, errTagType
		}
		list.set(members.key.text(), stringOf(members.value).text())
	}
	return list.tags, nil
}
