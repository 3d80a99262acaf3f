package scenarios

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"mslab/server"
)

// armsValue keeps the arms for later, since they build on what may stand below
// them.
func (f *draft) armsValue() value {
	arm := f.armValue(&Arm{Sysctls: map[string]string{}, Overrides: map[string]string{}}, new([]placedFault), &armPlaces{}, "arm").optional()
	return value{
		shape{Type: "object", MinProps: 1, Names: &shape{Pattern: patternOf(namePattern)}, Others: &arm.shape},
		func(n ast.Node) error { f.arms = n; return nil },
	}
}

// armPlaces are where an arm's keys stand that are checked against others.
type armPlaces struct {
	ranked, slices, blocks, precision, budget, sysctls, steer ast.Node
	isRanked                                                  bool
	flags                                                     map[string]ast.Node
}

func (f *draft) armValue(arm *Arm, faults *[]placedFault, at *armPlaces, what string) value {
	at.flags = map[string]ast.Node{}
	sub := func(key string) string { return what + "." + key }
	steer := new(string)
	fields := []field{
		{"about", "what it shows", f.text(&arm.About, sub("about"))},
		{"load", "what it offers, on top of the scenario's load", f.loadValue(&arm.Load, sub("load"))},
		{"blocks", "instead of repeat.blocks", number(f.decoder, &arm.Blocks, sub("blocks"), 1, maxBlocks).reading(place(&at.blocks))},
		{"slices", "instead of repeat.slices", number(f.decoder, &arm.Slices, sub("slices"), 1, maxSlices).reading(place(&at.slices))},
		{"precision", "instead of the scenario's", f.precision(&arm.Precision, sub("precision")).reading(place(&at.precision))},
		{"budget", "the time that this arm may take under a precision", f.budget(&arm.Budget, sub("budget")).reading(place(&at.budget))},
		{"ranked", "compare the subjects (default: where the load is sliced)", f.flag(&at.isRanked, sub("ranked")).reading(place(&at.ranked))},
		{"faults", "instead of the scenario's", f.faultsValue(faults, sub("faults"))},
		{"sysctls", "on top of the scenario's", f.sysctlsValue(arm.Sysctls, sub("sysctls")).reading(place(&at.sysctls))},
		{"steer", "handle received packets on the server's cores", f.choice(steer, sub("steer"), "server").reading(place(&at.steer))},
		{"rate-limit", "requests a second that each client may send; 0 is no limit", f.numberFlag(arm, what, "rate-limit", 0, 1e9)},
		{"max-threads", "the most threads that the server may have", f.numberFlag(arm, what, "max-threads", 1, 1e6)},
		{"sink-delay", "how long each write to the file is made to take", f.sinkDelay(arm, sub("sink-delay"))},
	}
	for _, info := range server.Stages() {
		v := f.stage(sub(string(info.Stage)), info, func(word string, n ast.Node) error {
			arm.Overrides[string(info.Stage)] = word
			at.flags[string(info.Stage)] = n
			return nil
		})
		fields = append(fields, field{string(info.Stage), "override of a stage: " + info.About, v})
	}
	return f.object(what, fields...)
}

func (d decoder) sinkDelay(arm *Arm, what string) value {
	var delay time.Duration
	return d.duration(&delay, what, 0, time.Minute).checked(func(ast.Node) error {
		arm.Overrides["sink-delay"] = delay.String()
		return nil
	})
}

func (d decoder) numberFlag(arm *Arm, what, flag string, low, high int64) value {
	var n int64
	return number(d, &n, what+"."+flag, low, high).checked(func(ast.Node) error {
		arm.Overrides[flag] = strconv.FormatInt(n, 10)
		return nil
	})
}

// stage reads a variant of a stage that there is.
func (d decoder) stage(what string, info server.StageInfo, to func(string, ast.Node) error) value {
	var s shape
	if d.shapes {
		s = stageShape(info)
	}
	return value{s, func(n ast.Node) error {
		word, err := d.word(n, what)
		if err != nil {
			return err
		}
		if _, err := (server.Recipe{}).With(info.Stage, word); err != nil {
			return d.errorf(n, "%s: %v", strings.TrimSuffix(what, "."+string(info.Stage)), err)
		}
		return to(word, n)
	}}
}

// stageShape asks the stage itself which words it takes.
func stageShape(info server.StageInfo) shape {
	var s shape
	var words []string
	for _, v := range info.Variants {
		words = append(words, v.Name)
	}
	for _, word := range []string{"auto", "off"} {
		if _, err := (server.Recipe{}).With(info.Stage, word); err == nil {
			words = append(words, word)
		}
	}
	if len(words) > 0 {
		s.AnyOf = append(s.AnyOf, shape{Enum: enumOf(words)})
	}
	if most := mostOf(info.Stage); most > 0 {
		s.AnyOf = append(s.AnyOf, shape{Type: "integer", Minimum: bound(1), Maximum: bound(float64(most))},
			shape{Type: "string", Pattern: wholeNumber})
	}
	if len(s.AnyOf) == 1 {
		return s.AnyOf[0]
	}
	return s
}

// mostOf is the largest number that a stage takes, 0 where it takes none. It is
// found by asking, so that the stage alone knows.
func mostOf(stage server.Stage) int {
	takes := func(n int) bool {
		_, err := (server.Recipe{}).With(stage, strconv.Itoa(n))
		return err == nil
	}
	if !takes(1) {
		return 0
	}
	low, high := 1, 1<<30
	for low+1 < high {
		if middle := (low + high) / 2; takes(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// readArms makes the arms of what was kept.
func (f *draft) readArms() error {
	if f.arms == nil {
		return f.addArm(f.arm("main"), f.faults)
	}
	pairs, err := f.entries(f.arms, "arms")
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		arm, faults := f.arm(keyText(pair)), f.faults
		if !namePattern.MatchString(arm.Name) {
			return f.errorf(pair.Key, "arms: want a name of %s, have %q", nameForm, arm.Name)
		}
		if err := f.readArm(&arm, &faults, pair.Value); err != nil {
			return err
		}
		if err := f.addArm(arm, faults); err != nil {
			return err
		}
	}
	if len(f.s.Arms) == 0 {
		return f.errorf(f.arms, "arms: want at least one")
	}
	return nil
}

func (f *draft) addArm(arm Arm, faults []placedFault) error {
	if err := f.timeline(&arm, faults); err != nil {
		return err
	}
	f.s.Arms = append(f.s.Arms, arm)
	return nil
}

func (f *draft) arm(name string) Arm {
	return Arm{Name: name, Load: f.load, Blocks: f.blocks, Slices: f.slices, Ranked: !f.load.bounded(),
		Overrides: map[string]string{}, Sysctls: maps.Clone(f.sysctls)}
}

func (f *draft) readArm(arm *Arm, faults *[]placedFault, n ast.Node) error {
	var at armPlaces
	what := "arms." + arm.Name
	if err := f.armValue(arm, faults, &at, what).optional().read(n); err != nil {
		return err
	}
	bounded := arm.Load.bounded()
	arm.Steer = at.steer != nil
	if arm.Ranked = !bounded; at.ranked != nil {
		arm.Ranked = at.isRanked
	}
	switch {
	case arm.Ranked && bounded:
		return f.errorf(at.ranked, "%s.ranked: a load bounded by %s plays as one stretch and cannot be ranked; bound it by slice", what, arm.Load.bound())
	case bounded && at.slices != nil:
		return f.errorf(at.slices, "%s.slices: a load bounded by %s plays as one stretch; leave slices out", what, arm.Load.bound())
	case at.sysctls != nil && !f.s.Namespace:
		return f.errorf(at.sysctls, "%s.sysctls: sysctls are set in a network namespace of the run's own only; add namespace: true", what)
	case at.steer != nil && !f.s.Namespace:
		return f.errorf(at.steer, "%s.steer: packets are steered in a network namespace of the run's own only; add namespace: true", what)
	}
	for _, axis := range f.stages {
		if n := at.flags[axis.key]; n != nil {
			return f.errorf(n, "%s.%s: matrix.%s sets this stage; give it in one of them", what, axis.key, axis.key)
		}
	}
	if f.goalAt == nil {
		f.goalAt = at.precision
	}
	return f.checkArmGoal(arm, at, what)
}

func (f *draft) checkArmGoal(arm *Arm, at armPlaces, what string) error {
	switch {
	case at.precision != nil && at.blocks != nil:
		return f.errorf(at.blocks, "%s.blocks: precision decides how many blocks are played; give one of them", what)
	case at.precision != nil && !arm.Ranked:
		return f.errorf(at.precision, "%s.precision: it is that of comparisons, and this arm is not ranked", what)
	case at.blocks != nil && arm.Ranked && f.precisionAt != nil:
		return f.errorf(at.blocks, "%s.blocks: the scenario's precision decides how many blocks a ranked arm plays; leave one of them out", what)
	case at.budget != nil && (!arm.Ranked || at.precision == nil && f.precisionAt == nil):
		return f.errorf(at.budget, "%s.budget: it bounds a precision, and this arm has none", what)
	}
	return nil
}
