package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"mslab/results"
	"mslab/results/record"
)

// The inks of live views: the terminal's own colours, which its user chose.
var (
	strong  = newInk(lipgloss.NewStyle().Bold(true))
	faint   = newInk(lipgloss.NewStyle().Faint(true))
	wellInk = newInk(lipgloss.NewStyle().Foreground(lipgloss.Green))
	rateInk = newInk(lipgloss.NewStyle().Foreground(lipgloss.Cyan))
	tailInk = newInk(lipgloss.NewStyle().Foreground(lipgloss.Yellow))
	failInk = newInk(lipgloss.NewStyle().Foreground(lipgloss.Red))
)

// ink is a style of text alone. The style itself would look for borders, margins
// and tabs at each word, which is most of what a frame costs.
type ink struct{ on, off, paleOn, paleOff string }

func newInk(style lipgloss.Style) ink {
	var k ink
	k.on, k.off, _ = strings.Cut(style.Render("x"), "x")
	k.paleOn, k.paleOff, _ = strings.Cut(style.Faint(true).Render("x"), "x")
	return k
}

func (k ink) render(text string) string { return k.on + text + k.off }

// pale renders what is over.
func (k ink) pale(text string) string { return k.paleOn + text + k.paleOff }

const ellipsis = "…"

// fit cuts text that is wider than the columns; no style is in it yet.
func fit(text string, columns int) string {
	if lipgloss.Width(text) <= columns {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && lipgloss.Width(string(runes))+1 > columns {
		runes = runes[:len(runes)-1]
	}
	if columns < 1 {
		return ""
	}
	return string(runes) + ellipsis
}

// pad fills text up to the columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(columns-lipgloss.Width(text), 0))
}

// spread puts words at the left, as many as there is room for, and one at the
// right edge.
func spread(words []string, right string, columns int) string {
	const gap = "  "
	room := columns - lipgloss.Width(right) - len(gap)
	left := ""
	for i, word := range words {
		if i > 0 {
			word = gap + word
		}
		if lipgloss.Width(left+word) > room {
			if i == 0 {
				left = fit(word, room)
			}
			break
		}
		left += word
	}
	return pad(strong.render(left), columns-lipgloss.Width(right)) + right
}

// bar draws a fraction in [0, 1] as a bar, to an eighth of a column.
func bar(fraction float64, columns int) string {
	label := fmt.Sprintf(" %3.0f %%", 100*fraction)
	if columns -= len(label); columns < 1 {
		return fit(strings.TrimSpace(label), columns+len(label))
	}
	full := blocks(int(fraction*float64(columns)*8 + 0.5))
	rest := strings.Repeat("░", max(columns-lipgloss.Width(full), 0))
	return wellInk.render(full) + faint.render(rest) + label
}

// blocks draws a length in eighths of a column.
func blocks(eighths int) string {
	full := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		full += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	return full
}

// sample is what a sparkline shows of one glance.
type sample struct {
	rate     float64 // requests/s
	p50, p99 time.Duration
	failed   bool // some request did
	gap      bool // no sample: another slice follows
}

// keepSamples is how many are kept: what the widest sparkline shows.
const keepSamples = 100

// samples are the last ones, oldest first.
type samples []sample

func (s *samples) add(next sample) {
	if next.gap && (len(*s) == 0 || (*s)[len(*s)-1].gap) {
		return
	}
	if *s = append(*s, next); len(*s) > keepSamples {
		*s = slices.Delete(*s, 0, len(*s)-keepSamples)
	}
}

var sparks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the last samples that fit, from zero to the highest of them;
// those before the last gap are faint, those with failures in the ink of such.
func (s samples) sparkline(columns int, k ink, value func(sample) float64) string {
	if len(s) > columns {
		s = s[len(s)-columns:]
	}
	highest, now := 0.0, 0
	for i, v := range s {
		highest = max(highest, value(v))
		if v.gap {
			now = i
		}
	}
	var b strings.Builder
	run, runStyle := []rune{}, 0
	renders := []func(string) string{k.render, k.pale, failInk.render, failInk.pale}
	flush := func() {
		if len(run) > 0 {
			b.WriteString(renders[runStyle](string(run)))
			run = run[:0]
		}
	}
	for i, v := range s {
		style := 0
		if v.failed {
			style = 2
		}
		if i < now {
			style++
		}
		if style != runStyle {
			flush()
			runStyle = style
		}
		run = append(run, spark(value(v), highest))
	}
	flush()
	return b.String() + strings.Repeat(" ", columns-len(s))
}

func spark(v, highest float64) rune {
	if v <= 0 || highest <= 0 {
		return ' '
	}
	return sparks[min(int(v/highest*float64(len(sparks))), len(sparks)-1)]
}

// chart is a sparkline between its name and its latest figure.
func (s samples) chart(name, figure string, columns int, k ink, value func(sample) float64) string {
	const nameColumns, figureColumns = 5, 12
	width := min(max(columns-nameColumns-figureColumns, 1), keepSamples)
	return faint.render(pad(name, nameColumns)) + s.sparkline(width, k, value) + " " + fit(figure, figureColumns-1)
}

func (s samples) rateChart(figure string, columns int) string {
	return s.chart("ok/s", figure, columns, rateInk, func(v sample) float64 { return v.rate })
}

func (s samples) p50Chart(figure string, columns int) string {
	return s.chart("p50", figure, columns, tailInk, func(v sample) float64 { return float64(v.p50) })
}

func (s samples) p99Chart(figure string, columns int) string {
	return s.chart("p99", figure, columns, tailInk, func(v sample) float64 { return float64(v.p99) })
}

// errorLine lists the classes that requests failed by, the most frequent first.
func errorLine(failed map[record.Class]int64, columns int) string {
	classes := []record.Class{}
	for class, n := range failed {
		if n > 0 && class != record.OK {
			classes = append(classes, class)
		}
	}
	if len(classes) == 0 {
		return faint.render("no errors")
	}
	slices.SortFunc(classes, func(a, b record.Class) int {
		if failed[a] != failed[b] {
			return int(failed[b] - failed[a])
		}
		return strings.Compare(string(a), string(b))
	})
	words := make([]string, len(classes))
	for i, class := range classes {
		words[i] = string(class) + " " + results.FormatCount(float64(failed[class]))
	}
	return failInk.render(fit("errors  "+strings.Join(words, "  "), columns))
}

// shortDuration is a time left to the second: 4m05s, 12s.
func shortDuration(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// share is done of all, in [0, 1]; 0 where nothing is known.
func share(done, all float64) float64 {
	if all <= 0 {
		return 0
	}
	return min(max(done/all, 0), 1)
}
