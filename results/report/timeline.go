package report

import (
	"fmt"
	"math"
	"sort"

	"mslab/results"
	"mslab/results/record"
)

const (
	// mostPoints is how many points one series of a plot has at most: more than
	// the plot has pixels says nothing.
	mostPoints = 600
	// mostRows bounds the table under a course over time.
	mostRows = 300
	// fewSeconds is how many points of a line have room for a mark each.
	fewSeconds = 40
	// leastSeconds is how long a stretch must be to have a course.
	leastSeconds = 3
)

// overRun is each slice of a ranked arm at its time in the run, with the speed of
// the machine below: a flip shows in all subjects and in the calibration alike.
func (s *section) overRun(scene results.Scene) *figure {
	at := axis{"time since the run began, s", linear, secondsUnit}
	plots := []*lines{
		{title: "CPU per request", y: axis{"CPU per request", linear, nanoseconds}},
		{title: "ok/s", y: axis{"ok/s", linear, perSecond}},
		{title: "p99", y: axis{"p99", logarithmic, nanoseconds}},
	}
	of := []func(record.Slice) float64{
		func(s record.Slice) float64 { return s.CPUPerRequest },
		func(s record.Slice) float64 { return s.RPSOK },
		func(s record.Slice) float64 { return float64(s.P99) },
	}
	for i, plot := range plots {
		plot.x, plot.points = at, true
		for _, standing := range scene.Standings {
			plot.series = append(plot.series, s.slices(standing, of[i], i > 0)...)
		}
	}
	calibration := calibrations(scene)
	var drawn []*lines
	for _, plot := range plots {
		if len(plot.series) > 0 {
			drawn = append(drawn, plot)
		}
	}
	if len(drawn) == 0 {
		return nil
	}
	f := &figure{id: "course", title: "Every slice over the run",
		how: "A mark is a slice; a hollow one belongs to a trial whose figure is struck out. The subjects take turns, so that a change of the machine's speed meets them all.",
	}
	if len(calibration.x) > 0 {
		f.how += " The lowest plot is a fixed piece of socket work timed before each slice: where it rises, the machine was slower."
		drawn = append(drawn, &lines{title: "one round of fixed socket work", x: at, y: axis{"one round of fixed socket work", linear, nanoseconds}, series: []series{calibration}, joined: true, points: true})
	}
	f.lines = drawn
	f.table = blockTable(s, scene)
	return f
}

// slices are the points of a subject: those that count and those that do not.
func (s *section) slices(standing results.Standing, of func(record.Slice) float64, timed bool) []series {
	name, colour := standing.Subject.Title(), s.colour(standing.Subject.Name)
	good := series{name: name, subject: name, colour: colour}
	bad := series{name: name + ", struck out", subject: name, colour: colour, struck: true}
	for _, t := range standing.Trials {
		target := &good
		if t.Struck != "" || timed && t.Untimed != "" {
			target = &bad
		}
		for _, slice := range t.Slices {
			if v := of(slice); v > 0 {
				target.add(slice.OffsetS, v, fmt.Sprintf("block %d", t.Block))
			}
		}
	}
	var out []series
	for _, one := range []series{good, bad} {
		if len(one.x) > 0 {
			out = append(out, one.sorted().thinned(mean))
		}
	}
	return out
}

func (s *series) add(x, y float64, label string) {
	s.x, s.y = append(s.x, round(x, 6)), append(s.y, round(y, 4))
	s.labels = append(s.labels, label)
}

func (s series) sorted() series {
	order := make([]int, len(s.x))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return s.x[order[i]] < s.x[order[j]] })
	out := s
	out.x, out.y, out.labels = nil, nil, nil
	for _, i := range order {
		out.x, out.y = append(out.x, s.x[i]), append(out.y, s.y[i])
		if s.labels != nil {
			out.labels = append(out.labels, s.labels[i])
		}
	}
	return out
}

func mean(values []float64) float64 { return results.Mean(values) }

func greatest(values []float64) float64 {
	most := math.NaN()
	for _, v := range values {
		if math.IsNaN(most) || v > most {
			most = v
		}
	}
	return most
}

// thinned joins neighbouring points where there are more than a plot can show.
func (s series) thinned(join func([]float64) float64) series {
	each := (len(s.x) + mostPoints - 1) / mostPoints
	if each < 2 {
		return s
	}
	out := s
	out.x, out.y, out.labels = nil, nil, nil
	for i := 0; i < len(s.x); i += each {
		end := min(i+each, len(s.x))
		var known []float64
		for _, v := range s.y[i:end] {
			if finite(v) {
				known = append(known, v)
			}
		}
		y := math.NaN()
		if len(known) > 0 {
			y = round(join(known), 4)
		}
		out.x, out.y = append(out.x, round(mean(s.x[i:end]), 6)), append(out.y, y)
		label := fmt.Sprintf("%d together", end-i)
		if s.labels != nil {
			label = s.labels[i] + ", " + label
		}
		out.labels = append(out.labels, label)
	}
	return out
}

func calibrations(scene results.Scene) series {
	all := series{name: "socket round", colour: -1}
	for _, standing := range scene.Standings {
		for _, t := range standing.Trials {
			for _, slice := range t.Slices {
				if slice.CalibrationNS > 0 {
					all.add(slice.OffsetS, slice.CalibrationNS, fmt.Sprintf("block %d, before %s", t.Block, standing.Subject.Title()))
				}
			}
		}
	}
	return all.sorted().thinned(mean)
}

// blockTable says by block what the plots show by slice.
func blockTable(s *section, scene results.Scene) results.Table {
	t := results.Table{Title: "CPU per request by block", Columns: []results.Column{
		{Key: "block", Title: "block"}, {Key: "offset_s", Title: "began at, s", Unit: "s"}, {Key: "calibration_ns", Title: "socket round", Unit: "ns"},
	}}
	blocks := 0
	for _, standing := range scene.Standings {
		t.Columns = append(t.Columns, results.Column{Key: standing.Subject.Name, Title: standing.Subject.Title(), Unit: "ns"})
		for _, trial := range standing.Trials {
			blocks = max(blocks, trial.Block)
		}
	}
	began, rounds := make([]float64, blocks), make([][]float64, blocks)
	cells := make([][]results.Cell, blocks)
	for b := range cells {
		began[b] = math.NaN()
		for range scene.Standings {
			cells[b] = append(cells[b], results.TextCell("-"))
		}
	}
	for i, standing := range scene.Standings {
		for _, trial := range standing.Trials {
			b := trial.Block - 1
			cells[b][i] = results.FigureCell(trial.CPU, results.FormatNS)
			cells[b][i].Struck = trial.Struck != "" && finite(trial.CPU)
			for _, slice := range trial.Slices {
				if math.IsNaN(began[b]) || slice.OffsetS < began[b] {
					began[b] = slice.OffsetS
				}
				if slice.CalibrationNS > 0 {
					rounds[b] = append(rounds[b], slice.CalibrationNS)
				}
			}
		}
	}
	for b := range min(blocks, mostRows) {
		row := []results.Cell{results.FigureCell(float64(b+1), results.FormatCount), results.FigureCell(began[b], results.FormatFigure),
			results.FigureCell(median(rounds[b]), results.FormatNS)}
		t.Rows = append(t.Rows, append(row, cells[b]...))
	}
	if blocks > mostRows {
		t.Notes = append(t.Notes, fmt.Sprintf("The first %d of %d blocks.", mostRows, blocks))
	}
	t.Notes = append(t.Notes, "Socket round: the median of the block's slices. Rates and latencies of each trial are in the table of all trials.")
	return t
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// bySecond is the course of stretches that were not sliced, with their faults.
func (s *section) bySecond(scene results.Scene) *figure {
	at := axis{"time since the measured stretch began, s", linear, secondsUnit}
	ok := &lines{title: "ok/s", x: at, y: axis{"ok/s", linear, perSecond}, joined: true}
	failed := &lines{title: "failed/s", x: at, y: axis{"failed/s", linear, perSecond}, joined: true}
	p99 := &lines{title: "p99 of each second", x: at, y: axis{"p99 of each second", logarithmic, nanoseconds}, joined: true}
	var longest int
	var failures int64
	for _, standing := range scene.Standings {
		for _, t := range standing.Trials {
			seconds := wholeSeconds(t.Record)
			longest = max(longest, len(seconds))
			one := series{name: standing.Subject.Title(), subject: standing.Subject.Title(), colour: s.colour(standing.Subject.Name), struck: t.Struck != "" || t.Untimed != ""}
			if len(standing.Trials) > 1 {
				one.name += fmt.Sprintf(", block %d", t.Block)
			}
			okay, fail, tail := one, one, one
			for _, second := range seconds {
				label := fmt.Sprintf("second %.0f", second.at)
				okay.add(second.at+.5, second.ok, label)
				fail.add(second.at+.5, second.failed, label)
				tail.add(second.at+.5, second.p99, label)
				failures += second.failures
			}
			if len(seconds) == 0 {
				continue
			}
			ok.series, failed.series, p99.series = append(ok.series, okay.thinned(mean)), append(failed.series, fail.thinned(mean)), append(p99.series, tail.thinned(greatest))
		}
	}
	if longest < leastSeconds {
		return nil
	}
	f := &figure{id: "seconds", title: "Every second", table: secondsTable(s, scene),
		how: "A line is a trial of a subject; a point stands in the middle of its second."}
	f.lines = []*lines{ok, p99}
	if failures > 0 {
		f.lines = []*lines{ok, failed, p99}
	}
	bands := faultBands(scene)
	for _, plot := range f.lines {
		plot.bands, plot.points = bands, longest <= fewSeconds
	}
	if len(bands) > 0 {
		f.how += " A shaded stretch is a fault, from the moment it took effect until it was undone."
	}
	return f
}

// second is one second of a trial; the last may be short, so that figures are
// rates.
type second struct {
	at, ok, failed, p99 float64
	failures            int64
}

func wholeSeconds(r *record.Record) []second {
	var out []second
	for _, sec := range r.Series {
		length := math.Min(1, r.Load.DurationS-float64(sec.T))
		if length < 0.1 {
			continue // too short for a rate
		}
		one := second{at: float64(sec.T), ok: float64(sec.OK) / length, failed: float64(sec.Failed) / length, p99: float64(sec.P99), failures: sec.Failed}
		if sec.OK == 0 {
			one.p99 = math.NaN()
		}
		out = append(out, one)
	}
	return out
}

// faultBands are the faults of a scene's trials, each once: trials inject them
// within milliseconds of one another.
func faultBands(scene results.Scene) []band {
	var bands []band
	for _, standing := range scene.Standings {
		for _, t := range standing.Trials {
			for i, fault := range t.Faults {
				if fault.InjectedS == nil {
					continue
				}
				healed := t.Load.DurationS
				if fault.HealedS != nil {
					healed = *fault.HealedS
				}
				if i < len(bands) {
					bands[i].from, bands[i].to = min(bands[i].from, *fault.InjectedS), max(bands[i].to, healed)
					continue
				}
				bands = append(bands, band{fault.Name, *fault.InjectedS, healed})
			}
		}
	}
	return bands
}

func secondsTable(s *section, scene results.Scene) results.Table {
	t := results.Table{Title: "Every second, over the blocks", Columns: []results.Column{{Key: "t_s", Title: "second", Unit: "s"}}}
	rows := 0
	bySubject := make([]map[int][]second, len(scene.Standings))
	for i, standing := range scene.Standings {
		name := standing.Subject.Title() + ": "
		if len(scene.Standings) == 1 {
			name = ""
		}
		t.Columns = append(t.Columns,
			results.Column{Key: standing.Subject.Name + "_ok", Title: name + "ok/s", Unit: "1/s"},
			results.Column{Key: standing.Subject.Name + "_failed", Title: "failed/s", Unit: "1/s"},
			results.Column{Key: standing.Subject.Name + "_p99", Title: "p99", Unit: "ns"})
		bySubject[i] = map[int][]second{}
		for _, trial := range standing.Trials {
			for _, sec := range wholeSeconds(trial.Record) {
				bySubject[i][int(sec.at)] = append(bySubject[i][int(sec.at)], sec)
				rows = max(rows, int(sec.at)+1)
			}
		}
	}
	for row := range min(rows, mostRows) {
		cells := []results.Cell{results.FigureCell(float64(row), results.FormatCount)}
		for i := range scene.Standings {
			var ok, failed, p99 []float64
			for _, sec := range bySubject[i][row] {
				ok, failed = append(ok, sec.ok), append(failed, sec.failed)
				if finite(sec.p99) {
					p99 = append(p99, sec.p99)
				}
			}
			cells = append(cells, results.FigureCell(mean(ok), results.FormatCount), results.FigureCell(mean(failed), results.FormatCount),
				results.FigureCell(greatest(p99), results.FormatNS))
		}
		t.Rows = append(t.Rows, cells)
	}
	if rows > mostRows {
		t.Notes = append(t.Notes, fmt.Sprintf("The first %d of %d seconds.", mostRows, rows))
	}
	if scene.Arm.Blocks > 1 {
		t.Notes = append(t.Notes, "Rates are means over the blocks, p99 is the greatest.")
	}
	return t
}
