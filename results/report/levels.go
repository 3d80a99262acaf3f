package report

import (
	"math"
	"strings"

	"mslab/results"
	"mslab/results/record"
)

const (
	interval95 = "95 % interval"
	extremes   = "least and greatest block"
)

// levels puts the subjects side by side: what a request costs, how that differs
// from the one before, rates and success; in an arm that is not ranked the rates,
// the share in time and the latencies.
func (s *section) levels(scene results.Scene) *figure {
	if !scene.Arm.Ranked {
		return s.tail(scene)
	}
	f := &figure{id: "cost", title: "What a request costs the server", table: scene.Rank,
		how: "A dot is a subject over all its blocks, a bar the 95 % interval, a small dot one block, a cross a block that is struck out. " +
			"An interval of a level holds the machine's changes of speed; that of a change does not, since both subjects met them."}
	f.table.Notes = nil
	cpu := panel{title: "CPU per request", format: results.FormatNS, zero: true, reference: math.NaN()}
	for _, standing := range scene.Standings {
		cpu.marks = append(cpu.marks, level(standing, standing.CPU, standing.AllStruck,
			func(t results.Trial) (float64, bool) { return t.CPU, t.Struck != "" }))
	}
	change := s.change(scene)
	rate, success := rates(scene), successes(scene)
	f.dots = &dots{rows: s.rows(scene), panels: present(cpu, change, rate, success)}
	if !cpu.known() {
		f.title = "Rates and success"
		f.notes = append(f.notes, "CPU per request is not known: no subject's process could be read.")
	}
	f.notes = append(f.notes, scene.Notes...)
	return f
}

// tail shows an arm that ranks nothing.
func (s *section) tail(scene results.Scene) *figure {
	f := &figure{id: "tail", title: "Success and tail, not ranked", table: joinColumns(scene.Tail, scene.Waits),
		how: "A dot is a subject over all its blocks, a small dot one block, a cross a block that is struck out; a bar spans the blocks. Latencies are on a logarithmic axis."}
	within := panel{title: "within the deadline, %", format: results.FormatShare, reference: math.NaN(), highest: 1}
	if ns := scene.Load.DeadlineNS; ns > 0 {
		within.title = "within " + results.FormatNS(float64(ns)) + ", %"
	}
	p50 := panel{title: "p50", format: results.FormatNS, reference: math.NaN(), log: true}
	p99 := panel{title: "p99", format: results.FormatNS, reference: math.NaN(), log: true}
	for _, standing := range scene.Standings {
		within.marks = append(within.marks, span(standing, func(r *record.Record) float64 { return r.Success.Deadline }, true))
		p50.marks = append(p50.marks, span(standing, percentileOf(func(l record.Latency) int64 { return l.P50 }), true))
		p99.marks = append(p99.marks, span(standing, percentileOf(func(l record.Latency) int64 { return l.P99 }), true))
	}
	rate := panel{title: "ok/s", format: results.FormatCount, zero: true, reference: math.NaN()}
	for _, standing := range scene.Standings {
		rate.marks = append(rate.marks, span(standing, func(r *record.Record) float64 { return r.RPS.OK }, true))
	}
	f.dots = &dots{rows: s.rows(scene), panels: present(rate, within, p50, p99)}
	f.notes = scene.Notes
	return f
}

func percentileOf(figure func(record.Latency) int64) func(*record.Record) float64 {
	return func(r *record.Record) float64 {
		if r.Latency.Count == 0 {
			return math.NaN()
		}
		return float64(figure(r.Latency))
	}
}

// joinColumns sets the columns of b beside those of a, whose rows are the same
// subjects.
func joinColumns(a, b results.Table) results.Table {
	joined := results.Table{Title: a.Title, Columns: append([]results.Column{}, a.Columns...)}
	joined.Columns = append(joined.Columns, b.Columns[1:]...)
	for i, row := range a.Rows {
		cells := append([]results.Cell{}, row...)
		if i < len(b.Rows) {
			cells = append(cells, b.Rows[i][1:]...)
		}
		joined.Rows = append(joined.Rows, cells)
	}
	return joined
}

// level is a mark with the interval of the level that the blocks have in common.
func level(s results.Standing, value float64, struck bool, of func(results.Trial) (float64, bool)) mark {
	m := mark{value: value, low: math.NaN(), high: math.NaN(), struck: struck}
	var used []float64
	for _, t := range s.Trials {
		v, out := of(t)
		if !finite(v) {
			continue
		}
		m.raw = append(m.raw, raw{v, blockLabel(t), out})
		if !out && v > 0 {
			used = append(used, v)
		}
	}
	if low, high, ok := results.LevelInterval(used); ok {
		m.low, m.high, m.interval = low, high, interval95
		return m
	}
	m.spanOf(used)
	return m
}

// span is a mark whose bar spans its blocks; timed says that it needs trials that
// are comparable.
func span(s results.Standing, of func(*record.Record) float64, timed bool) mark {
	m := mark{value: math.NaN(), low: math.NaN(), high: math.NaN(), struck: s.AllStruck}
	if sum := s.All; sum != nil {
		if timed {
			sum, m.struck = s.Timed, s.TimedStruck
		}
		m.value = of(sum)
	}
	var used []float64
	for _, t := range s.Trials {
		v := of(t.Record)
		if !finite(v) {
			continue
		}
		out := t.Struck != "" || timed && t.Untimed != ""
		m.raw = append(m.raw, raw{v, blockLabel(t), out})
		if !out {
			used = append(used, v)
		}
	}
	m.spanOf(used)
	return m
}

func (m *mark) spanOf(used []float64) {
	if len(used) < 2 {
		return
	}
	m.low, m.high, m.interval, m.extent = used[0], used[0], extremes, true
	for _, v := range used {
		m.low, m.high = min(m.low, v), max(m.high, v)
	}
}

func blockLabel(t results.Trial) string {
	label := "block " + results.FormatCount(float64(t.Block))
	switch {
	case t.Struck != "":
		label += ", struck out: " + firstReason(t.Struck)
	case t.Untimed != "":
		label += ", rates and latencies struck out: " + firstReason(t.Untimed)
	}
	return label
}

// firstReason leaves out that the same befell other slices.
func firstReason(reasons string) string {
	first, _, _ := strings.Cut(reasons, "; ")
	return first
}

func rates(scene results.Scene) panel {
	p := panel{title: "ok/s", format: results.FormatCount, zero: true, reference: math.NaN()}
	for _, standing := range scene.Standings {
		value := math.NaN()
		if standing.Timed != nil {
			value = standing.Timed.RPS.OK
		}
		p.marks = append(p.marks, level(standing, value, standing.TimedStruck,
			func(t results.Trial) (float64, bool) { return t.RPS.OK, t.Struck != "" || t.Untimed != "" }))
	}
	return p
}

func successes(scene results.Scene) panel {
	p := panel{title: "stored, % of sent", format: results.FormatShare, reference: math.NaN(), highest: 1}
	for _, standing := range scene.Standings {
		p.marks = append(p.marks, span(standing, func(r *record.Record) float64 { return r.Success.Semantic }, false))
	}
	return p
}

// change is the panel of comparisons: each subject against the one that the plan
// holds it against.
func (s *section) change(scene results.Scene) panel {
	p := panel{title: "change of CPU per request", format: results.FormatChange, reference: 1, log: true}
	for _, standing := range scene.Standings {
		m := mark{value: math.NaN(), low: math.NaN(), high: math.NaN(), text: " "}
		for _, c := range scene.Changes {
			if c.B == standing.Subject.Name {
				m = s.changeMark(c)
				break
			}
		}
		p.marks = append(p.marks, m)
	}
	return p
}

func (s *section) changeMark(c results.Comparison) mark {
	m := mark{value: float64(c.Ratio), low: float64(c.CILow), high: float64(c.CIHigh), interval: interval95,
		faint: !c.Significant, said: string(c.Verdict) + " against " + title(s.run, c.A)}
	if c.Verdict == results.NoChange {
		m.said = "no difference could be told from " + title(s.run, c.A)
	}
	if strings.HasPrefix(string(c.Verdict), string(results.CannotShow)) {
		m.value, m.low, m.high, m.text = math.NaN(), math.NaN(), math.NaN(), "cannot show"
		m.said = string(c.Verdict)
		return m
	}
	if !finite(m.low) || !finite(m.high) {
		m.low, m.high, m.interval = math.NaN(), math.NaN(), ""
	}
	switch {
	case c.Verdict == results.TooFew:
		m.text = "too few"
	case !c.Significant:
		m.text = "~"
	}
	return m
}

func (p panel) known() bool {
	for _, m := range p.marks {
		if finite(m.value) {
			return true
		}
	}
	return false
}

// present leaves out the panels of which nothing is known.
func present(panels ...panel) []panel {
	var out []panel
	for _, p := range panels {
		if p.known() {
			out = append(out, p)
		}
	}
	return out
}
