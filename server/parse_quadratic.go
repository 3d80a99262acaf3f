package server

import "mslab/server/sink"

// parseQuadratic reads the body through accessors that take bytes and know no
// document: countElements, elementAt, memberOf. There is no model of the body
// to hold a position, so each accessor starts over at the beginning of what it
// is given.
//
// That is what makes it quadratic in the number of metrics n. For each of the n
// metrics the loop in readElements
//
//   - asks countElements, in its condition, which passes over all n metrics (the
//     strlen in the condition of a for loop), and
//   - asks elementAt for metric i, which passes over the i metrics before it
//     (Shlemiel the painter, who walks back to the paint can for each stroke):
//
// n x n + n x (n-1) / 2, about 1.5 n² metrics passed over to read n of them.
// Reading the fields of one metric passes over it five times more, which is
// slow but linear. Each function is reasonable for itself, and at three metrics
// nobody notices.
//
// The square stops at the limit of 1,000 metrics a batch: it is checked before
// the loop, so that a body of 1 MiB costs at most 1,500 passes over it.
func parseQuadratic(body []byte) ([]sink.Metric, error) {
	if err := checkSyntax(body); err != nil {
		return nil, err
	}
	metrics, err := readMetrics(body)
	if err != nil {
		return nil, err
	}
	if err := validateBatch(metrics); err != nil {
		return nil, err
	}
	return metrics, nil
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
	if countElements(array) > maxBatchMetrics {
		return nil, errTooManyMetrics
	}
	var metrics []sink.Metric
	for i := 0; i < countElements(array); i++ {
		metric, err := readMetric(elementAt(array, i))
		if err != nil {
			return nil, err
		}
		metrics = append(metrics, metric)
	}
	return metrics, nil
}

func readMetric(element []byte) (m sink.Metric, err error) {
	if element[0] != '{' {
		return m, errMetricType
	}
	if m.Name, err = readName(element); err != nil {
		return m, err
	}
	if m.Value, err = readValue(element); err != nil {
		return m, err
	}
	if m.Type, err = readType(element); err != nil {
		return m, err
	}
	if m.Tags, err = readTags(element); err != nil {
		return m, err
	}
	m.TimestampMS, m.HasTimestamp, err = readTimestamp(element)
	return m, err
}

func readName(element []byte) (string, error) {
	value, err := memberOf(element, fieldName, `"n`, errNameType)
	if err != nil || value == nil || value[0] == 'n' {
		return "", err
	}
	return stringOf(value).text(), nil
}

func readType(element []byte) (string, error) {
	value, err := memberOf(element, fieldType, `"n`, errTypeType)
	if err != nil {
		return "", err
	}
	if value == nil || value[0] == 'n' {
		return typeGauge, nil
	}
	return typeText(stringOf(value)), nil
}

func readValue(element []byte) (float64, error) {
	number := missingValue()
	members := membersOf(element)
	for members.next() {
		if fieldOf(members.key) != fieldValue {
			continue
		}
		switch c := members.value[0]; {
		case c == 'n':
			number = missingValue()
		case c == '-' || isDigit(c):
			var err error
			if number, err = numberOf(members.value).finite(); err != nil {
				return 0, err
			}
		default:
			return 0, errValueType
		}
	}
	return number, nil
}

func readTimestamp(element []byte) (ms int64, found bool, err error) {
	members := membersOf(element)
	for members.next() {
		if fieldOf(members.key) != fieldTimestamp {
			continue
		}
		if c := members.value[0]; c != '-' && !isDigit(c) {
			return 0, false, errTimestampType
		}
		if ms, err = timestampOf(numberOf(members.value)); err != nil {
			return 0, false, err
		}
		found = true
	}
	return ms, found, nil
}

func readTags(element []byte) (tags []sink.Tag, err error) {
	members := membersOf(element)
	for members.next() {
		if fieldOf(members.key) != fieldTags {
			continue
		}
		switch members.value[0] {
		case '{':
			tags, err = readTagObject(members.value)
		case 'n':
			tags = nil
		default:
			err = errTagsType
		}
		if err != nil {
			return nil, err
		}
	}
	return tags, nil
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
