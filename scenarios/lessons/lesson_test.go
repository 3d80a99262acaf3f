package lessons

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mslab/results"
	"mslab/results/record"
	"mslab/scenarios"
)

func TestLessonsAreWhole(t *testing.T) {
	names := map[string]bool{}
	listed, err := scenarios.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range listed {
		names[s.Name] = true
	}
	for _, l := range Numbered() {
		t.Run(l.Question, func(t *testing.T) {
			plan, err := l.Plan(scenarios.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := plan.Duration(); d > Longest || d < time.Second {
				t.Errorf("takes about %s, want at most %s", d, Longest)
			}
			if name := plan.Record.Scenario; names[name] || len(name) > 12 {
				t.Errorf("scenario %q: want a name of its own, short enough for the list of runs", name)
			}
			names[plan.Record.Scenario] = true
			checkAsks(t, l, plan)
			checkTexts(t, l)
			run := &results.Run{Plan: plan.Record}
			tables, err := l.Tables(run)
			if err != nil {
				t.Fatal(err)
			}
			if notes := tables[len(tables)-1].Notes; !strings.Contains(strings.Join(notes, " "), "cannot tell") {
				t.Errorf("a run that measured nothing is told of as %q", notes)
			}
		})
	}
	if len(names) == len(listed) {
		t.Error("no lessons")
	}
}

func checkAsks(t *testing.T, l Lesson, plan *scenarios.Plan) {
	t.Helper()
	phases := map[string]bool{}
	for _, a := range l.Asks {
		if _, err := l.Prediction(plan, a, 1); err != nil {
			t.Error(err)
		}
		if phases[a.Phase] {
			t.Errorf("phase %s is asked for twice: --predict could not tell", a.Phase)
		}
		phases[a.Phase] = true
	}
	if len(l.Asks) == 0 || len(l.Evidence) == 0 {
		t.Errorf("%d predictions, %d columns of evidence", len(l.Asks), len(l.Evidence))
	}
}

// checkTexts holds the texts against a terminal of 80 columns.
func checkTexts(t *testing.T, l Lesson) {
	t.Helper()
	lines := []string{l.Question, "      ", "Lesson 10: " + l.Question}
	for _, a := range l.Asks {
		lines = append(lines, "Your prediction of "+a.Question+": ")
	}
	for _, c := range l.Next {
		lines = append(lines, "  "+c.Line, "      "+c.Why)
	}
	for _, text := range []string{l.Before, l.Answer} {
		if strings.TrimSpace(text) == "" || !strings.HasSuffix(text, "\n") {
			t.Errorf("a text is empty or does not end its last line: %q", text)
		}
		lines = append(lines, strings.Split(text, "\n")...)
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestFind(t *testing.T) {
	if l, err := Find("1"); err != nil || l.Number != 1 || !strings.Contains(l.Question, "accept queue") {
		t.Errorf("lesson 1: %d %q, %v", l.Number, l.Question, err)
	}
	for _, word := range []string{"", "0", "-1", "99", "one", "1.0", "99999999999999999999"} {
		if _, err := Find(word); err == nil || !strings.Contains(err.Error(), "no such lesson; there ") {
			t.Errorf("lesson %q: %v", word, err)
		}
	}
}

// figures are what a run would have measured.
type figures map[string]float64

func (f figures) of(phase, metric string) float64 {
	v, ok := f[phase+" "+metric]
	if !ok {
		return math.NaN()
	}
	return v
}

func TestAcceptQueueIsHonest(t *testing.T) {
	shown := figures{"5 " + listenOverflows: 100, "5 " + results.MetricP99: 1.01e9, "5 " + results.MetricMax: 2.02e9,
		"7 " + listenOverflows: 0, "7 " + results.MetricP99: 20e6, "7 " + results.MetricMax: 40e6}
	for _, c := range []struct {
		name, figure string
		value        float64
		want         string
	}{
		{"the effect", "5 " + results.MetricP99, 1.01e9, ""},
		{"no phase 5", "5 " + listenOverflows, math.NaN(), "cannot tell"},
		{"no phase 7", "7 " + results.MetricMax, math.NaN(), "cannot tell"},
		{"no overflow", "5 " + listenOverflows, 0, "did not show the effect"},
		{"no second", "5 " + results.MetricMax, 210e6, "half of the effect: the queue of phase 5 overflowed, but no request waited 1 s for it; the longest took 210ms"},
		{"overflow in phase 7", "7 " + listenOverflows, 3, "while phase 7 played, too"},
		{"a second in phase 7", "7 " + results.MetricMax, 1.1e9, "requests to phase 7 took 1 s too"},
		{"a rare second", "5 " + results.MetricP99, 30e6, "p99 (30.0ms) hides it"},
	} {
		f := figures{}
		for k, v := range shown {
			f[k] = v
		}
		f[c.figure] = c.value
		got := acceptQueueNotShown(f.of)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestInterruptedLessonSaysSo wants no judgement of figures that are cut short.
func TestInterruptedLessonSaysSo(t *testing.T) {
	l, err := Find("1")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := l.Plan(scenarios.Options{Blocks: 1})
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Prediction(plan, l.Asks[0], 1e9)
	if err != nil {
		t.Fatal(err)
	}
	run := &results.Run{Plan: plan.Record, Incomplete: true, Predictions: []results.Prediction{p}, Environment: &record.Environment{}}
	tables, err := l.Tables(run)
	if err != nil || len(tables) != 2 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	if notes := tables[1].Notes; !strings.Contains(strings.Join(notes, " "), "interrupted") || strings.Contains(strings.Join(notes, " "), "effect") {
		t.Errorf("notes %q", notes)
	}
}
