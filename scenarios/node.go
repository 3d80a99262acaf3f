package scenarios

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decoder turns nodes of a YAML document into values and says of each wrong one
// where it stands.
type decoder struct {
	file string
}

func (d decoder) errorf(at ast.Node, format string, args ...any) error {
	p := at.GetToken().Position
	return fmt.Errorf("%s:%d:%d: %s", d.file, p.Line, p.Column, fmt.Sprintf(format, args...))
}

// field is a key that a mapping may have and what reads its value.
type field struct {
	key  string
	read func(ast.Node) error
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

func (d decoder) text(to *string, what string) func(ast.Node) error {
	return func(n ast.Node) error {
		switch v := n.(type) {
		case *ast.StringNode:
			*to = v.Value
		case *ast.LiteralNode:
			*to = strings.TrimSpace(v.Value.Value)
		default:
			return d.errorf(n, "%s: want text, have %s", what, kind(n))
		}
		if *to == "" {
			return d.errorf(n, "%s: want text, have none", what)
		}
		return nil
	}
}

func (d decoder) flag(to *bool, what string) func(ast.Node) error {
	return func(n ast.Node) error {
		v, ok := n.(*ast.BoolNode)
		if !ok {
			return d.errorf(n, "%s: want true or false, have %s", what, kind(n))
		}
		*to = v.Value
		return nil
	}
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

func number[T int | int64](d decoder, to *T, what string, low, high int64) func(ast.Node) error {
	return func(n ast.Node) error {
		v, err := d.integer(n, what, low, high)
		*to = T(v)
		return err
	}
}

func (d decoder) duration(to *time.Duration, what string, low, high time.Duration) func(ast.Node) error {
	return func(n ast.Node) error {
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
	}
}

// list reads each item of a list.
func (d decoder) list(what string, item func(ast.Node) error) func(ast.Node) error {
	return func(n ast.Node) error {
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			return d.errorf(n, "%s: want a list such as [a, b], have %s", what, kind(n))
		}
		for _, v := range seq.Values {
			if err := item(v); err != nil {
				return err
			}
		}
		return nil
	}
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
