package scenarios

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"mslab/server"
)

// maxBody bounds the body of a request in bytes.
const maxBody = 16 << 20

// urlPattern begins what a subject that already runs is found at.
var urlPattern = regexp.MustCompile(`^https?://`)

// subject reads a phase by number or name, or a mapping.
func (d decoder) subject(to *[]SubjectSpec) value {
	const what = "matrix.subject"
	var spec SubjectSpec
	phase := d.phase(&spec.Phase, what)
	mapping := d.subjectMapping(&spec, what)
	return value{shape{AnyOf: []shape{phase.shape, mapping.shape}}, func(n ast.Node) error {
		spec = SubjectSpec{}
		read := phase.read
		if _, err := d.entries(n, what); err == nil {
			read = mapping.read
		}
		if err := read(n); err != nil {
			return err
		}
		*to = append(*to, spec)
		return nil
	}}
}

// phase reads one that there is.
func (d decoder) phase(to *string, what string) value {
	var numbers, names []any
	for _, p := range server.Phases() {
		numbers, names = append(numbers, p.Number, fmt.Sprint(p.Number)), append(names, p.Name)
	}
	return value{shape{Enum: append(numbers, names...)}, func(n ast.Node) error {
		word, err := d.word(n, what)
		if err != nil {
			return err
		}
		if _, err := server.FindPhase(word); err != nil {
			return d.errorf(n, "%s: %v", what, err)
		}
		*to = word
		return nil
	}}
}

func (d decoder) subjectMapping(spec *SubjectSpec, what string) value {
	sub := func(key string) string { return what + "." + key }
	var bodyAt, fileAt ast.Node
	v := d.object(what,
		field{"name", "what tables call it", d.pattern(&spec.Name, sub("name"), subjectPattern, "at most 40 letters, digits and . _ + -")},
		field{"phase", "a phase, by number or name", d.phase(&spec.Phase, sub("phase"))},
		field{"command", "a program and its arguments, split as a shell splits them, without a shell; {port}, {data} and {mslab} are replaced by a free port, a folder of its own and the mslab that runs", d.command(&spec.Command, sub("command"))},
		field{"url", "a server that already runs: never started, never stopped", d.pattern(&spec.URL, sub("url"), urlPattern, "a URL such as http://127.0.0.1:8000/")},
		field{"ready", "where a command says that it is ready: a URL or its path (default: once it accepts a connection)", d.text(&spec.Ready, sub("ready"))},
		field{"ready-timeout", "how long a command may take to be ready (default 30s)", d.duration(&spec.ReadyTimeout, sub("ready-timeout"), time.Millisecond, time.Hour)},
		field{"port", "the port of a command that cannot be told one", number(d, &spec.Port, sub("port"), 1, 65535)},
		field{"path", "what a command or URL is asked for (default /)", d.text(&spec.Path, sub("path"))},
		field{"method", "the HTTP method (default POST with a body, GET without)", d.text(&spec.Method, sub("method"))},
		field{"header", "header fields, by name", d.header(&spec.Header, sub("header"))},
		field{"body", "the body of the request", d.body(&spec.Body, sub("body")).reading(place(&bodyAt))},
		field{"body-file", "a file with the body, as seen from the scenario's folder", d.bodyFile(&spec.Body, sub("body-file")).reading(place(&fileAt))},
	)
	v.shape.OneOf = []shape{{Required: []string{"phase"}}, {Required: []string{"command"}}, {Required: []string{"url"}}}
	return v.reading(func(ast.Node) { bodyAt, fileAt = nil, nil }).checked(func(n ast.Node) error {
		if bodyAt != nil && fileAt != nil {
			return d.errorf(fileAt, "%s: body and body-file exclude each other", what)
		}
		if err := spec.Check(); err != nil {
			return d.errorf(n, "%s: %v", what, err)
		}
		return nil
	})
}

// command reads one text, which is split, or a list of words.
func (d decoder) command(to *[]string, what string) value {
	var word string
	one := d.text(&word, what).checked(func(n ast.Node) (err error) {
		if *to, err = SplitCommand(word); err != nil {
			return d.errorf(n, "%s: %v", what, err)
		}
		return nil
	})
	item := value{wordShape(), func(n ast.Node) error {
		word, err := d.scalar(n, what)
		if err == nil && strings.ContainsRune(word, 0) {
			err = d.errorf(n, "%s: a command cannot hold NUL", what)
		}
		*to = append(*to, word)
		return err
	}}
	item.shape = shape{Type: []string{"string", "number", "boolean"}}
	many := d.list(what, item).reading(func(ast.Node) { *to = nil }).checked(func(n ast.Node) error {
		if len(*to) == 0 || (*to)[0] == "" {
			return d.errorf(n, "%s: want a program, have none", what)
		}
		return nil
	})
	many.shape.MinItems = 1
	return value{shape{AnyOf: []shape{one.shape, many.shape}}, func(n ast.Node) error {
		if _, list := n.(*ast.SequenceNode); list {
			return many.read(n)
		}
		return one.read(n)
	}}
}

func (d decoder) header(to *http.Header, what string) value {
	item := shape{Type: "string"}
	return value{shape{Type: "object", Others: &item}, func(n ast.Node) error {
		pairs, err := d.entries(n, what)
		if err != nil {
			return err
		}
		*to = http.Header{}
		for _, pair := range pairs {
			var text string
			if err := d.verbatim(&text, what+"."+keyText(pair)).read(pair.Value); err != nil {
				return err
			}
			to.Add(keyText(pair), text)
		}
		return nil
	}}
}

// verbatim is text with the white space around it.
func (d decoder) verbatim(to *string, what string) value {
	return value{shape{Type: "string"}, func(n ast.Node) error {
		switch v := n.(type) {
		case *ast.StringNode:
			*to = v.Value
		case *ast.LiteralNode:
			*to = v.Value.Value
		default:
			return d.errorf(n, "%s: want text, have %s", what, kind(n))
		}
		return nil
	}}
}

func (d decoder) body(to *[]byte, what string) value {
	var text string
	return d.verbatim(&text, what).checked(func(ast.Node) error { *to = []byte(text); return nil })
}

func (d decoder) bodyFile(to *[]byte, what string) value {
	var name string
	return d.text(&name, what).checked(func(n ast.Node) error {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(d.file), name)
		}
		data, err := readBody(name)
		if err != nil {
			return d.errorf(n, "%s: %v", what, err)
		}
		*to = data
		return nil
	})
}

// readBody reads a regular file of a size that a request may have.
func readBody(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", name)
	}
	if err != nil {
		return nil, err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxBody+1))
	if err = errors.Join(err, file.Close()); err == nil && len(data) > maxBody {
		err = fmt.Errorf("%s is longer than the %d MiB of a body", name, maxBody>>20)
	}
	return data, err
}
