package profile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"mslab/results"
)

// Stages says which functions implement which stage of a server: their package,
// and by the leading word of their name, or of their receiver's, what to call
// the stage.
type Stages struct {
	Package string            // import path
	Names   map[string]string // parseQuadratic: "parse quadratic"
}

// of is the stage that a function implements, "" for none.
func (s Stages) of(function string) string {
	name, ok := strings.CutPrefix(function, s.Package+".")
	if !ok {
		return ""
	}
	name = strings.TrimPrefix(strings.TrimPrefix(name, "("), "*")
	if end := strings.IndexAny(name, ".)["); end >= 0 {
		name = name[:end]
	}
	return s.Names[name]
}

// outside stands for what no stage called.
const outside = "(no stage)"

// share adds up samples by the innermost stage on their stack, so that what a
// stage called is in it unless that is a stage of its own.
func (s Stages) share(p *profile.Profile, index int) (byStage map[string]int64, found bool) {
	byStage = map[string]int64{}
	for _, sample := range p.Sample {
		stage := outside
		for _, function := range functions(sample) {
			if name := s.of(function); name != "" {
				stage, found = name, true
				break
			}
		}
		byStage[stage] += sample.Value[index]
	}
	return byStage, found
}

// StageTable shows the profile by stage; ok is false where no stage is in it or
// the kind is not about what requests cost.
func (t *Taken) StageTable(s Stages) (table results.Table, ok bool) {
	index := slices.IndexFunc(t.Profile.SampleType, func(v *profile.ValueType) bool { return v.Type == t.Kind.sample })
	if index < 0 || t.Kind.how == once || t.Kind.how == twice {
		return table, false
	}
	byStage, found := s.share(t.Profile, index)
	if !found {
		return table, false
	}
	table.Columns = []results.Column{
		{Key: "stage", Title: "stage, with what it calls", Left: true},
		{Key: "value", Title: t.Kind.sample, Unit: t.Kind.unit},
		{Key: "share", Title: "%", Unit: "fraction"},
		{Key: "per_request", Title: "a request", Unit: t.Kind.unit},
	}
	var names []string
	var total int64
	for name, value := range byStage {
		names, total = append(names, name), total+value
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(byStage[b], byStage[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		value := byStage[name]
		table.Rows = append(table.Rows, []results.Cell{results.TextCell(name), t.figure(float64(value)), share(value, total), t.perRequest(value)})
	}
	return table, true
}
