package scenarios

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSchema(&b); err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// corpus is every scenario that comes along, and the two files that use every
// key between them.
func corpus(t testing.TB) map[string]any {
	t.Helper()
	sources := map[string][]byte{"full": []byte(full), "multiplied": []byte(multiplied)}
	files, err := fs.Glob(embedded, "*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no embedded scenarios: %v", err)
	}
	for _, file := range files {
		if sources[file], err = embedded.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	trees := map[string]any{}
	for name, source := range sources {
		var tree any
		if err := yaml.Unmarshal(source, &tree); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		trees[name] = tree
	}
	return trees
}

// asJSON is a tree as JSON, which is YAML too.
func asJSON(t testing.TB, tree any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stricter are the messages of what the decoder refuses and no schema of a key
// by itself can: the rules between keys, the range of what is written as text,
// and what only the part that is configured knows.
var stricter = []string{
	// between keys
	`exclude each other`, `say the same`, `give one of them`, `give it in one of them`, `leave one of them out`,
	`add namespace: true`, `cannot be ranked`, `plays as one stretch`, `none is ranked`, `no arm is ranked`, `is not ranked`,
	`it bounds a precision`, `compare names none`, `there is one subject`, `is no subject of the matrix`, `is several subjects of the matrix`, `at least two subjects`,
	`no subject is a phase`, `more than \d+ (subjects|arms) come`, `two (subjects|arms) are called`, `too long a name`,
	`sets net\.`, `it takes phases as they are only`,
	`a load with faults plays as one stretch`, `ends at .*, the load at`, `one target has one fault at a time`,
	`assert ".*": (no \w+ of the scenario is|nothing that the scenario plays)`,
	// the range of a text
	`want a duration from`, `want a percentage from`, `is no (duration|rate|size|number)`, `no metric`, `no such key`,
	`want a (number|percentage) from 1 to`, `want server or a number from`,
	// what is asked of others
	`subject .*: `, `asks for a shell`, `body-file: `, `want a program, have none`, `is not aimed at`, `(memory|partition): `, `faults: .*(--|option|want)`,
}

func refusedForMore(err error) bool {
	return slices.ContainsFunc(stricter, func(rule string) bool { return regexp.MustCompile(rule).MatchString(err.Error()) })
}

// others are what a value is changed to: each type, and the ends of ranges.
var others = []any{nil, true, "text", "", " ", "7", "1s", "-1s", "0", "999h", "5%", "99%", "./x", "http://127.0.0.1:1/", "keep", "server", "off",
	-1, 0, 1, 7, 70000, 1 << 40, 1.5, 0.05, []any{}, []any{1, 1}, []any{"x"}, map[string]any{}, map[string]any{"x": 1}}

// mutants gives each tree that differs from this one in one place: a key
// removed, misspelled or added, a value changed or doubled.
func mutants(at any, others []any, change func(any)) {
	for _, other := range others {
		change(other)
	}
	switch v := at.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			without := maps.Clone(v)
			delete(without, key)
			change(without)
			misspelled := maps.Clone(without)
			misspelled[key+"x"] = v[key]
			change(misspelled)
			mutants(v[key], others, func(inner any) {
				other := maps.Clone(v)
				other[key] = inner
				change(other)
			})
		}
		more := maps.Clone(v)
		more["nonsense"] = 1
		change(more)
	case []any:
		for i := range v {
			change(slices.Delete(slices.Clone(v), i, i+1))
			change(slices.Insert(slices.Clone(v), i, v[i]))
			mutants(v[i], others, func(inner any) {
				other := slices.Clone(v)
				other[i] = inner
				change(other)
			})
		}
	}
}

func TestSchemaAndDecoderAgree(t *testing.T) {
	schema := compileSchema(t)
	trees := corpus(t)
	var tried, refused, more int
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		check := func(tree any) {
			source := asJSON(t, tree)
			document, err := jsonschema.UnmarshalJSON(bytes.NewReader(source))
			if err != nil {
				t.Fatal(err)
			}
			bySchema := schema.Validate(document)
			_, byDecoder := Decode("f.yaml", source)
			tried++
			switch {
			case bySchema != nil && byDecoder == nil:
				t.Errorf("%s: the schema refuses what the decoder takes\n%s\n%v", name, source, bySchema)
			case bySchema == nil && byDecoder != nil && !refusedForMore(byDecoder):
				t.Errorf("%s: the decoder refuses what the schema takes\n%s\n%v", name, source, byDecoder)
			case bySchema == nil && byDecoder != nil:
				more++
			case bySchema != nil:
				refused++
			}
			if byDecoder != nil && !strings.HasPrefix(byDecoder.Error(), "f.yaml:") {
				t.Errorf("%s: an error without its place: %v", name, byDecoder)
			}
		}
		check(trees[name])
		if _, err := Decode("f.yaml", asJSON(t, trees[name])); err != nil {
			t.Fatalf("%s is refused as it is: %v", name, err)
		}
		of := others
		if strings.HasSuffix(name, ".yaml") {
			of = of[:3] // the other two have every key
		}
		mutants(trees[name], of, check)
		if t.Failed() {
			return // each file has the same keys
		}
	}
	t.Logf("%d mutants: both refuse %d, the decoder alone %d, both take %d", tried, refused, more, tried-refused-more)
	if refused < tried/4 || tried-refused-more < 100 {
		t.Error("the mutants tell little")
	}
}

// TestCorpusUsesEveryKey keeps the test above from passing over a new key.
func TestCorpusUsesEveryKey(t *testing.T) {
	used := map[string]bool{}
	var collect func(any)
	collect = func(at any) {
		switch v := at.(type) {
		case map[string]any:
			for key, inner := range v {
				used[key] = true
				collect(inner)
			}
		case []any:
			for _, inner := range v {
				collect(inner)
			}
		}
	}
	for _, tree := range corpus(t) {
		collect(tree)
	}
	unused := map[string]bool{}
	for _, f := range allFields(newDraft(decoder{}).file().shape) {
		if f.about == "" {
			t.Errorf("the key %s says nothing about itself", f.key)
		}
		if !used[f.key] {
			unused[f.key] = true
		}
	}
	if len(unused) > 0 {
		t.Errorf("no file of the corpus uses %v", slices.Sorted(maps.Keys(unused)))
	}
}

// allFields are the fields of a shape and of those in it.
func allFields(s shape) []field {
	fields := slices.Clone([]field(s.Properties))
	inner := slices.Concat(s.AnyOf, s.OneOf)
	for _, f := range s.Properties {
		inner = append(inner, f.shape)
	}
	if s.Items != nil {
		inner = append(inner, *s.Items)
	}
	if of, ok := s.Others.(*shape); ok {
		inner = append(inner, *of)
	}
	for _, one := range inner {
		fields = append(fields, allFields(one)...)
	}
	return fields
}

func TestEveryUnknownKeyNamesTheNearest(t *testing.T) {
	for _, c := range []struct{ path, key string }{
		{"precision", "precison"}, {"budget", "budgt"}, {"assert", "asert"}, {"sysctls", "sysctl"},
	} {
		source := fmt.Sprintf("name: x\nmatrix: {subject: [1]}\n%s: 1\n", c.key)
		want := fmt.Sprintf("f.yaml:3:1: scenario: unknown key %q (did you mean %q?)", c.key, c.path)
		if _, err := Decode("f.yaml", []byte(source)); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
