package results

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"mslab/results/record"
)

// Tables draws a run: what was predicted of it beside what was measured, if
// anything was; for each ranked arm and load the comparison of CPU per request
// with the rates beside it, latency with the kernel's counters, the four success
// rates, and syscalls where they were traced; for each other arm success, tail
// and waits without a ranking, and each second of the trials that had faults;
// then what the faults did; last the figures that others claimed beside ours.
// minEffect < 0 takes the plan's.
func Tables(run *Run, minEffect float64) ([]Table, error) {
	if minEffect < 0 {
		minEffect = run.Plan.MinEffect
	}
	comparisons, err := Compare(run, MetricCPU, run.Pairs(), minEffect)
	if err != nil {
		return nil, err
	}
	trials := indexTrials(run)
	var tables []Table
	if predictions, ok, err := PredictionsTable(run); err != nil {
		return nil, err
	} else if ok {
		tables = append(tables, predictions)
	}
	overview := rankedArms(run) > 1
	if overview {
		t, err := overviewTable(run, trials, comparisons, minEffect)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	for _, arm := range run.Plan.Arms {
		if arm.Ranked && arm.Blocks == 0 {
			continue // not played: the overview says why
		}
		for load := range max(1, len(arm.Loads)) {
			v := view{run: run, arm: arm, load: loadOf(arm, load), loadIndex: load, trials: trials}
			if err := v.sumUp(load); err != nil {
				return nil, err
			}
			if arm.Ranked {
				mine := ofCell(comparisons, run.Pairs(), arm.Name, load)
				rank, kernel := v.rankTable(mine, minEffect), v.kernelTable()
				rank.Detail, kernel.Detail = overview, overview
				tables = append(tables, rank, kernel, detail(v.successTable()))
				for _, t := range SyscallTables(run, arm, load) {
					t.Detail = overview
					tables = append(tables, t)
				}
			} else {
				waits := v.waitTable()
				// In an unranked run the waits are the point, unless there are faults.
				waits.Detail = rankedArms(run) > 0 || len(arm.Faults) > 0
				tables = append(tables, v.tailTable(), waits)
				if len(arm.Faults) > 0 {
					tables = append(tables, v.secondTables()...)
				}
			}
		}
	}
	if faults, ok := faultTable(run, trials); ok {
		tables = append(tables, faults)
	}
	if claims, ok, err := claimsTable(run, trials.summarize); err != nil {
		return nil, err
	} else if ok {
		tables = append(tables, claims)
	}
	if asserted, ok := AssertionTable(run); ok {
		tables = append(tables, asserted)
	}
	if n := len(tables); n > 0 {
		tables[n-1].Notes = append(tables[n-1].Notes, runNotes(run)...)
	}
	return tables, nil
}

func detail(t Table) Table {
	t.Detail = true
	return t
}

// WithoutDetail leaves out the tables that a first look does without.
func WithoutDetail(tables []Table) []Table {
	return slices.DeleteFunc(slices.Clone(tables), func(t Table) bool { return t.Detail })
}

func loadOf(arm ArmPlan, i int) record.Load {
	if i < len(arm.Loads) {
		return arm.Loads[i]
	}
	return record.Load{}
}

// ofCell picks the comparisons of one arm under one load, by B.
func ofCell(all []Comparison, pairs []Pair, arm string, load int) map[string]Comparison {
	out := map[string]Comparison{}
	for i, c := range all {
		if _, taken := out[c.B]; !taken && pairs[i].Arm == arm && pairs[i].Load == load {
			out[c.B] = c
		}
	}
	return out
}

// view is one arm under one load.
type view struct {
	run  *Run
	arm  ArmPlan
	load record.Load
	// loadIndex is that of load among the arm's.
	loadIndex int
	trials    trialIndex
	rows      []summary
}

func (v *view) sumUp(load int) error {
	for _, subject := range v.run.Plan.SubjectsOf(v.arm) {
		s, err := summarizeSubject(v.trials, v.arm, subject, load)
		if err != nil {
			return err
		}
		v.rows = append(v.rows, s)
	}
	return nil
}

func (v *view) title(what string) string {
	title := v.arm.Name + ": " + what
	if v.load.Clients > 0 {
		title += " (" + loadTitle(v.load) + ")"
	}
	return title
}

// subjectColumn heads the column of the subjects: phases where all of them are.
func (p *Plan) subjectColumn() Column {
	title := "phase"
	if slices.ContainsFunc(p.Subjects, func(s SubjectPlan) bool { return s.Phase == nil }) {
		title = "subject"
	}
	return Column{Key: "subject", Title: title, Left: true}
}

// draw makes a table with a row a subject.
func (v *view) draw(what string, columns []Column, cells func(summary) []Cell) Table {
	t := Table{Title: v.title(what), Columns: append([]Column{v.run.Plan.subjectColumn()}, columns...)}
	for _, s := range v.rows {
		row := []Cell{TextCell(s.subject.Title())}
		if s.all == nil {
			for range columns {
				row = append(row, TextCell(dash))
			}
		} else {
			row = append(row, cells(s)...)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (v *view) deadline() string {
	if v.load.DeadlineNS > 0 {
		return time.Duration(v.load.DeadlineNS).String()
	}
	for _, s := range v.rows {
		if s.all != nil && s.all.Load.DeadlineNS > 0 {
			return time.Duration(s.all.Load.DeadlineNS).String()
		}
	}
	return "deadline"
}

func (v *view) withinColumn() Column {
	return Column{Key: "within_deadline", Title: "≤" + v.deadline() + " %", Unit: "fraction"}
}

func (v *view) rankTable(comparisons map[string]Comparison, minEffect float64) Table {
	t := v.draw("what a request costs the server", []Column{
		{Key: "server_cpu_ns_per_request", Title: "CPU/req", Unit: "ns"},
		{Key: "change", Title: "change", Unit: "fraction"},
		{Key: "interval", Title: "95 %"},
		{Key: "rps_ok", Title: "ok/s", Unit: "1/s"},
		{Key: "success_semantic", Title: "ok %", Unit: "fraction"},
		v.withinColumn(),
	}, func(s summary) []Cell {
		c, compared := comparisons[s.subject.Name]
		return []Cell{
			FigureCell(s.cpu, FormatNS),
			changeCell(c, compared),
			intervalCell(c, compared),
			s.timedCell(s.timed.RPS.OK, formatCount),
			s.cell(s.all.Success.Semantic, formatShare),
			s.timedCell(s.timed.Success.Deadline, formatShare),
		}
	})
	t.Notes = append(v.rankNotes(comparisons, minEffect), v.bottleneckNotes()...)
	return t
}

func (v *view) kernelTable() Table {
	return v.draw("latency and what the kernel saw", []Column{
		{Key: "latency_p50", Title: "p50", Unit: "ns"},
		{Key: "latency_p99", Title: "p99", Unit: "ns"},
		{Key: "latency_max", Title: "max", Unit: "ns"},
		{Key: "ctx_voluntary_per_request", Title: "csw vol/req"},
		{Key: "ctx_involuntary_per_request", Title: "invol/req"},
		{Key: "threads_max", Title: "threads"},
		{Key: "listen_overflows", Title: "overflows"},
	}, func(s summary) []Cell {
		return append(s.latencyCells(),
			s.cell(perRequest(s.all, record.UnknownSwitch, func(k *record.Server) int64 { return k.CtxSwitches.Voluntary }), significant),
			s.cell(perRequest(s.all, record.UnknownSwitch, func(k *record.Server) int64 { return k.CtxSwitches.Involuntary }), significant),
			s.cell(ofServer(s.all, record.UnknownThreads, func(k *record.Server) int64 { return k.ThreadsMax }), formatCount),
			s.cell(ofServer(s.all, record.UnknownListen, func(k *record.Server) int64 { return k.ListenOverflows }), formatCount))
	})
}

func (v *view) successTable() Table {
	return v.draw("success, in % of the requests sent", []Column{
		{Key: "sent", Title: "sent"},
		{Key: "failed", Title: "failed"},
		{Key: "success_transport", Title: "answered", Unit: "fraction"},
		{Key: "success_http", Title: "2xx", Unit: "fraction"},
		{Key: "success_semantic", Title: "stored", Unit: "fraction"},
		v.withinColumn(),
	}, func(s summary) []Cell {
		return []Cell{
			s.cell(float64(s.all.Counts.Sent), formatCount),
			s.cell(float64(s.all.Counts.Failed), formatCount),
			s.cell(s.all.Success.Transport, formatShare),
			s.cell(s.all.Success.HTTP, formatShare),
			s.cell(s.all.Success.Semantic, formatShare),
			s.timedCell(s.timed.Success.Deadline, formatShare),
		}
	})
}

func (v *view) tailTable() Table {
	t := v.draw("success and tail, not ranked", []Column{
		{Key: "rps_ok", Title: "ok/s", Unit: "1/s"},
		{Key: "success_semantic", Title: "ok %", Unit: "fraction"},
		v.withinColumn(),
		{Key: "latency_p50", Title: "p50", Unit: "ns"},
		{Key: "latency_p99", Title: "p99", Unit: "ns"},
		{Key: "latency_max", Title: "max", Unit: "ns"},
	}, func(s summary) []Cell {
		return append([]Cell{
			s.timedCell(s.timed.RPS.OK, formatCount),
			s.cell(s.all.Success.Semantic, formatShare),
			s.timedCell(s.timed.Success.Deadline, formatShare),
		}, s.latencyCells()...)
	})
	t.Notes = append(v.faultNotes(), v.bottleneckNotes()...)
	return t
}

func (v *view) waitTable() Table {
	return v.draw("waits and refusals", []Column{
		{Key: "first_request_p50", Title: "first p50", Unit: "ns"},
		{Key: "first_request_max", Title: "first max", Unit: "ns"},
		{Key: "starved_clients", Title: "starved"},
		{Key: "failed", Title: "failed"},
		{Key: "listen_overflows", Title: "overflows"},
		{Key: "syn_retransmits", Title: "SYN again"},
	}, func(s summary) []Cell {
		return []Cell{
			s.timedCell(ofLatency(s.timed.FirstWait, func(l *record.Latency) int64 { return l.P50 }), FormatNS),
			s.timedCell(ofLatency(s.timed.FirstWait, func(l *record.Latency) int64 { return l.Max }), FormatNS),
			s.cell(float64(s.all.Counts.Starved), formatCount),
			s.cell(float64(s.all.Counts.Failed), formatCount),
			s.cell(ofServer(s.all, record.UnknownListen, func(k *record.Server) int64 { return k.ListenOverflows }), formatCount),
			s.cell(ofServer(s.all, record.UnknownListen, func(k *record.Server) int64 { return k.SynRetransmits }), formatCount),
		}
	})
}

// cell is a figure that any valid trial gives, timedCell one that needs a
// comparable trial.
func (s summary) cell(v float64, format func(float64) string) Cell {
	c := FigureCell(v, format)
	c.Struck = s.allStruck && c.Text != dash
	return c
}

func (s summary) timedCell(v float64, format func(float64) string) Cell {
	c := FigureCell(v, format)
	c.Struck = s.timedStruck && c.Text != dash
	return c
}

func (s summary) latencyCells() []Cell {
	l := &s.timed.Latency
	return []Cell{
		s.timedCell(ofLatency(l, func(l *record.Latency) int64 { return l.P50 }), FormatNS),
		s.timedCell(ofLatency(l, func(l *record.Latency) int64 { return l.P99 }), FormatNS),
		s.timedCell(ofLatency(l, func(l *record.Latency) int64 { return l.Max }), FormatNS),
	}
}

func changeCell(c Comparison, compared bool) Cell {
	if !compared {
		return TextCell("")
	}
	text := string(c.Verdict)
	switch {
	case strings.HasPrefix(text, string(CannotShow)):
		return TextCell(string(CannotShow))
	case c.Significant:
		text = c.Change() + " " + text
	}
	return Cell{Text: text, Value: float64(c.Ratio) - 1}
}

func intervalCell(c Comparison, compared bool) Cell {
	low, high := float64(c.CILow), float64(c.CIHigh)
	if !compared || math.IsNaN(low) || math.IsInf(low, 0) || math.IsInf(high, 0) {
		return TextCell("")
	}
	percent := func(ratio float64) string { return strings.TrimSuffix(formatChange(ratio), " %") }
	return TextCell(fmt.Sprintf("[%s, %s]", percent(low), percent(high)))
}
