package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"mslab/server/sink"
)

// oracle reads a body with encoding/json alone. It goes by the tokens of
// json.Decoder, because decoding into structs folds the case of keys, merges
// the duplicates of maps and slices and lets invalid UTF-8 pass.
func oracle(body []byte) ([]sink.Metric, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("not UTF-8")
	}
	if !json.Valid(body) { // the whole: depth and trailing bytes as well
		return nil, errors.New("not JSON")
	}
	top, err := oracleObject(body)
	if err != nil {
		return nil, err
	}
	var last []oracleMetric
	for _, m := range top {
		if m.key != "metrics" {
			continue
		}
		if last, err = oracleMetrics(m.value); err != nil {
			return nil, err
		}
	}
	return oracleValidate(last)
}

type oracleMember struct {
	key   string
	value json.RawMessage
}

type oracleMetric struct {
	name, kind *string
	value      *float64
	timestamp  *int64
	tags       []sink.Tag
}

// oracleObject is the members of an object in order, duplicates included.
func oracleObject(raw json.RawMessage) ([]oracleMember, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("not an object: %v %w", open, err)
	}
	var members []oracleMember
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		m := oracleMember{key: key.(string)}
		if err := dec.Decode(&m.value); err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return members, nil
}

func oracleMetrics(raw json.RawMessage) ([]oracleMetric, error) {
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return nil, err
	}
	if len(elements) > 1000 {
		return nil, errors.New("too many metrics")
	}
	metrics := make([]oracleMetric, len(elements))
	for i, element := range elements {
		members, err := oracleObject(element)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			if err := metrics[i].read(m.key, m.value); err != nil {
				return nil, err
			}
		}
	}
	return metrics, nil
}

func (m *oracleMetric) read(key string, raw json.RawMessage) error {
	switch key {
	case "name":
		return json.Unmarshal(raw, &m.name)
	case "type":
		return json.Unmarshal(raw, &m.kind)
	case "value":
		return json.Unmarshal(raw, &m.value)
	case "timestamp":
		if string(raw) == "null" {
			return errors.New("null timestamp")
		}
		return json.Unmarshal(raw, &m.timestamp)
	case "tags":
		return m.readTags(raw)
	}
	return nil
}

func (m *oracleMetric) readTags(raw json.RawMessage) error {
	m.tags = nil
	if string(raw) == "null" {
		return nil
	}
	members, err := oracleObject(raw)
	if err != nil {
		return err
	}
	for _, member := range members {
		var value *string
		if err := json.Unmarshal(member.value, &value); err != nil {
			return err
		}
		if value == nil {
			return errors.New("null tag")
		}
		tag := sink.Tag{Key: member.key, Value: *value}
		at := slices.IndexFunc(m.tags, func(t sink.Tag) bool { return t.Key == tag.Key })
		if at >= 0 {
			m.tags[at] = tag
		} else {
			m.tags = append(m.tags, tag)
		}
	}
	return nil
}

func oracleValidate(metrics []oracleMetric) ([]sink.Metric, error) {
	if len(metrics) == 0 {
		return nil, errors.New("empty")
	}
	out := make([]sink.Metric, len(metrics))
	for i, m := range metrics {
		if m.name == nil || *m.name == "" || utf8.RuneCountInString(*m.name) > 255 {
			return nil, errors.New("name")
		}
		if m.value == nil {
			return nil, errors.New("value")
		}
		kind := "gauge"
		if m.kind != nil {
			kind = *m.kind
		}
		if !slices.Contains([]string{"counter", "gauge", "histogram", "summary"}, kind) {
			return nil, errors.New("type")
		}
		out[i] = sink.Metric{Name: *m.name, Value: *m.value, Type: kind, Tags: m.tags}
		if m.timestamp == nil {
			continue
		}
		// -62135596800 s is 0001-01-01, 253402300800 s is 10000-01-01.
		if *m.timestamp < -62135596800*1000 || *m.timestamp >= 253402300800*1000 {
			return nil, errors.New("timestamp")
		}
		out[i].TimestampMS, out[i].HasTimestamp = *m.timestamp, true
	}
	return out, nil
}

// difference tells where two batches differ, "" where they do not. Values are
// compared by their bits, so that 0 and -0 differ.
func difference(got, want []sink.Metric) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d metrics, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		same := g.Name == w.Name && g.Type == w.Type &&
			math.Float64bits(g.Value) == math.Float64bits(w.Value) &&
			g.HasTimestamp == w.HasTimestamp && g.TimestampMS == w.TimestampMS &&
			slices.Equal(g.Tags, w.Tags)
		if !same {
			return fmt.Sprintf("metric %d is %+v, want %+v", i, g, w)
		}
	}
	return ""
}
