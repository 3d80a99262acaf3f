package scenarios

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"mslab/chaos"
	"mslab/results/record"
)

// Fault is one fault of an arm's timeline. Times count from the start of
// sending.
type Fault struct {
	At, For time.Duration
	Name    string            // as package chaos calls it
	Options map[string]string // the fault's own, and faultPort
}

const (
	// faultPort is the option of a timeline's faults that are aimed at a TCP port:
	// which one.
	faultPort = "port"
	// serverPort is that of the server under load, which is what a fault is
	// aimed at without the option, too.
	serverPort = "server"
)

// port is the one that the fault is aimed at, where the server listens on
// server.
func (f Fault) port(server int) (int, error) {
	word := f.Options[faultPort]
	if word == "" || word == serverPort {
		return server, nil
	}
	n, err := strconv.Atoi(word)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("%s: want %s or a number from 1 to 65535, have %s", faultPort, serverPort, word)
	}
	return n, nil
}

// spec is the fault for a server process that listens on a port.
func (f Fault) spec(pid, port int) (chaos.Spec, error) {
	kind, err := chaos.Find(f.Name)
	if err != nil {
		return chaos.Spec{}, err
	}
	options := maps.Clone(f.Options)
	delete(options, faultPort)
	spec := chaos.Spec{Fault: f.Name, Duration: f.For, Options: options}
	aim := chaos.AimPort
	if kind.Aims != nil {
		aim = kind.Aims(options)
	}
	if _, given := f.Options[faultPort]; given && aim != chaos.AimPort {
		return spec, fmt.Errorf("%s is not aimed at a %s; leave it out", f.Name, faultPort)
	}
	switch aim {
	case chaos.AimPort:
		spec.Target.Port, err = f.port(port)
	case chaos.AimProcess:
		spec.Target.PID = pid
	}
	return spec, err
}

// check tells what is wrong with the fault by itself.
func (f Fault) check() error {
	spec, err := f.spec(os.Getpid(), 1) // any process and port
	if err != nil {
		return err
	}
	return chaos.Check(spec, chaos.Options{})
}

// record is the fault as planned.
func (f Fault) record() record.FaultPlan {
	return record.FaultPlan{Name: f.Name, Options: f.Options, AtS: f.At.Seconds(), ForS: f.For.Seconds()}
}

// maxLoad is the longest load that a duration bounds.
const maxLoad = time.Hour

// placedFault is a fault and where it stands in the file.
type placedFault struct {
	Fault
	node ast.Node
}

// faultsValue reads a timeline: a list of entries such as
// {at: 5s, for: 5s, partition: {via: nft}}.
func (d decoder) faultsValue(to *[]placedFault, what string) value {
	var f Fault
	one := d.fault(&f, what).checked(func(n ast.Node) error {
		*to = append(*to, placedFault{f, n})
		return nil
	})
	return d.list(what, one).reading(func(ast.Node) { *to = nil }).checked(func(ast.Node) error {
		slices.SortStableFunc(*to, func(a, b placedFault) int { return int(a.At - b.At) })
		return nil
	})
}

func (d decoder) fault(f *Fault, what string) value {
	var named ast.Node
	fields := []field{
		{"at", "when it begins, counted from the start of sending", d.duration(&f.At, what+".at", 0, maxLoad)},
		{"for", "how long it lasts", d.duration(&f.For, what+".for", time.Millisecond, maxLoad)},
	}
	var one []shape
	for _, kind := range chaos.Faults() {
		options := d.faultOptions(f, kind, what+"."+kind.Name).optional()
		read := options.read
		options.read = func(n ast.Node) error {
			if f.Name != "" {
				return d.errorf(n, "%s: %s and %s stand in one entry; give each an entry of its own", what, f.Name, kind.Name)
			}
			f.Name, named = kind.Name, n
			return read(n)
		}
		fields = append(fields, field{kind.Name, kind.About, options})
		one = append(one, shape{Required: []string{kind.Name}})
	}
	v := d.object(what, fields...).reading(func(ast.Node) { *f = Fault{At: -1, For: -1} }).checked(func(n ast.Node) error {
		switch {
		case f.At < 0:
			return d.errorf(n, "%s: the key at is missing: when it begins, such as at: 5s", what)
		case f.For < 0:
			return d.errorf(n, "%s: the key for is missing: how long it lasts, such as for: 5s", what)
		case f.Name == "":
			return d.errorf(n, "%s: no fault is named; it takes %s", what, strings.Join(chaos.Names(), ", "))
		}
		if err := f.check(); err != nil {
			return d.errorf(named, "%s: %v", what, err)
		}
		return nil
	})
	v.shape.Required, v.shape.OneOf = []string{"at", "for"}, one
	return v
}

// faultOptions reads the options of one fault.
func (d decoder) faultOptions(f *Fault, kind chaos.Fault, what string) value {
	option := func(name string, s shape) value {
		return value{s, func(n ast.Node) error {
			word, err := d.scalar(n, what+"."+name)
			if err == nil && word == "" {
				err = d.errorf(n, "%s.%s: want a value, have an empty text; leave it out for the default", what, name)
			}
			f.Options[name] = word
			return err
		}}
	}
	port := shape{AnyOf: []shape{{Enum: []any{serverPort}}, {Type: "integer", Minimum: bound(1), Maximum: bound(65535)}, {Type: "string", Pattern: wholeNumber}}}
	fields := []field{{faultPort, "the port that it is aimed at: server, the default, or a number", option(faultPort, port)}}
	for _, o := range kind.Options {
		s := shape{Type: []string{"string", "number", "boolean"}, MinLength: 1}
		if len(o.Values) > 0 {
			s = shape{Enum: enumOf(o.Values)}
		}
		fields = append(fields, field{o.Name, o.About, option(o.Name, s)})
	}
	return d.object(what, fields...).reading(func(ast.Node) { f.Options = map[string]string{} })
}

// timeline gives an arm its faults, and says what of them cannot be: they need
// a load of known length, lie inside it and do not overlap, since all of them
// are the arm's server's.
func (d decoder) timeline(arm *Arm, faults []placedFault) error {
	what := "faults of arm " + arm.Name
	var over time.Duration
	for _, f := range faults {
		switch {
		case arm.Load.Duration == 0:
			return d.errorf(f.node, "%s: a load with faults plays as one stretch of known length; give load.duration, such as 20s", what)
		case f.At+f.For > arm.Load.Duration:
			return d.errorf(f.node, "%s: %s ends at %s, the load at %s", what, f.Name, f.At+f.For, arm.Load.Duration)
		case f.At < over:
			return d.errorf(f.node, "%s: %s begins at %s, while the one before it lasts until %s; one target has one fault at a time", what, f.Name, f.At, over)
		}
		over = f.At + f.For
		arm.Faults = append(arm.Faults, f.Fault)
	}
	return nil
}
