package scenarios

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"time"
)

// SchemaID names the JSON Schema of scenario files.
const SchemaID = "https://mslab.invalid/scenario/v1"

// WriteSchema writes the JSON Schema (draft 2020-12) of scenario files. It is
// made of the fields that the decoder reads by, and says what can be said of a
// key by itself; docs/scenarios.md lists what Decode refuses beyond that.
func WriteSchema(w io.Writer) error {
	root := newDraft(decoder{shapes: true}).file().shape
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.ID = SchemaID
	root.Title = "A scenario of mslab run"
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return fmt.Errorf("write the schema of scenarios: %w", err)
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// shape is what a JSON Schema says of a value.
type shape struct {
	Schema      string     `json:"$schema,omitempty"`
	ID          string     `json:"$id,omitempty"`
	Title       string     `json:"title,omitempty"`
	Description string     `json:"description,omitempty"`
	Type        any        `json:"type,omitempty"` // a word or a list of words
	Const       any        `json:"const,omitempty"`
	Enum        []any      `json:"enum,omitempty"`
	Pattern     string     `json:"pattern,omitempty"`
	MinLength   int        `json:"minLength,omitempty"`
	Minimum     *float64   `json:"minimum,omitempty"`
	Maximum     *float64   `json:"maximum,omitempty"`
	Items       *shape     `json:"items,omitempty"`
	PrefixItems []shape    `json:"prefixItems,omitempty"`
	MinItems    int        `json:"minItems,omitempty"`
	MaxItems    int        `json:"maxItems,omitempty"`
	Unique      bool       `json:"uniqueItems,omitempty"`
	Properties  properties `json:"properties,omitempty"`
	Required    []string   `json:"required,omitempty"`
	MinProps    int        `json:"minProperties,omitempty"`
	Names       *shape     `json:"propertyNames,omitempty"`
	Others      any        `json:"additionalProperties,omitempty"` // false or a *shape
	AnyOf       []shape    `json:"anyOf,omitempty"`
	OneOf       []shape    `json:"oneOf,omitempty"`
}

// properties keep the order of the fields, which encoding/json would sort.
type properties []field

// MarshalJSON writes an object of a shape a key.
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		s := f.shape
		if s.Description = f.about; f.shape.Description != "" {
			s.Description += " (" + f.shape.Description + ")"
		}
		key, err := json.Marshal(f.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func bound(v float64) *float64 { return &v }

func enumOf[T any](values []T) []any {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	return list
}

const (
	// oneDuration is a number with a unit, as time.ParseDuration reads them.
	oneDuration = `([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)`
	// wholeNumber is a YAML integer in decimal, as text.
	wholeNumber = `^[0-9]+$`
)

// durationShape says what can be said of a duration's text; its range stands in
// the words.
func durationShape(low, high time.Duration) shape {
	s := shape{Type: "string", Pattern: `^\+?(` + oneDuration + `)+$`, Description: fmt.Sprintf("a duration with its unit, from %s to %s", low, high)}
	if low > 0 {
		return s
	}
	zero := shape{Type: "string", Pattern: `^[+-]?0$`}
	about := s.Description
	s.Description = ""
	return shape{Description: about, AnyOf: []shape{s, zero, {Const: 0}}}
}

// patternOf is a Go pattern as a schema has it; those here mean the same in
// both.
func patternOf(re *regexp.Regexp) string { return re.String() }
