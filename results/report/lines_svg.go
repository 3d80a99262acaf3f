package report

import (
	"fmt"
	"html"
	"strings"
)

const (
	linesWidth  = 920.0
	plotHeight  = 170.0
	tallPlot    = 300.0
	marginLeft  = 66.0
	marginRight = 22.0
	markEvery   = 90.0 // pixels between the marks on a line
)

// drawLines draws the plots of a figure one above the other, with their legend
// first.
func (f *figure) drawLines() *svg {
	s := &svg{width: linesWidth}
	y := s.legend(f.legend())
	for i, plot := range f.lines {
		height := plotHeight
		if plot.tall {
			height = tallPlot
		}
		y = s.plot(plot, y, height, i == len(f.lines)-1)
	}
	s.height = y
	return s
}

// entry is one line of a legend: a subject, or a name apart.
type entry struct {
	name   string
	colour int
	struck bool
	line   bool // drawn as a line, with its dashes
}

// legend has each subject once, whatever series it is drawn as; it is struck
// where all of them are.
func (f *figure) legend() []entry {
	var entries []entry
	at := map[string]int{}
	for _, plot := range f.lines {
		for _, s := range plot.series {
			if s.subject == "" {
				continue
			}
			i, known := at[s.subject]
			if !known {
				i, at[s.subject] = len(entries), len(entries)
				entries = append(entries, entry{s.subject, s.colour, true, plot.joined})
			}
			entries[i].struck = entries[i].struck && s.struck
		}
	}
	return entries
}

func (s *svg) legend(entries []entry) (bottom float64) {
	x, y := marginLeft, 14.0
	for _, e := range entries {
		width := 30 + textWidth(e.name, textSize) + 14
		if x+width > linesWidth && x > marginLeft {
			x, y = marginLeft, y+18
		}
		s.sample(e, x, y-4)
		s.text(x+30, y, "name", "", e.name)
		x += width
	}
	return y + 12
}

// sample draws what a subject looks like in the plot.
func (s *svg) sample(e entry, x, y float64) {
	class := colourClass(e.colour)
	if e.struck {
		class = "cx"
	}
	fmt.Fprintf(s, `<g class="%s">`, class)
	if e.line {
		s.dashed(fmt.Sprintf("M%s %sh24", num(x), num(y)), e.colour)
	}
	s.point(e.colour, e.struck, x+12, y, 3)
	s.WriteString("</g>")
}

func (s *svg) dashed(path string, colour int) {
	s.WriteString(`<path class="curve"`)
	if dash := dashOf(colour); dash != "" {
		s.WriteString(` stroke-dasharray="` + dash + `"`)
	}
	s.WriteString(` d="` + path + `"/>`)
}

func (s *svg) point(colour int, struck bool, x, y, r float64) {
	class := "point"
	if struck || colour%shapes == 4 || colour%shapes == 5 || colour%shapes == 7 {
		class = "point open"
	}
	fmt.Fprintf(s, `<path class="%s" d="%s"/>`, class, marker(max(colour, 0), x, y, r))
}

func (s *svg) plot(l *lines, y, height float64, last bool) (bottom float64) {
	xs, ys, xTicks, yTicks := l.layout()
	s.text(0, y+10, "head", "", l.title)
	top := y + 18
	bottom = top + height
	across := place{xs, l.x.scale == percentile, marginLeft, linesWidth - marginRight}
	up := place{ys, l.y.scale == logarithmic, bottom, top}
	for _, b := range l.bands {
		s.rect(across.of(b.from), top, across.of(b.to)-across.of(b.from), height, "band")
		s.text((across.of(b.from)+across.of(b.to))/2, top+12, "tick", "middle", b.name)
	}
	for _, t := range yTicks {
		s.line(marginLeft, up.of(t), linesWidth-marginRight, up.of(t), "grid")
		s.text(marginLeft-7, up.of(t)+4, "tick", "end", trimZeros(l.y.tickText(t)))
	}
	for _, t := range xTicks {
		s.line(across.of(t), bottom, across.of(t), bottom+4, "ref")
		if last {
			s.text(across.of(t), bottom+17, "tick", "middle", l.x.tickText(t))
		}
	}
	s.line(marginLeft, bottom, linesWidth-marginRight, bottom, "ref")
	for _, one := range l.series {
		s.series(l, one, across, up)
	}
	if last {
		title := l.x.title
		if l.x.unit == share {
			title += ", %"
		}
		s.text((marginLeft+linesWidth-marginRight)/2, bottom+33, "tick", "middle", title)
		return bottom + 38
	}
	return bottom + 14
}

func (s *svg) series(l *lines, one series, across, up place) {
	class := colourClass(one.colour)
	if one.struck && l.joined {
		class = "cx" // a hollow mark says it where there is no line
	}
	fmt.Fprintf(s, `<g class="%s" data-name="%s">`, class, html.EscapeString(one.name))
	if l.joined {
		var path strings.Builder
		gap := true
		for i := range one.x {
			if !finite(one.y[i]) {
				gap = true
				continue
			}
			letter := "L"
			if gap {
				letter = "M"
			}
			gap = false
			path.WriteString(letter + num(across.of(one.x[i])) + " " + num(up.of(one.y[i])))
		}
		s.dashed(path.String(), one.colour)
	}
	next := across.from + markEvery*float64(max(one.colour, 0)%colours)/colours
	for i := range one.x {
		x := across.of(one.x[i])
		if !finite(one.y[i]) || !l.points && x < next {
			continue
		}
		next = x + markEvery
		r := 2.6
		if one.colour < 0 {
			r = 1.2
		}
		s.point(one.colour, one.struck, x, up.of(one.y[i]), r)
	}
	s.WriteString("</g>")
}
