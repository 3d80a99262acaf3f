package profile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/pprof/profile"
)

// Row is one function of the top table, in the unit of the sample type.
type Row struct {
	Function string
	Flat     int64 // in the function itself
	Cum      int64 // in it and in what it called
}

// Top adds up the samples of one type by function, the largest flat first, as
// `pprof -top` does: an inlined function is one of its own, and a recursive one
// counts once in a sample. total is the sum over all samples, which includes
// those without a stack.
func Top(p *profile.Profile, sampleType string) (rows []Row, total int64, err error) {
	index := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == sampleType })
	if index < 0 {
		return nil, 0, fmt.Errorf("add up the profile: it has no samples of type %s", sampleType)
	}
	byName := map[string]*Row{}
	row := func(name string) *Row {
		r := byName[name]
		if r == nil {
			r = &Row{Function: name}
			byName[name] = r
		}
		return r
	}
	for _, s := range p.Sample {
		value := s.Value[index]
		total += value
		stack := functions(s)
		for i, name := range stack {
			if i == 0 {
				row(name).Flat += value
			}
			if !slices.Contains(stack[:i], name) {
				row(name).Cum += value
			}
		}
	}
	for _, r := range byName {
		if r.Flat != 0 || r.Cum != 0 {
			rows = append(rows, *r)
		}
	}
	order(rows, func(r Row) (int64, int64) { return r.Flat, r.Cum })
	return rows, total, nil
}

// byCum orders rows by what happened in a function and below.
func byCum(rows []Row) { order(rows, func(r Row) (int64, int64) { return r.Cum, r.Flat }) }

// order sorts by the first figure, then the second, then the name.
func order(rows []Row, by func(Row) (first, second int64)) {
	slices.SortFunc(rows, func(a, b Row) int {
		a1, a2 := by(a)
		b1, b2 := by(b)
		return cmp.Or(cmp.Compare(b1, a1), cmp.Compare(b2, a2), cmp.Compare(a.Function, b.Function))
	})
}

// functions is a sample's stack by name, innermost first.
func functions(s *profile.Sample) []string {
	var names []string
	for _, location := range s.Location {
		if len(location.Line) == 0 {
			names = append(names, fmt.Sprintf("%#x", location.Address))
		}
		for _, line := range location.Line {
			if line.Function != nil {
				names = append(names, line.Function.Name)
			}
		}
	}
	return names
}
