package profile

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"mslab/results"
)

// Agreement is how far the total of a CPU profile may be from the process'
// clock, as a fraction, before the table says that it is.
const Agreement = 0.03

// Table shows the first functions. For people, names of functions are cut to
// what a terminal has room for; programs get them whole.
func (t *Taken) Table(title string, rows int, people bool) (results.Table, error) {
	shown := t.Profile
	if t.Kernel != nil {
		shown = t.Kernel.folded()
	}
	top, total, err := Top(shown, t.Kind.sample)
	if err != nil {
		return results.Table{}, err
	}
	if t.Kind.cum {
		byCum(top)
	}
	table := results.Table{Title: title, Columns: t.columns()}
	growth, grown, err := t.grown()
	if err != nil {
		return results.Table{}, err
	}
	for _, r := range top[:min(rows, len(top))] {
		name := r.Function
		if people {
			name = shorten(name, nameWidth)
		}
		cells := []results.Cell{t.figure(float64(r.Flat)), share(r.Flat, total), t.figure(float64(r.Cum)), share(r.Cum, total)}
		switch t.Kind.how {
		case once:
		case twice:
			cells = append(cells, t.figure(float64(growth[r.Function])), t.perRequest(growth[r.Function]))
		default:
			value := r.Flat
			if t.Kind.cum {
				value = r.Cum
			}
			cells = append(cells, t.perRequest(value))
		}
		table.Rows = append(table.Rows, append(cells, results.TextCell(name)))
	}
	table.Notes = t.notes(len(top), rows, total, grown)
	return table, nil
}

func (t *Taken) columns() []results.Column {
	unit := t.Kind.unit
	columns := []results.Column{
		{Key: "flat", Title: "flat", Unit: unit},
		{Key: "flat_share", Title: "flat %", Unit: "fraction"},
		{Key: "cum", Title: "cum", Unit: unit},
		{Key: "cum_share", Title: "cum %", Unit: "fraction", Extra: true},
	}
	switch t.Kind.how {
	case once:
	case twice:
		columns = append(columns,
			results.Column{Key: "grown", Title: "grown", Unit: unit},
			results.Column{Key: "grown_per_request", Title: "a request", Unit: unit})
	default:
		columns = append(columns, results.Column{Key: "per_request", Title: "a request", Unit: unit})
	}
	return append(columns, results.Column{Key: "function", Title: "function", Left: true})
}

// grown is how what is in use in each function changed.
func (t *Taken) grown() (by map[string]int64, total int64, err error) {
	if t.Growth == nil {
		return nil, 0, nil
	}
	rows, total, err := Top(t.Growth, t.Kind.sample)
	by = make(map[string]int64, len(rows))
	for _, r := range rows {
		by[r.Function] = r.Flat
	}
	return by, total, err
}

func (t *Taken) perRequest(value int64) results.Cell {
	if t.Window.Requests == 0 {
		return results.TextCell("-")
	}
	return t.figure(float64(value) / float64(t.Window.Requests))
}

func (t *Taken) figure(value float64) results.Cell {
	return results.FigureCell(value, func(v float64) string { return t.Kind.format(v) })
}

// format prints a value of the kind.
func (k Kind) format(v float64) string {
	switch k.unit {
	case unitNS:
		return results.FormatNS(v)
	case unitBytes:
		return formatBytes(v)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// formatBytes prints bytes in binary units with three significant digits.
func formatBytes(v float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if math.Abs(v) < 1023.5 {
			return threeDigits(v) + unit
		}
		v /= 1024
	}
	return threeDigits(v) + "GiB"
}

func threeDigits(v float64) string {
	decimals := 2
	switch a := math.Abs(v); {
	case a == 0 || a >= 99.95:
		decimals = 0
	case a >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

func share(value, total int64) results.Cell {
	if total == 0 {
		return results.TextCell("-")
	}
	return results.FigureCell(float64(value)/float64(total), func(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) })
}

// nameWidth is what the figures leave of a terminal's line.
const nameWidth = 40

// shorten drops the folders of a function's package, then the end of its name,
// until it fits.
func shorten(name string, width int) string {
	if len(name) <= width {
		return name
	}
	// A folder's slash stands before the first bracket of type arguments.
	head, _, _ := strings.Cut(name, "[")
	if slash := strings.LastIndexByte(head, '/'); slash >= 0 {
		name = name[slash+1:]
	}
	if runes := []rune(name); len(runes) > width {
		name = string(runes[:width-1]) + "…"
	}
	return name
}

// notes are what the figures hang on.
func (t *Taken) notes(functions, shown int, total, grown int64) []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if functions > shown {
		add("The first %d of %d functions; mslab pprof shows them all.", shown, functions)
	}
	if functions == 0 {
		add("There is nothing in this profile.")
	}
	if t.Kernel != nil {
		if t.Kernel.Foreign {
			return append(notes, t.Kernel.notes(t)...)
		}
		if t.Window.Requests == 0 && !t.Kernel.Interrupted && !t.Kernel.Ended {
			notes = append(notes, atRest)
		}
		return append(notes, t.Kernel.notes(t)...)
	}
	if t.Kind.how != once && t.Window.Requests == 0 {
		notes = append(notes, atRest)
	}
	if t.Kind.note != "" {
		notes = append(notes, t.Kind.note)
	}
	switch t.Kind.how {
	case sampled:
		notes = append(notes, t.agreement(time.Duration(total)))
	case twice:
		add("In use: %s, grown by %s meanwhile.", t.Kind.format(float64(total)), t.Kind.format(float64(grown)))
		add("Cost: two garbage collections; the server took %s or less for each profile.", results.FormatNS(float64(t.Answer)))
	case once:
		add("%d in all. Cost: the server took %s or less to make the profile.", total, results.FormatNS(float64(t.Answer)))
	}
	if t.Kind.costly() {
		add("Cost of the profiler: %s.", t.Cost)
	}
	return notes
}

const atRest = "No request was served meanwhile: this is the server at rest. Run mslab load beside it, or give --phase N."

// fewSamples is the number below which the total of a profile says little: each
// thread is off by up to one sample.
const fewSamples = 100

// agreement holds the sampled time against the process' clock.
func (t *Taken) agreement(sampled time.Duration) string {
	clock := t.Window.CPU
	samples := int64(0)
	if i := slices.IndexFunc(t.Profile.SampleType, func(v *profile.ValueType) bool { return v.Type == "samples" }); i >= 0 {
		for _, s := range t.Profile.Sample {
			samples += s.Value[i]
		}
	}
	text := fmt.Sprintf("%d samples stand for %s of CPU; the process' clock says %s", samples, results.FormatNS(float64(sampled)), results.FormatNS(float64(clock)))
	if t.Window.Requests > 0 {
		text += fmt.Sprintf(" (%s a request)", results.FormatNS(perRequest(t.Window)))
	}
	if clock <= 0 {
		return text + "."
	}
	text += ": " + change(float64(sampled)/float64(clock)) + "."
	switch off := float64(sampled)/float64(clock) - 1; {
	case math.Abs(off) <= Agreement:
	case samples < fewSamples:
		text += " So few samples cannot agree better."
	case off < 0:
		text += " The Go profiler asks each thread's own clock, at which the kernel looks only at its tick (every 4ms at 250 Hz): threads that end before one, such as one for each request (phases 1 to 4), are hardly sampled, and threads that run in shorter turns lose samples. Trust the order, not the sums."
	default:
		text += " The profile holds more than the process ran: do not use it."
	}
	return text
}
