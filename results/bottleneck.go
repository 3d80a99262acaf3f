package results

import (
	"fmt"
	"slices"
	"strings"

	"mslab/results/record"
)

// BottleneckCount is a bottleneck, how many trials it bound, and what one of
// them was told by.
type BottleneckCount struct {
	Bottleneck string
	Trials     int
	Evidence   string // of the first of them
}

// CountBottlenecks counts what bound trials, the most frequent first. Trials of
// which nobody asked are left out.
func CountBottlenecks(trials []*record.Record) []BottleneckCount {
	var out []BottleneckCount
	for _, t := range trials {
		v := t.Verdict
		if v.Bottleneck == "" {
			continue
		}
		i := slices.IndexFunc(out, func(b BottleneckCount) bool { return b.Bottleneck == v.Bottleneck })
		if i < 0 {
			i = len(out)
			out = append(out, BottleneckCount{Bottleneck: v.Bottleneck, Evidence: v.Evidence})
		}
		out[i].Trials++
	}
	slices.SortStableFunc(out, func(a, b BottleneckCount) int { return b.Trials - a.Trials })
	return out
}

// bottleneckNotes say what bound the subjects of an arm: one note for each
// bottleneck, with the subjects most of whose trials it bound, and the evidence
// of the first.
func (v *view) bottleneckNotes() []string {
	type bound struct {
		name, evidence string
		subjects       []string
	}
	var all []*bound
	for _, s := range v.rows {
		trials := v.trials.trials(v.arm, s.subject.Name, v.loadIndex)
		counts := CountBottlenecks(trials)
		if len(counts) == 0 {
			continue
		}
		most := counts[0]
		i := slices.IndexFunc(all, func(b *bound) bool { return b.name == most.Bottleneck })
		if i < 0 {
			i = len(all)
			all = append(all, &bound{name: most.Bottleneck, evidence: most.Evidence})
		}
		subject := v.run.Plan.short(s.subject)
		if most.Trials < len(trials) {
			subject += fmt.Sprintf(" (%d of %d trials)", most.Trials, len(trials))
		}
		all[i].subjects = append(all[i].subjects, subject)
	}
	notes := make([]string, 0, len(all))
	for _, b := range all {
		note := "Bottleneck of " + strings.Join(b.subjects, ", ") + ": " + b.name
		switch {
		case b.evidence == "": // records of older versions
		case len(b.subjects) > 1 || strings.HasSuffix(b.subjects[0], "trials)"):
			note += "; the first one: " + b.evidence
		default:
			note += "; " + b.evidence
		}
		notes = append(notes, note+".")
	}
	return notes
}
