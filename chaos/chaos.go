package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ErrUsage marks the errors of whoever asked for a fault: an unknown name, an
// option out of range, a target outside of the scope, two faults on one target.
var ErrUsage = errors.New("wrong usage")

// usageError is an ErrUsage that prints as its own text alone.
type usageError struct{ error }

func (e usageError) Unwrap() []error { return []error{e.error, ErrUsage} }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// ErrNoBite is the error of an injection that had no effect, or whose effect
// could not be shown; it has been undone.
var ErrNoBite = errors.New("the fault did not bite")

// ErrNotHealed marks the errors of a fault that could not be undone: it is still
// there, and in the journal.
var ErrNotHealed = errors.New("not healed")

// Target is what a fault is aimed at. Each fault says which of it it wants.
type Target struct {
	// PID is a process; StartTicks is when it started, in clock ticks since boot
	// (/proc/PID/stat, field 22), 0 for the process that has the id now.
	PID        int    `json:"pid,omitempty"`
	StartTicks uint64 `json:"start_ticks,omitempty"`
	// Port is a TCP port, 1 to 65535.
	Port int `json:"port,omitempty"`
	// Address limits a fault to packets for this address; the zero value stands
	// for all of the loopback device.
	Address netip.Addr `json:"address,omitzero"`
}

// String names the target as a user would.
func (t Target) String() string {
	switch {
	case t.Port != 0 && t.Address.IsValid():
		return netip.AddrPortFrom(t.Address, uint16(t.Port)).String()
	case t.Port != 0:
		return fmt.Sprintf("port %d on loopback", t.Port)
	case t.PID != 0:
		return fmt.Sprintf("process %d", t.PID)
	}
	return "a process of its own"
}

// Spec is a fault as it is asked for.
type Spec struct {
	Fault  string `json:"fault"`
	Target Target `json:"target"`
	// Duration is how long the fault lasts, from the moment at which it takes
	// effect; 0 is until it is healed or the context ends.
	Duration time.Duration `json:"duration_ns,omitempty"`
	// Options are the fault's own; those that are missing have their default.
	Options map[string]string `json:"options,omitempty"`
}

// Option is one of a fault's own options.
type Option struct {
	Name    string
	Default string
	Values  []string // all there are; none where Check decides
	About   string
}

// Plan says what an injection does and how it is undone, command by command.
type Plan struct {
	Inject []string
	Undo   []string
	Notes  []string
}

// Fact is one piece of evidence: that a fault bit, or what came of it.
type Fact struct {
	Key   string // for programs: packets_dropped
	Value any    // a number, a truth value or a text
	Words string // for people
}

// Aim is the part of a target that a fault wants.
type Aim int

const (
	AimPort    Aim = iota // Target.Port, and Address where the caller has one
	AimProcess            // Target.PID of a server, or of a child of the caller's
	AimNone               // nothing: the fault makes its own target
)

// Fault is one way to break a server. It is a value in a file of its own, and a
// line in Faults.
type Fault struct {
	Name    string
	About   string // a sentence
	Needs   string // rights, programs, kernel features
	Options []Option
	// System is true where what it changes belongs to the whole system, and does
	// not end with the network namespace in which it was injected.
	System bool

	// Aims tells what it wants as a target, with these options; nil is AimPort.
	Aims func(options map[string]string) Aim
	// Check tells what is wrong with a spec whose options all exist and have one
	// of their values. It looks at the spec alone.
	Check func(Spec) error
	// Plan is the dry run. It may look at the system, and changes nothing.
	Plan func(context.Context, Spec) (Plan, error)
	// Try tells why the fault cannot be injected here with these options, nil
	// where it can. It leaves nothing behind, and does not look at the target.
	Try func(context.Context, Spec) error

	// prepare writes what undo needs into work.State before anything is
	// changed. It runs while no other injection starts or heals.
	prepare func(context.Context, *work) error
	// inject changes the system; the change itself is made within work.effect.
	// What it holds open for as long as the fault lasts is work.live.
	inject func(context.Context, *work) error
	// verify tells whether the fault bit, with the evidence.
	verify func(context.Context, *work) (bool, []Fact, error)
	// observe adds evidence right before the fault is healed, and sets
	// work.missed where it had no effect after all; it may be nil.
	observe func(context.Context, *work) []Fact
	// undo is the exact inverse of inject, made within work.effect. It works from
	// the journal alone (live is nil in another process), and again after it
	// was done.
	undo func(context.Context, *work) error
	// settle adds evidence after the fault is healed, from the process that
	// injected it; it may be nil.
	settle func(context.Context, *work) []Fact
	// sweep removes what bears an entry's name and no journal tells of any more;
	// it may be nil.
	sweep func(ctx context.Context, id string) error
}

// Faults lists the faults. This is the place to add one.
func Faults() []Fault {
	return []Fault{
		partition(),
		memory(),
	}
}

// Names are the names of the faults.
func Names() []string {
	var names []string
	for _, f := range Faults() {
		names = append(names, f.Name)
	}
	return names
}

// Find returns a fault by its name.
func Find(name string) (Fault, error) {
	for _, f := range Faults() {
		if f.Name == name {
			return f, nil
		}
	}
	return Fault{}, usagef("unknown fault %q; there are %s", name, strings.Join(Names(), ", "))
}

// Check tells what is wrong with a spec, by the spec alone: the fault, its
// options, the target and the scope. Its errors are ErrUsage.
func Check(s Spec, o Options) error {
	f, err := Find(s.Fault)
	if err != nil {
		return err
	}
	if s.Duration < 0 {
		return usagef("%s: a duration of %s; want 0 or more", s.Fault, s.Duration)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Options)) {
		i := slices.IndexFunc(f.Options, func(o Option) bool { return o.Name == name })
		if i < 0 {
			return usagef("%s: unknown option %q", s.Fault, name)
		}
		if values := f.Options[i].Values; len(values) > 0 && !slices.Contains(values, s.Options[name]) {
			return usagef("%s: %s %q: want one of %s", s.Fault, name, s.Options[name], strings.Join(values, ", "))
		}
	}
	if err := checkScope(s.Target, o.OwnNamespace); err != nil {
		return err
	}
	return f.Check(s.withDefaults(f))
}

// checkScope is the guard: a fault reaches no further than this machine's
// loopback device, or a network namespace that the caller made.
func checkScope(t Target, ownNamespace bool) error {
	switch {
	case t.Port < 0 || t.Port > 65535:
		return usagef("port %d: want 1 to 65535", t.Port)
	case t.PID < 0:
		return usagef("process %d: want the id of a process", t.PID)
	case t.Address.IsValid() && t.Address.Unmap().IsLoopback(), !t.Address.IsValid(), ownNamespace:
		return nil
	}
	return usagef("%s: faults reach 127.0.0.0/8 and ::1 only; play others in a sandbox (mslab run)", t.Address)
}

// withDefaults returns the spec with a value for each of the fault's options.
func (s Spec) withDefaults(f Fault) Spec {
	options := map[string]string{}
	for _, o := range f.Options {
		options[o.Name] = o.Default
	}
	maps.Copy(options, s.Options)
	s.Options = options
	s.Target.Address = s.Target.Address.Unmap()
	return s
}

// DryRun says what an injection would do. It changes nothing.
func DryRun(ctx context.Context, s Spec, o Options) (Plan, error) {
	if err := Check(s, o); err != nil {
		return Plan{}, err
	}
	f, err := Find(s.Fault)
	if err != nil {
		return Plan{}, err
	}
	return f.Plan(ctx, s.withDefaults(f))
}

// TryVia tells why a fault cannot be injected here by one of its ways (the option
// via, "" for the default), nil where it can. It leaves nothing behind.
func (f Fault) TryVia(ctx context.Context, via string) error {
	s := Spec{Fault: f.Name}
	if via != "" {
		s.Options = map[string]string{"via": via}
	}
	return f.Try(ctx, s.withDefaults(f))
}

// Ways are the values of the option via, or "" where the fault has none.
func (f Fault) Ways() []string {
	for _, o := range f.Options {
		if o.Name == "via" {
			return o.Values
		}
	}
	return []string{""}
}
