package server

import "mslab/server/sink"

// parseLinear reads the body in one pass: each byte is looked at once, and the
// metrics are built on the way. Its time grows with the body's length.
func parseLinear(body []byte) ([]sink.Metric, error) {
	p := linearParser{jsonScanner{data: body}}
	return p.document()
}

type linearParser struct{ jsonScanner }

// How many arrays and objects are open around a value of the document, of a
// metric.
const (
	depthInDocument = 1
	depthInMetric   = 3
)

func (p *linearParser) document() ([]sink.Metric, error) {
	p.space()
	if p.peek() != '{' {
		return nil, errNotObject
	}
	p.pos++
	var metrics []sink.Metric
	for first := true; ; first = false {
		key, more, err := p.nextKey(first)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if fieldOf(key) == fieldMetrics {
			metrics, err = p.metrics()
		} else {
			err = p.skip(depthInDocument)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return metrics, nil
}

func (p *linearParser) metrics() ([]sink.Metric, error) {
	if p.isNull() {
		return nil, nil
	}
	if p.peek() != '[' {
		return nil, errMetricsType
	}
	p.pos++
	metrics := make([]sink.Metric, 0, 4)
	for first := true; ; first = false {
		more, err := p.next(']', first)
		if err != nil {
			return nil, err
		}
		if !more {
			return metrics, nil
		}
		if len(metrics) == maxBatchMetrics {
			return nil, errTooManyMetrics
		}
		metrics = append(metrics, sink.Metric{Type: typeGauge, Value: missingValue()})
		if err := p.metric(&metrics[len(metrics)-1]); err != nil {
			return nil, err
		}
	}
}

func (p *linearParser) metric(m *sink.Metric) error {
	if p.peek() != '{' {
		return errMetricType
	}
	p.pos++
	for first := true; ; first = false {
		key, more, err := p.nextKey(first)
		if err != nil || !more {
			return err
		}
		if err := p.member(m, fieldOf(key)); err != nil {
			return err
		}
	}
}

// member reads the value of one field into the metric.
func (p *linearParser) member(m *sink.Metric, field jsonField) error {
	switch field {
	case fieldName:
		return p.name(m)
	case fieldValue:
		return p.value(m)
	case fieldType:
		return p.metricType(m)
	case fieldTags:
		return p.tags(m)
	case fieldTimestamp:
		return p.timestamp(m)
	default:
		return p.skip(depthInMetric)
	}
}

func (p *linearParser) name(m *sink.Metric) error {
	if p.isNull() {
		m.Name = ""
		return nil
	}
	name, err := p.stringValue(errNameType)
	if err != nil {
		return err
	}
	m.Name = name.text()
	return nil
}

func (p *linearParser) metricType(m *sink.Metric) error {
	if p.isNull() {
		m.Type = typeGauge
		return nil
	}
	text, err := p.stringValue(errTypeType)
	if err != nil {
		return err
	}
	m.Type = typeText(text)
	return nil
}

// stringValue passes a string, or reports that something else stands there.
func (p *linearParser) stringValue(wrongType error) (jsonString, error) {
	if p.peek() != '"' {
		return jsonString{}, wrongType
	}
	return p.string()
}

func (p *linearParser) value(m *sink.Metric) error {
	if p.isNull() {
		m.Value = missingValue()
		return nil
	}
	number, err := p.numberValue(errValueType)
	if err != nil {
		return err
	}
	m.Value, err = number.finite()
	return err
}

func (p *linearParser) timestamp(m *sink.Metric) error {
	number, err := p.numberValue(errTimestampType)
	if err != nil {
		return err
	}
	m.TimestampMS, err = timestampOf(number)
	m.HasTimestamp = true
	return err
}

// numberValue passes a number, or reports that something else stands there.
func (p *linearParser) numberValue(wrongType error) (jsonNumber, error) {
	if c := p.peek(); c != '-' && !isDigit(c) {
		return jsonNumber{}, wrongType
	}
	return p.number()
}

func (p *linearParser) tags(m *sink.Metric) error {
	m.Tags = nil
	if p.isNull() {
		return nil
	}
	if p.peek() != '{' {
		return errTagsType
	}
	p.pos++
	var list tagList
	for first := true; ; first = false {
		key, more, err := p.nextKey(first)
		if err != nil {
			return err
		}
		if !more {
			m.Tags = list.tags
			return nil
		}
		value, err := p.stringValue(errTagType)
		if err != nil {
			return err
		}
		list.set(key.text(), value.text())
	}
}
