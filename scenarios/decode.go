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

	"mslab/loadgen"
	"mslab/results/record"
	"mslab/server"
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
	return d.scenario(docs[0].Body)
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

// draft holds what is known before the arms are read, since they build on it
// wherever in the file it stands.
type draft struct {
	load   Load
	blocks int
	slices int
	faults []placedFault
	arms   ast.Node
}

func (d decoder) scenario(root ast.Node) (*Scenario, error) {
	s := &Scenario{File: d.file, Probes: []string{probeProc, probeNetstat}}
	base := draft{load: defaultLoad(), blocks: defaultBlocks, slices: defaultSlices}
	var matrixClients, loadClients bool
	fields := []field{
		{"name", d.name(&s.Name)},
		{"about", d.text(&s.About, "about")},
		{"matrix", func(n ast.Node) error {
			return d.mapping(n, "matrix", []field{
				{"subject", d.list("matrix.subject", d.subject(&s.Subjects))},
				{"clients", func(n ast.Node) error {
					matrixClients = true
					return d.clients(&base.load.Clients, "matrix.clients")(n)
				}},
			})
		}},
		{"arms", func(n ast.Node) error { base.arms = n; return nil }},
		{"load", func(n ast.Node) error {
			pairs, _ := d.entries(n, "load")
			loadClients = slices.ContainsFunc(pairs, func(p *ast.MappingValueNode) bool { return keyText(p) == "clients" })
			return d.load(&base.load, "load")(n)
		}},
		{"repeat", func(n ast.Node) error {
			return d.mapping(n, "repeat", []field{
				{"blocks", number(d, &base.blocks, "repeat.blocks", 1, 10000)},
				{"slices", number(d, &base.slices, "repeat.slices", 1, 1000)},
			})
		}},
		{"probes", func(n ast.Node) error { s.Probes = nil; return d.list("probes", d.probe(&s.Probes))(n) }},
		{"faults", d.faults(&base.faults, "faults")},
		{"compare", d.pairs(s)},
		{"shows", d.flag(&s.Shows, "shows")},
		{"namespace", d.flag(&s.Namespace, "namespace")},
	}
	if err := d.mapping(root, "scenario", fields); err != nil {
		return nil, err
	}
	if matrixClients && loadClients {
		return nil, d.errorf(root, "scenario: matrix.clients and load.clients say the same; give one of them")
	}
	if err := d.finish(s, base, root); err != nil {
		return nil, err
	}
	ranked := slices.ContainsFunc(s.Arms, func(a Arm) bool { return a.Ranked })
	if slices.Contains(s.Probes, probeSyscalls) && !ranked {
		return nil, d.errorf(root, "probes: %s traces under the load of ranked arms, and none is ranked", probeSyscalls)
	}
	return s, nil
}

// finish reads the arms and checks what no single key can.
func (d decoder) finish(s *Scenario, base draft, root ast.Node) error {
	if s.Name == "" {
		return d.errorf(root, "scenario: the key name is missing")
	}
	if len(s.Subjects) == 0 {
		return d.errorf(root, "scenario: matrix.subject is missing; name phases, such as matrix: {subject: [1, 2]}")
	}
	for _, pair := range s.Compare {
		for _, word := range pair {
			if !slices.ContainsFunc(s.Subjects, func(spec SubjectSpec) bool { return spec.called(word) }) {
				return d.errorf(root, "compare: %s is no subject of the matrix", word)
			}
		}
	}
	if s.Shows && len(s.Subjects) < 2 {
		return d.errorf(root, "shows: want at least two subjects to make a pair")
	}
	if base.arms == nil {
		s.Arms = []Arm{base.arm("main")}
		return d.timeline(&s.Arms[0], base.faults)
	}
	pairs, err := d.entries(base.arms, "arms")
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		arm, faults := base.arm(""), base.faults
		if err := d.arm(s, &arm, &faults, pair); err != nil {
			return err
		}
		if err := d.timeline(&arm, faults); err != nil {
			return err
		}
		s.Arms = append(s.Arms, arm)
	}
	if len(s.Arms) == 0 {
		return d.errorf(base.arms, "arms: want at least one")
	}
	return nil
}

func (b draft) arm(name string) Arm {
	return Arm{Name: name, Load: b.load, Blocks: b.blocks, Slices: b.slices, Ranked: !b.load.bounded(),
		Overrides: map[string]string{}, Sysctls: map[string]string{}}
}

func (d decoder) arm(s *Scenario, arm *Arm, faults *[]placedFault, pair *ast.MappingValueNode) error {
	if arm.Name = keyText(pair); !namePattern.MatchString(arm.Name) {
		return d.errorf(pair.Key, "arms: want a name of small letters, digits and -, have %q", arm.Name)
	}
	if _, empty := pair.Value.(*ast.NullNode); empty {
		return nil // the arm plays the recipes as they are
	}
	what := "arms." + arm.Name
	ranked := (*bool)(nil)
	var rankedAt, slicesAt ast.Node
	fields := []field{
		{"about", d.text(&arm.About, what+".about")},
		{"load", d.load(&arm.Load, what+".load")},
		{"blocks", number(d, &arm.Blocks, what+".blocks", 1, 10000)},
		{"slices", func(n ast.Node) error { slicesAt = n; return number(d, &arm.Slices, what+".slices", 1, 1000)(n) }},
		{"ranked", func(n ast.Node) error { ranked, rankedAt = new(bool), n; return d.flag(ranked, what+".ranked")(n) }},
		{"faults", d.faults(faults, what+".faults")},
		{"sysctls", d.sysctls(s, arm, what+".sysctls")},
		{"steer", d.steer(s, arm, what+".steer")},
		{"rate-limit", d.numberFlag(arm, what, "rate-limit", 0, 1e9)},
		{"max-threads", d.numberFlag(arm, what, "max-threads", 1, 1e6)},
		{"sink-delay", func(n ast.Node) error {
			var delay time.Duration
			err := d.duration(&delay, what+".sink-delay", 0, time.Minute)(n)
			arm.Overrides["sink-delay"] = delay.String()
			return err
		}},
	}
	for _, info := range server.Stages() {
		fields = append(fields, field{string(info.Stage), d.stage(arm, what, info.Stage)})
	}
	if err := d.mapping(pair.Value, what, fields); err != nil {
		return err
	}
	bounded := arm.Load.bounded()
	if ranked == nil {
		arm.Ranked = !bounded
	} else if arm.Ranked = *ranked; arm.Ranked && bounded {
		return d.errorf(rankedAt, "%s.ranked: a load bounded by %s plays as one stretch and cannot be ranked; bound it by slice", what, arm.Load.bound())
	}
	if bounded && slicesAt != nil {
		return d.errorf(slicesAt, "%s.slices: a load bounded by %s plays as one stretch; leave slices out", what, arm.Load.bound())
	}
	return nil
}

// load reads a load on top of what is there.
func (d decoder) load(to *Load, what string) func(ast.Node) error {
	return func(n ast.Node) error {
		sub := func(key string) string { return what + "." + key }
		sliced := false
		err := d.mapping(n, what, []field{
			{"connection", func(n ast.Node) error {
				var word string
				if err := d.text(&word, sub("connection"))(n); err != nil {
					return err
				}
				if to.Connection = loadgen.Connection(word); word != string(loadgen.Keep) && word != string(loadgen.New) {
					return d.errorf(n, "%s: want keep or new, have %q", sub("connection"), word)
				}
				return nil
			}},
			{"slice", func(n ast.Node) error {
				sliced = true
				return d.duration(&to.Slice, sub("slice"), 10*time.Millisecond, maxSlice)(n)
			}},
			{"deadline", d.duration(&to.Deadline, sub("deadline"), time.Microsecond, record.Longest)},
			{"timeout", d.duration(&to.Timeout, sub("timeout"), time.Millisecond, record.Longest)},
			{"warmup", d.duration(&to.Warmup, sub("warmup"), 0, time.Minute)},
			{"think", d.duration(&to.Think, sub("think"), 0, time.Minute)},
			{"seed", number(d, &to.Seed, sub("seed"), 0, 1<<62)},
			{"clients", d.clients(&to.Clients, sub("clients"))},
			{"duration", d.duration(&to.Duration, sub("duration"), 10*time.Millisecond, maxLoad)},
			{"requests", number(d, &to.Requests, sub("requests"), 1, 1e12)},
			{"requests-per-client", number(d, &to.RequestsPerClient, sub("requests-per-client"), 1, 1e9)},
			{"metrics", number(d, &to.Metrics, sub("metrics"), 1, 1000)},
			{"same-client", d.flag(&to.SameClient, sub("same-client"))},
		})
		if err != nil {
			return err
		}
		if to.Requests > 0 && to.RequestsPerClient > 0 {
			return d.errorf(n, "%s: requests and requests-per-client exclude each other", what)
		}
		if to.Duration > 0 && (to.Requests > 0 || to.RequestsPerClient > 0) {
			return d.errorf(n, "%s: duration and a number of requests exclude each other", what)
		}
		switch bound := to.bound(); {
		case sliced && bound == "requests":
			return d.errorf(n, "%s: slice and a number of requests exclude each other", what)
		case sliced && bound != "":
			return d.errorf(n, "%s: slice and duration exclude each other; with a duration the load plays as one stretch", what)
		}
		return nil
	}
}

func (d decoder) name(to *string) func(ast.Node) error {
	return func(n ast.Node) error {
		if err := d.text(to, "name")(n); err != nil {
			return err
		}
		if !namePattern.MatchString(*to) {
			return d.errorf(n, "name: want small letters, digits and -, have %q", *to)
		}
		return nil
	}
}

func (d decoder) subject(to *[]SubjectSpec) func(ast.Node) error {
	return func(n ast.Node) error {
		word, err := d.word(n, "matrix.subject")
		if err != nil {
			return err
		}
		if _, err := server.FindPhase(word); err != nil {
			return d.errorf(n, "matrix.subject: %v", err)
		}
		*to = append(*to, SubjectSpec{Phase: word})
		return nil
	}
}

// clients reads one number or a list of them.
func (d decoder) clients(to *[]int, what string) func(ast.Node) error {
	return func(n ast.Node) error {
		var counts []int
		one := func(n ast.Node) error {
			v, err := d.integer(n, what, 1, 65536)
			if slices.Contains(counts, int(v)) {
				return d.errorf(n, "%s: %d is there twice", what, v)
			}
			counts = append(counts, int(v))
			return err
		}
		read := one
		if _, many := n.(*ast.SequenceNode); many {
			read = d.list(what, one)
		}
		if err := read(n); err != nil {
			return err
		}
		if len(counts) == 0 {
			return d.errorf(n, "%s: want at least one number", what)
		}
		*to = counts
		return nil
	}
}

func (d decoder) probe(to *[]string) func(ast.Node) error {
	return func(n ast.Node) error {
		var word string
		if err := d.text(&word, "probes")(n); err != nil {
			return err
		}
		if !slices.Contains(knownProbes(), word) {
			var known []field
			for _, probe := range knownProbes() {
				known = append(known, field{key: probe})
			}
			return d.errorf(n, "probes: unknown probe %q%s", word, suggest(word, known))
		}
		*to = append(*to, word)
		return nil
	}
}

func (d decoder) pairs(s *Scenario) func(ast.Node) error {
	return func(n ast.Node) error {
		s.Compare = [][2]string{}
		return d.list("compare", func(n ast.Node) error {
			seq, ok := n.(*ast.SequenceNode)
			if !ok || len(seq.Values) != 2 {
				return d.errorf(n, "compare: want pairs such as [[1, 2], [5, 7]], have %s", kind(n))
			}
			var pair [2]string
			for i, v := range seq.Values {
				word, err := d.word(v, "compare")
				if err != nil {
					return err
				}
				pair[i] = word
			}
			s.Compare = append(s.Compare, pair)
			return nil
		})(n)
	}
}

// stage reads an override of a stage and checks that the stage has the variant.
func (d decoder) stage(arm *Arm, what string, stage server.Stage) func(ast.Node) error {
	return func(n ast.Node) error {
		word, err := d.word(n, what+"."+string(stage))
		if err != nil {
			return err
		}
		if _, err := (server.Recipe{}).With(stage, word); err != nil {
			return d.errorf(n, "%s: %v", what, err)
		}
		arm.Overrides[string(stage)] = word
		return nil
	}
}

func (d decoder) numberFlag(arm *Arm, what, flag string, low, high int64) func(ast.Node) error {
	return func(n ast.Node) error {
		v, err := d.integer(n, what+"."+flag, low, high)
		arm.Overrides[flag] = fmt.Sprint(v)
		return err
	}
}

// steer reads where received packets are handled.
func (d decoder) steer(s *Scenario, arm *Arm, what string) func(ast.Node) error {
	return func(n ast.Node) error {
		var word string
		if err := d.text(&word, what)(n); err != nil {
			return err
		}
		if word != "server" {
			return d.errorf(n, "%s: want server, have %q", what, word)
		}
		if !s.Namespace {
			return d.errorf(n, "%s: packets are steered in a network namespace of the run's own only; add namespace: true", what)
		}
		arm.Steer = true
		return nil
	}
}

// sysctlPattern admits what belongs to a network namespace alone.
var sysctlPattern = regexp.MustCompile(`^net\.[a-z0-9_]+(\.[a-z0-9_]+)+$`)

func (d decoder) sysctls(s *Scenario, arm *Arm, what string) func(ast.Node) error {
	return func(n ast.Node) error {
		if !s.Namespace {
			return d.errorf(n, "%s: sysctls are set in a network namespace of the run's own only; add namespace: true", what)
		}
		pairs, err := d.entries(n, what)
		if err != nil {
			return err
		}
		for _, pair := range pairs {
			key := keyText(pair)
			if !sysctlPattern.MatchString(key) {
				return d.errorf(pair.Key, "%s: want names such as net.ipv4.tcp_abort_on_overflow, have %q", what, key)
			}
			if arm.Sysctls[key], err = d.word(pair.Value, what+"."+key); err != nil {
				return err
			}
		}
		return nil
	}
}
