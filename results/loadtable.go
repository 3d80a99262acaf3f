package results

import (
	"fmt"
	"path/filepath"
	"time"

	"mslab/results/record"
)

// LoadTables draws one record, as `mslab load` and `mslab results show` print
// it: the figures of the load, and the latency of each class of ends.
func LoadTables(r *record.Record) []Table {
	name := r.Subject.Name
	if name == "" {
		name = r.Subject.URL
	}
	rates := Table{Title: name + " (" + loadTitle(r.Load) + ")", Columns: []Column{
		{Key: "sent", Title: "sent"},
		{Key: "rps_ok", Title: "ok/s", Unit: "1/s"},
		{Key: "success_transport", Title: "answered %", Unit: "fraction"},
		{Key: "success_http", Title: "2xx %", Unit: "fraction"},
		{Key: "success_semantic", Title: "stored %", Unit: "fraction"},
		{Key: "success_deadline", Title: "≤" + time.Duration(r.Load.DeadlineNS).String() + " %", Unit: "fraction"},
		{Key: "in_flight", Title: "in flight"},
		{Key: "in_doubt", Title: "in doubt"},
	}, Rows: [][]Cell{{
		FigureCell(float64(r.Counts.Sent), formatCount), FigureCell(r.RPS.OK, formatCount),
		FigureCell(r.Success.Transport, formatShare), FigureCell(r.Success.HTTP, formatShare),
		FigureCell(r.Success.Semantic, formatShare), FigureCell(r.Success.Deadline, formatShare),
		FigureCell(float64(r.Counts.InFlight), formatCount), FigureCell(float64(r.Counts.InDoubt), formatCount),
	}}}
	classes := classTable(r)
	strikeLoad(r, rates, classes)
	switch {
	case !r.Verdict.Valid:
		classes.Notes = append(classes.Notes, "This measurement is not valid"+reasons(r)+".")
	case !r.Verdict.Comparable:
		classes.Notes = append(classes.Notes, "Rates and latencies are not comparable"+reasons(r)+".")
	}
	if r.Verdict.Bottleneck != "" && r.Verdict.Comparable {
		classes.Notes = append(classes.Notes, "Bottleneck: "+r.Verdict.Bottleneck+"; "+r.Verdict.Evidence+".")
	}
	if r.Incomplete {
		classes.Notes = append(classes.Notes, "Interrupted: this is what was measured so far.")
	}
	if r.Counts.Starved > 0 {
		classes.Notes = append(classes.Notes, fmt.Sprintf("%d clients never got an answer.", r.Counts.Starved))
	}
	return append([]Table{rates, classes}, machinesTables(r)...)
}

// strikeLoad strikes out what a record's verdict leaves nothing of: everything
// where it is not valid, rates and latencies where it is not comparable.
func strikeLoad(r *record.Record, rates, classes Table) {
	if r.Verdict.Valid && r.Verdict.Comparable {
		return
	}
	for _, t := range []Table{rates, classes} {
		for _, row := range t.Rows {
			for i, c := range t.Columns {
				timed := c.Unit == "1/s" || c.Unit == "ns" || c.Key == "success_deadline"
				row[i].Struck = (timed || !r.Verdict.Valid) && !c.Left && row[i].Text != dash
			}
		}
	}
}

// classTable has a row for each class that occurred.
func classTable(r *record.Record) Table {
	what := "service time, from the send or the connect to the answer"
	if r.Latency.Kind == "response" {
		what = "response time, from the intended start to the answer"
	}
	t := Table{Title: what, Columns: []Column{
		{Key: "class", Title: "ended as", Left: true},
		{Key: "count", Title: "count"},
		{Key: "mean", Title: "mean", Unit: "ns", Extra: true},
		{Key: "p50", Title: "p50", Unit: "ns"},
		{Key: "p90", Title: "p90", Unit: "ns"},
		{Key: "p99", Title: "p99", Unit: "ns"},
		{Key: "p999", Title: "p99.9", Unit: "ns"},
		{Key: "max", Title: "max", Unit: "ns"},
	}}
	for _, class := range record.Classes {
		n := r.Counts.ByClass[class]
		if n == 0 {
			continue
		}
		l := &r.Latency
		if class != record.OK {
			l = r.Latency.ByClass[class]
		}
		row := []Cell{TextCell(string(class)), FigureCell(float64(n), formatCount)}
		for _, figure := range []func(*record.Latency) int64{
			func(l *record.Latency) int64 { return int64(l.Mean) },
			func(l *record.Latency) int64 { return l.P50 }, func(l *record.Latency) int64 { return l.P90 },
			func(l *record.Latency) int64 { return l.P99 }, func(l *record.Latency) int64 { return l.P999 },
			func(l *record.Latency) int64 { return l.Max },
		} {
			row = append(row, FigureCell(ofLatency(l, figure), FormatNS))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// RunsTable draws a list of runs.
func RunsTable(runs []Summary) Table {
	t := Table{Columns: []Column{
		{Key: "run", Title: "run", Left: true},
		{Key: "started", Title: "started (UTC)", Left: true},
		{Key: "subjects", Title: "subjects"},
		{Key: "blocks", Title: "blocks"},
		{Key: "trials", Title: "trials"},
		{Key: "state", Title: "state", Left: true},
	}}
	for _, s := range runs {
		name := filepath.Base(s.Dir)
		if s.Error != "" {
			t.Rows = append(t.Rows, []Cell{TextCell(name), TextCell(dash), TextCell(dash), TextCell(dash), TextCell(dash), TextCell("unreadable")})
			t.Notes = append(t.Notes, s.Error)
			continue
		}
		state := "complete"
		if s.Incomplete {
			state = "interrupted"
		}
		t.Rows = append(t.Rows, []Cell{
			TextCell(name), TextCell(s.Started.UTC().Format(time.DateTime)),
			FigureCell(float64(s.Subjects), formatCount), FigureCell(float64(s.Blocks), formatCount),
			FigureCell(float64(s.Trials), formatCount), TextCell(state),
		})
	}
	return t
}
