package report

import (
	"math"
	"sort"

	"mslab/results"
	"mslab/results/record"
)

// kernel is what /proc and netstat say of the servers.
func (s *section) kernel(scene results.Scene) *figure {
	measures := []struct {
		key, title string
		unit       string
		format     func(float64) string
		what       string // that the record calls it where it is not known
		of         func(*record.Record) float64
	}{
		{"user_ns_per_request", "user CPU per request", "ns", results.FormatNS, record.UnknownCPU, perOK(func(k *record.Server) int64 { return k.UserNS })},
		{"system_ns_per_request", "system CPU per request", "ns", results.FormatNS, record.UnknownCPU, perOK(func(k *record.Server) int64 { return k.SystemNS })},
		{"ctx_voluntary_per_request", "voluntary switches/request", "", results.FormatFigure, record.UnknownSwitch, perOK(func(k *record.Server) int64 { return k.CtxSwitches.Voluntary })},
		{"ctx_involuntary_per_request", "involuntary switches/request", "", results.FormatFigure, record.UnknownSwitch, perOK(func(k *record.Server) int64 { return k.CtxSwitches.Involuntary })},
		{"threads_max", "threads, most at once", "", results.FormatCount, record.UnknownThreads, func(r *record.Record) float64 { return float64(r.Server.ThreadsMax) }},
		{"listen_overflows", "ListenOverflows, all blocks", "", results.FormatCount, record.UnknownListen, func(r *record.Record) float64 { return float64(r.Server.ListenOverflows) }},
	}
	known := false
	f := &figure{id: "kernel", title: "User and system time, switches, threads, accept queue",
		how:   "A dot is a subject over all its blocks, a small dot one block. User and system time are at the kernel's tick, so that their sum differs a little from CPU per request.",
		dots:  &dots{rows: s.rows(scene)},
		table: results.Table{Title: "What the kernel saw of the servers", Columns: []results.Column{subjectColumn(s.run)}},
	}
	for _, standing := range scene.Standings {
		known = known || server(standing.All) != nil
		f.table.Rows = append(f.table.Rows, []results.Cell{results.TextCell(standing.Subject.Title())})
	}
	if !known {
		return nil
	}
	for _, m := range measures {
		of := func(r *record.Record) float64 {
			if !r.Server.Knows(m.what) {
				return math.NaN()
			}
			return m.of(r)
		}
		p := panel{title: m.title, format: m.format, zero: true, reference: math.NaN()}
		f.table.Columns = append(f.table.Columns, results.Column{Key: m.key, Title: m.title, Unit: m.unit})
		for i, standing := range scene.Standings {
			dot := span(standing, of, false)
			dot.low, dot.high, dot.interval, dot.extent = math.NaN(), math.NaN(), "", false
			if m.key == "listen_overflows" {
				dot.raw = nil // a sum of blocks has no place on their scale
			}
			p.marks = append(p.marks, dot)
			cell := results.FigureCell(dot.value, m.format)
			cell.Struck = dot.struck && finite(dot.value)
			f.table.Rows[i] = append(f.table.Rows[i], cell)
		}
		f.dots.panels = append(f.dots.panels, p)
	}
	for _, standing := range scene.Standings {
		if len(standing.Trials) > 0 && server(standing.All) == nil {
			f.notes = append(f.notes, standing.Subject.Title()+": its process could not be read.")
		}
	}
	return f
}

func perOK(count func(*record.Server) int64) func(*record.Record) float64 {
	return func(r *record.Record) float64 {
		if r.Counts.OK == 0 {
			return math.NaN()
		}
		return float64(count(r.Server)) / float64(r.Counts.OK)
	}
}

func subjectColumn(run *results.Run) results.Column {
	for _, s := range run.Plan.Subjects {
		if s.Phase == nil {
			return results.Column{Key: "subject", Title: "subject", Left: true}
		}
	}
	return results.Column{Key: "subject", Title: "phase", Left: true}
}

// syscallRows is how many system calls the plot shows, the most frequent first;
// the table has all.
const syscallRows = 14

// syscalls is how often a request makes each system call, where that was traced.
func (s *section) syscalls(scene results.Scene) *figure {
	traced := s.run.AllTraced(scene)
	rates := make([]map[string]float64, len(traced))
	most := map[string]float64{}
	for i, t := range traced {
		if t == nil {
			continue
		}
		rates[i] = t.Rates()
		for name, rate := range rates[i] {
			most[name] = max(most[name], rate)
		}
	}
	if len(most) == 0 {
		return nil
	}
	names := make([]string, 0, len(most))
	for name := range most {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		if a, b := most[names[i]], most[names[j]]; a != b {
			return a > b
		}
		return names[i] < names[j]
	})
	f := &figure{id: "syscalls", title: "System calls per request",
		how:   "A row is a system call, a column a subject, all on one scale. Traced in trials of their own, which enter no other figure.",
		dots:  &dots{matrix: true},
		table: results.Table{Title: "System calls per request", Columns: []results.Column{{Key: "syscall", Title: "syscall", Left: true}}},
	}
	for _, name := range names {
		f.table.Rows = append(f.table.Rows, []results.Cell{results.TextCell(name)})
	}
	shown := names[:min(len(names), syscallRows)]
	for _, name := range shown {
		f.dots.rows = append(f.dots.rows, rowName{text: name, colour: -1})
	}
	for i, standing := range scene.Standings {
		if rates[i] == nil {
			f.notes = append(f.notes, standing.Subject.Title()+" was not traced.")
			continue
		}
		p := panel{title: standing.Subject.Title(), format: formatRate, zero: true, reference: math.NaN(), highest: most[names[0]], short: true}
		f.table.Columns = append(f.table.Columns, results.Column{Key: standing.Subject.Name, Title: standing.Subject.Title()})
		for row, name := range names {
			rate := rates[i][name]
			f.table.Rows[row] = append(f.table.Rows[row], results.FigureCell(rate, formatRate))
			if row < len(shown) {
				p.marks = append(p.marks, mark{value: rate, low: math.NaN(), high: math.NaN()})
			}
		}
		f.dots.panels = append(f.dots.panels, p)
	}
	for _, t := range scene.Syscalls {
		f.notes = append(f.notes, t.Notes...)
	}
	return f
}

// formatRate tells never from seldom.
func formatRate(v float64) string {
	if v > 0 && v < 0.001 {
		return "<.001"
	}
	return results.FormatFigure(v)
}
