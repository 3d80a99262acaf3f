package results

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"mslab/results/record"
)

// Difference is one circumstance, other than what is compared, in which two runs
// differ.
type Difference struct {
	What      string `json:"what"`
	Base      string `json:"base"`
	Candidate string `json:"candidate"`
}

func (d Difference) String() string {
	return fmt.Sprintf("%s %q in the base, %q in the candidate", d.What, d.Base, d.Candidate)
}

// Listed puts differences into one line.
func Listed(differences []Difference) string {
	words := make([]string, len(differences))
	for i, d := range differences {
		words[i] = d.String()
	}
	return strings.Join(words, "; ")
}

// calibrationsApart is how far the calibrations of two runs may be apart, as a
// fraction of the faster. Machines of the kind that mslab was made on have two
// speeds, 17 to 30 % apart, and change between them within a minute: a run has
// its share of both, and two runs that are closer are told of and compared.
// Beyond, the machine was another one, or was busy with something else.
const calibrationsApart = 0.30

// Unlike lists in what two runs' environments and loads differ: all that may
// move a figure and is not the server. What one of the two does not know is a
// difference too. The arms' overrides are none, since they may be the change
// that is compared; neither is the part of a cgroup that only names it.
func Unlike(base, candidate *Run) []Difference {
	var out []Difference
	add := func(what, a, b string) {
		if a != b {
			out = append(out, Difference{what, a, b})
		}
	}
	a, b := base.Environment, candidate.Environment
	if a == nil || b == nil {
		known := func(e *record.Environment) string {
			if e == nil {
				return "not known"
			}
			return "known"
		}
		add("environment", known(a), known(b))
		if a == nil && b == nil {
			out = append(out, Difference{"environment", "not known", "not known"})
		}
	} else {
		add("kernel", a.Kernel, b.Kernel)
		add("CPU", a.CPU, b.CPU)
		add("cores", fmt.Sprint(a.Cores), fmt.Sprint(b.Cores))
		add("Go", a.Go, b.Go)
		add("GOMAXPROCS", fmt.Sprint(a.GOMAXPROCS), fmt.Sprint(b.GOMAXPROCS))
		add("pinning", a.Pinning, b.Pinning)
		add("sandbox", a.Sandbox, b.Sandbox)
		add("governor", a.Governor, b.Governor)
		add("cgroup limits", limitsOf(a.Cgroup), limitsOf(b.Cgroup))
		add("lockdown", a.Lockdown, b.Lockdown)
		out = append(out, unlikeSysctls(a.Sysctls, b.Sysctls)...)
		out = append(out, unlikeSpeed(a.CalibrationNS, b.CalibrationNS)...)
	}
	return append(out, unlikeLoads(base, candidate)...)
}

// limitsOf leaves out a cgroup's own path, which is another one in each session.
func limitsOf(cgroup string) string {
	if _, limits, ok := strings.Cut(cgroup, " "); ok {
		return limits
	}
	return cgroup
}

func unlikeSysctls(a, b map[string]string) []Difference {
	names := slices.Collect(maps.Keys(a))
	names = slices.AppendSeq(names, maps.Keys(b))
	slices.Sort(names)
	var out []Difference
	value := func(m map[string]string, name string) string {
		if v, ok := m[name]; ok {
			return v
		}
		return "not known"
	}
	for _, name := range slices.Compact(names) {
		if of, to := value(a, name), value(b, name); of != to {
			out = append(out, Difference{name, of, to})
		}
	}
	return out
}

func unlikeSpeed(a, b float64) []Difference {
	if a <= 0 || b <= 0 || math.Max(a, b)/math.Min(a, b)-1 <= calibrationsApart {
		return nil
	}
	return []Difference{{"calibration (a round of socket work, more than " + percent(calibrationsApart) + " apart)", FormatNS(a), FormatNS(b)}}
}

// unlikeLoads compares the arms that both have.
func unlikeLoads(base, candidate *Run) []Difference {
	var out []Difference
	for _, arm := range candidate.Plan.Arms {
		other, ok := base.Plan.Arm(arm.Name)
		if !ok {
			continue
		}
		for what, text := range map[string]func(ArmPlan) string{"load of arm ": loadsText, "slices of arm ": slicesText} {
			if of, to := text(other), text(arm); of != to {
				out = append(out, Difference{what + arm.Name, of, to})
			}
		}
	}
	slices.SortFunc(out, func(x, y Difference) int { return strings.Compare(x.What, y.What) })
	return out
}

func loadsText(arm ArmPlan) string {
	words := make([]string, len(arm.Loads))
	for i, l := range arm.Loads {
		words[i] = loadTitle(l)
		if l.MaxConnections > 0 {
			words[i] += fmt.Sprintf(", at most %d connections", l.MaxConnections)
		}
		for _, limit := range []struct {
			name string
			ns   int64
		}{{"deadline", l.DeadlineNS}, {"timeout", l.TimeoutNS}} {
			if limit.ns > 0 {
				words[i] += fmt.Sprintf(", %s %s", limit.name, FormatNS(float64(limit.ns)))
			}
		}
		if l.WarmupS > 0 {
			words[i] += ", warm-up " + FormatNS(l.WarmupS*1e9)
		}
	}
	return strings.Join(words, " and ")
}

func slicesText(arm ArmPlan) string {
	return fmt.Sprintf("%d of %s", arm.Slices, FormatNS(arm.SliceS*1e9))
}
