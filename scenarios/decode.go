package scenarios

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// namePattern keeps names fit for a folder's name.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// Decode reads a scenario. file is its name in messages. It is strict: an
// unknown key, a wrong type, a value out of range and a subject that does not
// exist are errors of the form FILE:LINE:COLUMN: what is wrong.
func Decode(file string, data []byte) (*Scenario, error) {
	d := decoder{file: file}
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, d.syntax(err)
	}
	docs := slices.DeleteFunc(slices.Clone(parsed.Docs), func(doc *ast.DocumentNode) bool { return doc.Body == nil })
	if len(docs) != 1 {
		return nil, fmt.Errorf("%s:1:1: want one scenario in the file, have %d documents", file, len(docs))
	}
	if docs[0].Body.Type() == ast.CommentType {
		return nil, fmt.Errorf("%s:1:1: want a scenario, have nothing but comments", file)
	}
	return newDraft(d).scenario(docs[0].Body)
}

// syntax puts a parser's error into one line.
func (d decoder) syntax(err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		p := at.GetToken().Position
		return fmt.Errorf("%s:%d:%d: %s", d.file, p.Line, p.Column, at.GetMessage())
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("%s:1:1: %s", d.file, first)
}

// draft is a scenario while it is read. It holds what arms build on, wherever
// in the file that stands, and where things stand that are checked at the end.
type draft struct {
	decoder
	s       *Scenario
	load    Load
	blocks  int
	slices  int
	faults  []placedFault
	sysctls map[string]string
	arms    ast.Node
	stages  []axis // each a stage
	tunings []axis // each a sysctl

	matrixClients, loadClients       bool
	matrixConnection, loadConnection bool
	matrixRates, loadRates           bool
	precisionAt, budgetAt            ast.Node
	goalAt                           ast.Node // the first precision, of the scenario or of an arm
	blocksAt, sysctlsAt              ast.Node
	asserted                         []placedAssertion
}

func newDraft(d decoder) *draft {
	return &draft{decoder: d, s: &Scenario{File: d.file, Probes: []string{probeProc, probeNetstat}},
		load: defaultLoad(), blocks: defaultBlocks, slices: defaultSlices, sysctls: map[string]string{}}
}

// file is a whole scenario file. Its fields are the keys that there are, in the
// order in which they are told of.
func (f *draft) file() value {
	s := f.s
	probes := f.list("probes", f.probe(&s.Probes))
	v := f.object("scenario",
		field{"name", "its name: the first half of the run folder's", f.pattern(&s.Name, "name", namePattern, nameForm)},
		field{"about", "what it shows, in a sentence", f.text(&s.About, "about")},
		field{"matrix", "what is played: the subjects, and what multiplies them, their loads or the arms", f.matrix()},
		field{"arms", "the ways to play the subjects, by name; without any there is one, main", f.armsValue()},
		field{"load", "what is offered in every arm that says nothing else", f.loadValue(&f.load, "load").reading(f.noteLoad)},
		field{"repeat", "how often all is played", f.object("repeat",
			field{"blocks", "blocks: all subjects once, in fresh processes (default 10)", number(f.decoder, &f.blocks, "repeat.blocks", 1, maxBlocks).reading(place(&f.blocksAt))},
			field{"slices", "a subject's slices in a block (default 4)", number(f.decoder, &f.slices, "repeat.slices", 1, maxSlices)})},
		field{"precision", "instead of blocks: play more until the 95 % interval of each comparison is this narrow, to each side", f.precision(&s.Precision, "precision").reading(place(&f.precisionAt)).reading(place(&f.goalAt))},
		field{"budget", "the time that a precision may take (default 10m)", f.budget(&s.Budget, "budget").reading(place(&f.budgetAt))},
		field{"probes", "what observes the trials (default proc, netstat)", probes.reading(func(ast.Node) { s.Probes = nil })},
		field{"faults", "what breaks in each trial, and when", f.faultsValue(&f.faults, "faults")},
		field{"sysctls", "set in the run's own network namespace, in every arm", f.sysctlsValue(f.sysctls, "sysctls").reading(place(&f.sysctlsAt))},
		field{"compare", "the pairs to compare in ranked arms, base first, by name or phase; [] compares none (default: each subject with the one before it)", f.pairs()},
		field{"assert", "what must hold of the finished run; a breach is exit 3", f.assertions()},
		field{"shows", "play each neighbouring pair under the load that brings its change out", f.flag(&s.Shows, "shows")},
		field{"namespace", "demand a network namespace of the run's own", f.flag(&s.Namespace, "namespace")},
	)
	v.shape.Required = []string{"name", "matrix"}
	return v
}

const (
	maxBlocks = 10000
	maxSlices = 1000
	nameForm  = "small letters, digits and -"
)

// place keeps where a value stands.
func place(at *ast.Node) func(ast.Node) { return func(n ast.Node) { *at = n } }

func (f *draft) noteLoad(n ast.Node) {
	pairs, _ := f.entries(n, "load")
	for _, p := range pairs {
		f.loadClients = f.loadClients || keyText(p) == "clients"
		f.loadRates = f.loadRates || keyText(p) == "rates"
		f.loadConnection = f.loadConnection || keyText(p) == "connection"
	}
}

func (f *draft) scenario(root ast.Node) (*Scenario, error) {
	if err := f.file().read(root); err != nil {
		return nil, err
	}
	switch {
	case f.matrixClients && f.loadClients:
		return nil, f.errorf(root, "scenario: matrix.clients and load.clients say the same; give one of them")
	case f.matrixRates && f.loadRates:
		return nil, f.errorf(root, "scenario: matrix.rates and load.rates say the same; give one of them")
	case f.matrixConnection && f.loadConnection:
		return nil, f.errorf(root, "scenario: matrix.connection and load.connection say the same; give one of them")
	}
	if err := firstOf(
		func() error { return f.checkGoal() },
		func() error { return f.checkSubjects(root) },
		func() error { return f.readArms() },
		func() error { return f.multiplyArms() },
		func() error { return f.checkArms(root) },
		func() error { return f.checkAssertions() },
	); err != nil {
		return nil, err
	}
	return f.s, nil
}

// firstOf takes steps until one fails.
func firstOf(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// checkGoal holds the keys that say how long is played against each other.
func (f *draft) checkGoal() error {
	switch {
	case f.precisionAt != nil && f.blocksAt != nil:
		return f.errorf(f.blocksAt, "repeat.blocks: precision decides how many blocks are played; give one of them")
	case f.budgetAt != nil && f.precisionAt == nil:
		return f.errorf(f.budgetAt, "budget: it bounds a precision, and none is given; add precision: 1%%")
	case f.sysctlsAt != nil && !f.s.Namespace:
		return f.errorf(f.sysctlsAt, "sysctls: they are set in a network namespace of the run's own only; add namespace: true")
	}
	return nil
}

// checkSubjects multiplies the subjects by the stages of the matrix and checks
// what is said of them elsewhere.
func (f *draft) checkSubjects(root ast.Node) error {
	s := f.s
	if s.Name == "" {
		return f.errorf(root, "scenario: the key name is missing")
	}
	if len(s.Subjects) == 0 {
		return f.errorf(root, "scenario: matrix.subject is missing; name phases, such as matrix: {subject: [1, 2]}")
	}
	if err := f.multiplySubjects(); err != nil {
		return err
	}
	for _, pair := range s.Compare {
		for _, word := range pair {
			switch called := f.calledBy(word); {
			case len(called) == 0:
				return f.errorf(root, "compare: %s is no subject of the matrix", word)
			case len(called) > 1 && len(f.stages) > 0:
				return f.errorf(root, "compare: %s is several subjects of the matrix: %s; name one", word, strings.Join(called, ", "))
			}
		}
	}
	if s.Shows && len(s.Subjects) < 2 {
		return f.errorf(root, "shows: want at least two subjects to make a pair")
	}
	if s.Shows && slices.ContainsFunc(s.Subjects, func(spec SubjectSpec) bool { return spec.Phase == "" || len(spec.Overrides) > 0 }) {
		return f.errorf(root, "shows: each pair plays under the load that its newer phase names; it takes phases as they are only")
	}
	return nil
}

func (f *draft) calledBy(word string) []string {
	var names []string
	for _, spec := range f.s.Subjects {
		if spec.called(word) {
			names = append(names, spec.Name)
		}
	}
	return names
}

// checkArms checks what no arm can by itself.
func (f *draft) checkArms(root ast.Node) error {
	ranked := slices.ContainsFunc(f.s.Arms, func(a Arm) bool { return a.Ranked })
	if slices.Contains(f.s.Probes, probeSyscalls) && !ranked {
		return f.errorf(root, "probes: %s traces under the load of ranked arms, and none is ranked", probeSyscalls)
	}
	switch {
	case f.goalAt == nil:
		return nil
	case !ranked:
		return f.errorf(f.goalAt, "precision: it is that of comparisons, and no arm is ranked")
	case len(f.s.Subjects) < 2:
		return f.errorf(f.goalAt, "precision: it is that of comparisons, and there is one subject")
	case f.s.Compare != nil && len(f.s.Compare) == 0:
		return f.errorf(f.goalAt, "precision: it is that of comparisons, and compare names none")
	}
	return nil
}

func (f *draft) probe(to *[]string) value {
	v := value{read: func(n ast.Node) error {
		var word string
		if err := f.text(&word, "probes").read(n); err != nil {
			return err
		}
		if !slices.Contains(knownProbes(), word) {
			var known []field
			for _, probe := range knownProbes() {
				known = append(known, field{key: probe})
			}
			return f.errorf(n, "probes: unknown probe %q%s", word, suggest(word, known))
		}
		*to = append(*to, word)
		return nil
	}}
	v.shape = shape{Enum: enumOf(knownProbes())}
	return v
}

// wordShape is a number or text, none of it empty.
func wordShape() shape {
	return shape{AnyOf: []shape{{Type: "integer"}, {Type: "string"}}}
}

func (f *draft) pairs() value {
	var pair []string
	one := value{wordShape(), func(n ast.Node) error {
		word, err := f.word(n, "compare")
		pair = append(pair, word)
		return err
	}}
	two := value{shape{Type: "array", Items: &one.shape, MinItems: 2, MaxItems: 2}, func(n ast.Node) error {
		seq, ok := n.(*ast.SequenceNode)
		if !ok || len(seq.Values) != 2 {
			return f.errorf(n, "compare: want pairs such as [[1, 2], [5, 7]], have %s", kind(n))
		}
		pair = nil
		for _, v := range seq.Values {
			if err := one.read(v); err != nil {
				return err
			}
		}
		f.s.Compare = append(f.s.Compare, [2]string(pair))
		return nil
	}}
	return f.list("compare", two).reading(func(ast.Node) { f.s.Compare = [][2]string{} })
}

// The least and the widest interval that can be asked for, each half of it a
// fraction of the ratio, and the shortest and the longest budget.
const (
	leastPrecision, mostPrecision = 0.001, 0.5
	leastBudget, mostBudget       = time.Second, 24 * time.Hour
)

func (d decoder) precision(to *float64, what string) value {
	return d.share(to, what, leastPrecision, mostPrecision)
}

func (d decoder) budget(to *time.Duration, what string) value {
	return d.duration(to, what, leastBudget, mostBudget)
}

// sysctlPattern admits what belongs to a network namespace alone.
var sysctlPattern = regexp.MustCompile(`^net\.[a-z0-9_]+(\.[a-z0-9_]+)+$`)

// sysctlsValue reads names and values.
func (d decoder) sysctlsValue(to map[string]string, what string) value {
	one := wordShape()
	return value{
		shape{Type: "object", Names: &shape{Pattern: patternOf(sysctlPattern)}, Others: &one},
		func(n ast.Node) error {
			return d.eachSysctl(n, what, func(key string, v ast.Node) (err error) {
				to[key], err = d.word(v, what+"."+key)
				return err
			})
		},
	}
}

func (d decoder) eachSysctl(n ast.Node, what string, read func(key string, v ast.Node) error) error {
	pairs, err := d.entries(n, what)
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		key := keyText(pair)
		if !sysctlPattern.MatchString(key) {
			return d.errorf(pair.Key, "%s: want names such as net.ipv4.tcp_abort_on_overflow, have %q", what, key)
		}
		if err := read(key, pair.Value); err != nil {
			return err
		}
	}
	return nil
}
