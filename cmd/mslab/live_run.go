package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mslab/results"
	"mslab/results/record"
	"mslab/scenarios"
)

// runView shows a run.
type runView struct {
	plan  *results.Plan
	began time.Time

	place   scenarios.Place
	board   *board            // of the place's arm and load
	boards  map[string]*board // by both
	doing   string
	left    time.Duration // estimated when it was told
	leftAt  time.Time
	slice   time.Duration // how long the one that is played should take; 0 between two
	sliceAt time.Time     // when it began

	samples samples
	now     scenarios.Sample // the last of the slice that is played
	faults  []fault
	note    string
}

// fault is one that is in effect.
type fault struct {
	name  string
	since time.Time
	lasts time.Duration
}

func newRunView() *runView { return &runView{boards: map[string]*board{}} }

func (v *runView) update(e scenarios.Event, at time.Time) {
	switch e := e.(type) {
	case scenarios.RunBegun:
		v.plan, v.began, v.doing = e.Plan, at, "getting ready"
		v.setLeft(e.Expected, at)
	case scenarios.BlockBegun:
		v.enter(e.Place)
		v.doing = "starting " + plural(len(v.board.rows), "server")
		v.setLeft(e.Left, at)
	case scenarios.Warming:
		v.doing = "warming " + v.board.title(e.Subject)
	case scenarios.SliceBegun:
		v.doing = fmt.Sprintf("measuring %s", v.board.title(e.Subject))
		if e.Slices > 1 {
			v.doing += fmt.Sprintf(", slice %d of %d", e.Slice, e.Slices)
		}
		v.board.current = e.Subject
		v.slice, v.sliceAt, v.now = e.Expected, at, scenarios.Sample{}
		v.samples.add(sample{gap: true})
		v.setLeft(e.Left, at)
	case scenarios.Sample:
		v.samples.add(sample{rate: e.RPS, p50: e.P50, p99: e.P99, failed: e.Failed > v.now.Failed})
		v.now = e
	case scenarios.SliceEnded:
		v.board.slice(e)
		v.slice, v.now, v.faults = 0, scenarios.Sample{}, nil
		if e.Lost != "" {
			v.note = e.Lost
		}
	case scenarios.FaultBegun:
		v.faults = append(v.faults, fault{name: e.Name, since: at, lasts: e.For})
	case scenarios.FaultEnded:
		v.faults = slices.DeleteFunc(v.faults, func(f fault) bool { return f.name == e.Name })
		if e.Error != "" {
			v.note = e.Error
		}
	case scenarios.TrialKept:
		v.board.trial(e.Trial)
	case scenarios.BlockEnded:
		v.setLeft(e.Left, at)
	case scenarios.Tracing:
		v.doing = "counting the system calls of " + v.board.title(e.Subject)
		v.board.current = e.Subject
		v.setLeft(e.Left, at)
	case scenarios.ArmTraced:
		v.setLeft(e.Left, at)
	case scenarios.Noted:
		v.note = e.Text
	case scenarios.RunEnded:
		v.doing = "writing the tables"
	}
}

// enter goes to an arm and load, to the figures that it has from earlier blocks.
func (v *runView) enter(p scenarios.Place) {
	v.place = p
	key := fmt.Sprintf("%s/%d", p.Arm, p.Load)
	if v.boards[key] == nil {
		v.boards[key] = newBoard(v.plan, p)
	}
	v.board = v.boards[key]
	v.board.current = ""
}

func (v *runView) setLeft(left time.Duration, at time.Time) { v.left, v.leftAt = left, at }

func (v *runView) view(columns, rows int, at time.Time) string {
	if v.plan == nil {
		return ""
	}
	left := max(v.left-at.Sub(v.leftAt), 0)
	elapsed := at.Sub(v.began)
	words := []string{v.plan.Scenario}
	if v.board == nil {
		v.board = newBoard(v.plan, v.place)
	} else {
		words = append(words, fmt.Sprintf("block %d of %d", v.place.Block, v.place.Blocks))
		if len(v.plan.Arms) > 1 && v.place.Arm != v.plan.Scenario {
			words = append(words, "arm "+v.place.Arm)
		}
		if v.board.load != "" {
			words = append(words, v.board.load)
		}
	}
	head := []part{
		{0, spread(words, shortDuration(left)+" left", columns)},
		{4, bar(share(float64(elapsed), float64(elapsed+left)), columns)},
		{9, ""},
		{0, v.activity(columns, at)},
		{2, v.samples.rateChart(v.rate(), columns)},
		{3, v.samples.p99Chart(v.p99(), columns)},
		{v.errorsRank(), errorLine(v.errors(), columns)},
	}
	if v.board.faulty {
		head = append(head, part{1, v.faultLine(columns, at)})
	}
	// The table takes what rows are left, at least three lines of it; where there
	// is no room for those the lines above do without it.
	const least = 3
	table := v.board.lines(columns, max(rows-len(head)-2, least))
	if rows < len(head)+2+len(table) {
		head = slices.DeleteFunc(head, func(p part) bool { return p.line == "" })
		table = v.board.lines(columns, max(rows-len(head), least))
	} else {
		head = append(head, part{8, ""})
	}
	for i, line := range table {
		rank := 6
		if i > 0 {
			rank = 5
		}
		head = append(head, part{rank, line})
	}
	if len(head) < rows {
		head = append(head, part{10, faint.render(fit(v.note, columns))})
	}
	return stack(rows, head...)
}

// activity says what is done, and how far it is.
func (v *runView) activity(columns int, at time.Time) string {
	doing := v.doing
	if v.slice > 0 {
		if took := at.Sub(v.sliceAt); v.slice > 2*time.Second {
			doing += fmt.Sprintf(", %s of %s", shortDuration(took), shortDuration(v.slice))
		}
	}
	return fit(doing, columns)
}

func (v *runView) rate() string {
	if v.now.Elapsed == 0 {
		return ""
	}
	return results.FormatCount(float64(v.now.OK) / v.now.Elapsed.Seconds())
}

func (v *runView) p99() string {
	if v.now.P99 == 0 {
		return ""
	}
	return results.FormatNS(float64(v.now.P99))
}

// errors are those of all slices so far under this load, with the one that is
// played.
func (v *runView) errors() map[record.Class]int64 {
	all := maps.Clone(v.board.failed)
	for class, n := range v.now.ByClass {
		all[class] += n
	}
	return all
}

// errorsRank lets errors stand where there is little room, and "no errors" go.
func (v *runView) errorsRank() int {
	for _, n := range v.errors() {
		if n > 0 {
			return 1
		}
	}
	return 7
}

func (v *runView) faultLine(columns int, at time.Time) string {
	if len(v.faults) == 0 {
		return faint.render("no fault now")
	}
	words := make([]string, len(v.faults))
	for i, f := range v.faults {
		words[i] = f.name + " for " + shortDuration(at.Sub(f.since)) + " of " + shortDuration(f.lasts)
	}
	return failInk.render(fit("fault  "+strings.Join(words, ", "), columns))
}
