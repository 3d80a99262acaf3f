package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
	"mslab/server"
)

// The axes of a matrix multiply what reads best in tables. Clients, connection
// and rates are loads: each subject plays each of them in every block, and a
// table has one of them. A stage makes variants of each phase, which stand below
// each other in one table, interleaved and compared. A sysctl belongs to the
// namespace while an arm plays, so it multiplies the arms.

// axis is a key of the matrix with its values.
type axis struct {
	key    string
	values []string
	at     ast.Node
}

func (f *draft) matrix() value {
	subjects := f.list("matrix.subject", f.subject(&f.s.Subjects))
	subjects.shape.MinItems = 1
	fields := []field{
		{"subject", "what is measured, in the order of the tables: phases by number or name, commands, URLs", subjects},
		{"clients", "concurrent clients, each number a load of its own", f.clients(&f.load.Clients, "matrix.clients").reading(func(ast.Node) { f.matrixClients = true })},
		{"connection", "keep or new connections, each a load of its own", f.connectionAxis().reading(func(ast.Node) { f.matrixConnection = true })},
		{"rates", "requests a second of an open loop, each number a load of its own", f.rates(&f.load.Rates, "matrix.rates").reading(func(ast.Node) { f.matrixRates = true })},
		{"sysctls", "names and lists of values; each combination makes an arm NAME-SYSCTL-VALUE of each arm", f.sysctlAxes()},
	}
	for _, info := range server.Stages() {
		fields = append(fields, field{string(info.Stage), "each value makes a subject PHASE+VALUE of each phase: " + info.About, f.stageAxis(info)})
	}
	v := f.object("matrix", fields...)
	v.shape.Required = []string{"subject"}
	return v
}

func (f *draft) connectionAxis() value {
	var word string
	const what = "matrix.connection"
	one := f.choice(&word, what, connections()...)
	to := &f.load.Connections
	return f.several(what, one, func() { *to = nil }, func() bool {
		if slices.Contains(*to, loadgen.Connection(word)) {
			return true
		}
		*to = append(*to, loadgen.Connection(word))
		return false
	})
}

func (f *draft) stageAxis(info server.StageInfo) value {
	a := &axis{key: string(info.Stage)}
	what := "matrix." + a.key
	var word string
	one := f.stage(what, info, func(w string, _ ast.Node) error { word = w; return nil })
	v := f.several(what, one, func() { a.values = nil }, a.taken(&word))
	return v.checked(func(n ast.Node) error {
		a.at = n
		f.stages = append(f.stages, *a)
		return nil
	})
}

// taken adds the word to the axis, or says that it is there.
func (a *axis) taken(word *string) func() bool {
	return func() bool {
		if slices.Contains(a.values, *word) {
			return true
		}
		a.values = append(a.values, *word)
		return false
	}
}

func (f *draft) sysctlAxes() value {
	const what = "matrix.sysctls"
	axisOf := func(key string) (*axis, value) {
		a := &axis{key: key}
		var word string
		one := value{wordShape(), func(n ast.Node) (err error) { word, err = f.word(n, what+"."+key); return err }}
		return a, f.several(what+"."+key, one, func() { a.values = nil }, a.taken(&word))
	}
	_, any := axisOf("")
	return value{
		shape{Type: "object", Names: &shape{Pattern: patternOf(sysctlPattern)}, Others: &any.shape},
		func(n ast.Node) error {
			f.sysctlsAt = n
			return f.eachSysctl(n, what, func(key string, v ast.Node) error {
				a, list := axisOf(key)
				if err := list.read(v); err != nil {
					return err
				}
				f.tunings = append(f.tunings, *a)
				return nil
			})
		},
	}
}

// maxCells bounds what a matrix multiplies to: subjects, and arms.
const maxCells = 256

// multiplySubjects makes a subject of each phase and each combination of the
// stages' values, the last axis the fastest. Commands and URLs have no stages
// and stay as they are.
func (f *draft) multiplySubjects() error {
	if len(f.stages) == 0 {
		return nil
	}
	at := f.stages[0].at
	var all []SubjectSpec
	phases := 0
	for _, spec := range f.s.Subjects {
		if spec.Phase == "" {
			all = append(all, spec)
			continue
		}
		phases++
		variants := []SubjectSpec{spec}
		for _, a := range f.stages {
			if variants = a.multiply(variants); len(variants) > maxCells {
				return f.errorf(at, "matrix: more than %d subjects come of it; take fewer values", maxCells)
			}
		}
		all = append(all, variants...)
	}
	if phases == 0 {
		return f.errorf(at, "matrix.%s: it is a stage of phases, and no subject is a phase", f.stages[0].key)
	}
	if len(all) > maxCells {
		return f.errorf(at, "matrix: more than %d subjects come of it; take fewer values", maxCells)
	}
	for i, spec := range all {
		if !subjectPattern.MatchString(spec.Name) && spec.Name != "" {
			return f.errorf(at, "matrix: the subject %s has too long a name; name its phase shorter, or take fewer stages", spec.Name)
		}
		if slices.ContainsFunc(all[:i], func(other SubjectSpec) bool { return spec.Name != "" && other.Name == spec.Name }) {
			return f.errorf(at, "matrix: two subjects are called %s", spec.Name)
		}
	}
	f.s.Subjects = all
	if f.s.Compare == nil {
		f.s.Compare = f.axisPairs()
	}
	return nil
}

func (a axis) multiply(specs []SubjectSpec) []SubjectSpec {
	var out []SubjectSpec
	for _, spec := range specs {
		for _, v := range a.values {
			one := spec
			if one.Name == "" {
				one.Name = spec.Phase
				if phase, err := server.FindPhase(spec.Phase); err == nil {
					one.Name = phase.Name
				}
			}
			one.Name += "+" + a.label(v)
			one.Overrides = maps.Clone(spec.Overrides)
			if one.Overrides == nil {
				one.Overrides = map[string]string{}
			}
			one.Overrides[a.key] = v
			out = append(out, one)
		}
	}
	return out
}

// label is a value in a name. A number or a word that several stages share says
// of which it is.
func (a axis) label(v string) string {
	info := slices.IndexFunc(server.Stages(), func(info server.StageInfo) bool { return string(info.Stage) == a.key })
	if info >= 0 && slices.ContainsFunc(server.Stages()[info].Variants, func(known server.Variant) bool { return known.Name == v }) {
		return v
	}
	return a.key + "-" + v
}

// axisPairs compares each variant with the one that differs from it in one
// value alone: the one before it on the last axis on which there is one before
// it. That makes as many comparisons as neighbours would, none of which tells of
// two changes at once.
func (f *draft) axisPairs() [][2]string {
	pairs := [][2]string{}
	for i, spec := range f.s.Subjects {
		if i == 0 {
			continue
		}
		base := f.s.Subjects[i-1].Name // of a command, and after one
		if spec.Phase != "" {
			if name, ok := f.axisBase(i); ok {
				base = name
			}
		}
		if base != "" && spec.Name != "" && base != spec.Name {
			pairs = append(pairs, [2]string{base, spec.Name})
		}
	}
	return pairs
}

// axisBase is the name of the subject that the i-th is compared with.
func (f *draft) axisBase(i int) (string, bool) {
	spec, stride := f.s.Subjects[i], 1
	for n := len(f.stages) - 1; n >= 0; n-- {
		a := f.stages[n]
		if slices.Index(a.values, spec.Overrides[a.key]) > 0 {
			return f.s.Subjects[i-stride].Name, true
		}
		stride *= len(a.values)
	}
	if i-stride >= 0 && f.s.Subjects[i-stride].Phase != "" {
		return f.s.Subjects[i-stride].Name, true // the phase before it, with the same values
	}
	return "", false
}

// multiplyArms makes an arm of each arm and each combination of the sysctls'
// values.
func (f *draft) multiplyArms() error {
	for _, a := range f.tunings {
		var arms []Arm
		for _, arm := range f.s.Arms {
			if _, set := arm.Sysctls[a.key]; set {
				return f.errorf(f.sysctlsAt, "matrix.sysctls: arm %s sets %s too; give it in one of them", arm.Name, a.key)
			}
			for _, v := range a.values {
				one := arm
				one.Name += "-" + armWord(a.key[strings.LastIndexByte(a.key, '.')+1:]) + "-" + armWord(v)
				one.Sysctls = maps.Clone(arm.Sysctls)
				one.Sysctls[a.key] = v
				arms = append(arms, one)
			}
		}
		if f.s.Arms = arms; len(arms) > maxCells {
			return f.errorf(f.sysctlsAt, "matrix.sysctls: more than %d arms come of it; take fewer values", maxCells)
		}
	}
	for i, arm := range f.s.Arms {
		if slices.ContainsFunc(f.s.Arms[:i], func(other Arm) bool { return other.Name == arm.Name }) {
			return f.errorf(f.sysctlsAt, "matrix.sysctls: two arms are called %s", arm.Name)
		}
	}
	return nil
}

// armWord keeps what an arm's name may hold.
func armWord(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
}

// placedAssertion is an assertion and where it stands in the file.
type placedAssertion struct {
	results.Assertion
	at ast.Node
}

// assertionPattern is the form of an assertion, as far as a schema can tell.
const assertionPattern = `^\s*[a-z0-9_.]+\s*(<=|>=|==|!=|<|>)\s*\S+(\s+where\s+[a-z-]+\s*=\s*\S+(\s+and\s+[a-z-]+\s*=\s*\S+)*)?\s*$`

func (f *draft) assertions() value {
	one := value{shape{Type: "string", Pattern: assertionPattern}, func(n ast.Node) error {
		var text string
		if err := f.text(&text, "assert").read(n); err != nil {
			return err
		}
		a, err := results.ParseAssertion(text)
		if err != nil {
			return f.errorf(n, "assert %q: %v", text, err)
		}
		f.asserted = append(f.asserted, placedAssertion{a, n})
		f.s.Assertions = append(f.s.Assertions, a.Text)
		return nil
	}}
	return f.list("assert", one).reading(func(ast.Node) { f.s.Assertions, f.asserted = nil, nil })
}

// checkAssertions looks for assertions about nothing that the scenario plays.
func (f *draft) checkAssertions() error {
	if len(f.asserted) == 0 {
		return nil
	}
	cells, err := f.s.cells()
	if err != nil {
		return f.errorf(f.asserted[0].at, "assert: %v", err)
	}
	for _, a := range f.asserted {
		if slices.ContainsFunc(cells, a.matches) {
			continue
		}
		for _, c := range a.Where {
			alone := results.Assertion{Where: []results.Clause{c}}
			if !slices.ContainsFunc(cells, func(cell plannedCell) bool { return alone.Matches(cell.arm, cell.subject, cell.load) }) {
				return f.errorf(a.at, "assert %q: no %s of the scenario is %s; it has %s", a.Text, c.Key, c.Value, valuesOf(c.Key, cells))
			}
		}
		return f.errorf(a.at, "assert %q: nothing that the scenario plays matches all of it", a.Text)
	}
	return nil
}

// plannedCell is one subject in one arm under one load.
type plannedCell struct {
	arm     string
	subject results.SubjectPlan
	load    record.Load
}

func (a placedAssertion) matches(c plannedCell) bool { return a.Matches(c.arm, c.subject, c.load) }

// cells are what a scenario plays. Of one that shows, the arms are those of the
// pairs, and the loads are what their phases name.
func (s *Scenario) cells() ([]plannedCell, error) {
	bare := *s // how long it is played is no matter here
	bare.Precision, bare.Budget, bare.Arms = 0, 0, slices.Clone(s.Arms)
	for i := range bare.Arms {
		bare.Arms[i].Precision, bare.Arms[i].Budget = 0, 0
	}
	p, err := newPlan(&bare, Options{}, splitCores(manyCores()))
	if err != nil {
		return nil, err
	}
	var cells []plannedCell
	for _, arm := range p.Record.Arms {
		for _, subject := range p.Record.SubjectsOf(arm) {
			for _, load := range arm.Loads {
				cells = append(cells, plannedCell{arm.Name, subject, load})
			}
		}
	}
	return cells, nil
}

// manyCores are those of a machine on which everything can be shown, so that a
// file is right or wrong wherever it is read.
func manyCores() []int {
	cores := make([]int, 64)
	for i := range cores {
		cores[i] = i
	}
	return cores
}

// valuesOf lists what cells have of a key.
func valuesOf(key string, cells []plannedCell) string {
	var words []string
	for _, c := range cells {
		word := ""
		switch key {
		case "arm":
			word = c.arm
		case "clients":
			word = fmt.Sprint(c.load.Clients)
		case "connection":
			word = c.load.Connection
		case "phase":
			if word = "no phase"; c.subject.Phase != nil {
				word = fmt.Sprint(*c.subject.Phase)
			}
		default:
			word = c.subject.Name
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// planAssertions gives the plan the assertions that are about something it
// plays, and says which are about what the options leave out.
func (p *Plan) planAssertions(s *Scenario) error {
	for _, text := range s.Assertions {
		a, err := results.ParseAssertion(text)
		if err != nil {
			return fmt.Errorf("plan assertion %q: %w", text, err)
		}
		if len(a.Cells(&p.Record)) == 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("Not asserted, since nothing of it is played here: %s.", text))
			continue
		}
		p.Record.Assert = append(p.Record.Assert, text)
	}
	return nil
}
