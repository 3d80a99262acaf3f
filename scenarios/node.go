package scenarios

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"mslab/results"
)

// decoder turns nodes of a YAML document into values and says of each wrong one
// where it stands.
type decoder struct {
	file   string
	shapes bool // say of stages what they take: asking them costs more than reading a file
}

func (d decoder) errorf(at ast.Node, format string, args ...any) error {
	p := at.GetToken().Position
	return fmt.Errorf("%s:%d:%d: %s", d.file, p.Line, p.Column, fmt.Sprintf(format, args...))
}

// value is what a key takes: how it is read, and what the schema says of it.
type value struct {
	shape shape
	read  func(ast.Node) error
}

// field is a key that a mapping may have, in a line, and what it takes.
type field struct {
	key   string
	about string
	value
}

// object is a value that is a mapping whose keys are all listed.
func (d decoder) object(what string, fields ...field) value {
	return value{
		shape: shape{Type: "object", Properties: fields, Others: false},
		read:  func(n ast.Node) error { return d.mapping(n, what, fields) },
	}
}

// reading does something before a value is read.
func (v value) reading(first func(ast.Node)) value {
	read := v.read
	v.read = func(n ast.Node) error { first(n); return read(n) }
	return v
}

// checked has a look at a value that was read.
func (v value) checked(check func(ast.Node) error) value {
	read := v.read
	v.read = func(n ast.Node) error {
		if err := read(n); err != nil {
			return err
		}
		return check(n)
	}
	return v
}

// optional may have no value.
func (v value) optional() value {
	read := v.read
	v.shape.Type = []string{v.shape.Type.(string), "null"}
	v.read = func(n ast.Node) error {
		if _, empty := n.(*ast.NullNode); empty {
			return nil
		}
		return read(n)
	}
	return v
}

// entries are the pairs of a mapping. A mapping of one pair may come without
// the node around it.
func (d decoder) entries(n ast.Node, what string) ([]*ast.MappingValueNode, error) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, nil
	}
	return nil, d.errorf(n, "%s: want a mapping of keys to values, have %s", what, kind(n))
}

// mapping reads a mapping whose keys are all listed in fields.
func (d decoder) mapping(n ast.Node, what string, fields []field) error {
	pairs, err := d.entries(n, what)
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		key := keyText(pair)
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 {
			return d.errorf(pair.Key, "%s: unknown key %q%s", what, key, suggest(key, fields))
		}
		if err := fields[i].read(pair.Value); err != nil {
			return err
		}
	}
	return nil
}

func keyText(pair *ast.MappingValueNode) string {
	return strings.TrimSpace(pair.Key.GetToken().Value)
}

// suggest ends a message about an unknown key: the nearest key where one is
// near, else all of them.
func suggest(key string, fields []field) string {
	best, near := "", len(key)/2+2
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.key)
		if d := editDistance(key, f.key); d < near {
			best, near = f.key, d
		}
	}
	if best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	return "; it takes " + strings.Join(names, ", ")
}

// editDistance is the number of single-character insertions, deletions and
// substitutions between two words (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// kind names a node's type in a user's words.
func kind(n ast.Node) string {
	switch v := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return fmt.Sprintf("the text %q", n.GetToken().Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + n.GetToken().Value
	case *ast.BoolNode:
		return fmt.Sprintf("the truth value %v", v.Value)
	case *ast.NullNode:
		return "nothing"
	}
	return fmt.Sprintf("a %s", strings.ToLower(n.Type().String()))
}

func (d decoder) text(to *string, what string) value {
	return value{shape{Type: "string", Pattern: `\S`}, func(n ast.Node) error {
		switch v := n.(type) {
		case *ast.StringNode:
			*to = v.Value
		case *ast.LiteralNode:
			*to = v.Value.Value
		default:
			return d.errorf(n, "%s: want text, have %s", what, kind(n))
		}
		if *to = strings.TrimSpace(*to); *to == "" {
			return d.errorf(n, "%s: want text, have none", what)
		}
		return nil
	}}
}

// choice is one of a few words.
func (d decoder) choice(to *string, what string, words ...string) value {
	v := d.text(to, what).checked(func(n ast.Node) error {
		if !slices.Contains(words, *to) {
			return d.errorf(n, "%s: want %s, have %q", what, strings.Join(words, " or "), *to)
		}
		return nil
	})
	v.shape = shape{Enum: enumOf(words)}
	return v
}

// pattern is a word of a form that is said in words.
func (d decoder) pattern(to *string, what string, re *regexp.Regexp, form string) value {
	v := d.text(to, what).checked(func(n ast.Node) error {
		if !re.MatchString(*to) {
			return d.errorf(n, "%s: want %s, have %q", what, form, *to)
		}
		return nil
	})
	v.shape.Pattern = patternOf(re)
	return v
}

func (d decoder) flag(to *bool, what string) value {
	return value{shape{Type: "boolean"}, func(n ast.Node) error {
		v, ok := n.(*ast.BoolNode)
		if !ok {
			return d.errorf(n, "%s: want true or false, have %s", what, kind(n))
		}
		*to = v.Value
		return nil
	}}
}

func (d decoder) integer(n ast.Node, what string, low, high int64) (int64, error) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, d.errorf(n, "%s: want a whole number, have %s", what, kind(n))
	}
	var v int64
	switch value := i.Value.(type) {
	case int64:
		v = value
	case uint64:
		v = int64(min(value, math.MaxInt64))
	}
	if v < low || v > high {
		return 0, d.errorf(n, "%s: want a whole number from %d to %d, have %s", what, low, high, n.GetToken().Value)
	}
	return v, nil
}

func number[T int | int64](d decoder, to *T, what string, low, high int64) value {
	return value{shape{Type: "integer", Minimum: bound(float64(low)), Maximum: bound(float64(high))}, func(n ast.Node) error {
		v, err := d.integer(n, what, low, high)
		*to = T(v)
		return err
	}}
}

func (d decoder) duration(to *time.Duration, what string, low, high time.Duration) value {
	return value{durationShape(low, high), func(n ast.Node) error {
		v, ok := n.(*ast.StringNode)
		if !ok {
			if i, whole := n.(*ast.IntegerNode); !whole || fmt.Sprint(i.Value) != "0" {
				return d.errorf(n, "%s: want a duration with its unit such as 500ms, have %s", what, kind(n))
			}
			v = &ast.StringNode{Value: "0"}
		}
		parsed, err := time.ParseDuration(v.Value)
		if err != nil {
			return d.errorf(n, "%s: want a duration with its unit such as 500ms, have %s", what, kind(n))
		}
		if parsed < low || parsed > high {
			return d.errorf(n, "%s: want a duration from %s to %s, have %s", what, low, high, parsed)
		}
		*to = parsed
		return nil
	}}
}

// share is a percentage with its sign, or a fraction.
func (d decoder) share(to *float64, what string, low, high float64) value {
	return value{
		shape{
			Description: fmt.Sprintf("a percentage from %g%% to %g%%, or that as a fraction", 100*low, 100*high),
			AnyOf:       []shape{{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)?%$`}, {Type: "number", Minimum: &low, Maximum: &high}},
		},
		func(n ast.Node) error {
			v := math.NaN()
			switch s := n.(type) {
			case *ast.StringNode:
				if strings.HasSuffix(s.Value, "%") {
					v, _ = results.ParseFraction(s.Value)
				}
			case *ast.FloatNode, *ast.IntegerNode:
				v, _ = results.ParseFraction(n.GetToken().Value)
			}
			if !(v >= low && v <= high) {
				return d.errorf(n, "%s: want a percentage from %g%% to %g%%, have %s", what, 100*low, 100*high, kind(n))
			}
			*to = v
			return nil
		},
	}
}

// list reads each item of a list.
func (d decoder) list(what string, item value) value {
	return value{shape{Type: "array", Items: &item.shape}, func(n ast.Node) error {
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			return d.errorf(n, "%s: want a list such as [a, b], have %s", what, kind(n))
		}
		for _, v := range seq.Values {
			if err := item.read(v); err != nil {
				return err
			}
		}
		return nil
	}}
}

// several is one item or a list of at least one, none of them twice. same tells
// whether the item just read was there before.
func (d decoder) several(what string, item value, reset func(), same func() bool) value {
	one := item.checked(func(n ast.Node) error {
		if same() {
			return d.errorf(n, "%s: %s is there twice", what, n.GetToken().Value)
		}
		return nil
	})
	many := d.list(what, one)
	many.shape.MinItems, many.shape.Unique = 1, true
	return value{shape{AnyOf: []shape{item.shape, many.shape}}, func(n ast.Node) error {
		reset()
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			return one.read(n)
		}
		if len(seq.Values) == 0 {
			return d.errorf(n, "%s: want at least one", what)
		}
		return many.read(n)
	}}
}

// word reads a scalar that is written as a number or as text.
func (d decoder) word(n ast.Node, what string) (string, error) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.IntegerNode:
		return fmt.Sprint(v.Value), nil
	}
	return "", d.errorf(n, "%s: want a number or a name, have %s", what, kind(n))
}

// scalar reads text, a number or a truth value as text.
func (d decoder) scalar(n ast.Node, what string) (string, error) {
	switch n.(type) {
	case *ast.BoolNode, *ast.FloatNode:
		return n.GetToken().Value, nil
	}
	return d.word(n, what)
}
