package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

const (
	rowHeight  = 25.0
	textSize   = 12.5
	smallSize  = 11.0
	panelGap   = 22.0
	valueWidth = 62.0
	// manyValues is where the values behind a mark lose their labels.
	manyValues = 400
	// rawBelow is how far they lie below their mark, which they would hide.
	rawBelow = 6.5
)

// dotsLayout is how panels are set out: side by side on a wide screen, one below
// the other on a narrow one.
type dotsLayout struct {
	width   float64
	labels  float64 // at most, for the names of the rows
	stacked bool
}

var (
	wideDots   = dotsLayout{width: 920, labels: 230}
	narrowDots = dotsLayout{width: 340, labels: 104, stacked: true}
)

func (f *figure) drawDots(l dotsLayout) *svg {
	d := f.dots
	s := &svg{width: l.width}
	labels := 0.0
	for _, r := range d.rows {
		labels = max(labels, textWidth(r.text, textSize)+10)
	}
	labels = min(labels, l.labels)
	if l.stacked {
		y := 0.0
		for i := range d.panels {
			y = s.panel(d, i, 0, y, labels, l.width-labels, labels)
			y += 14
		}
		s.height = y - 14
		return s
	}
	inLine := min(len(d.panels), 4)
	if d.matrix {
		inLine = len(d.panels)
	}
	gap := panelGap
	if d.matrix {
		gap = 12
		s.width = max(l.width, labels+float64(inLine)*112)
	}
	// A row of panels is as wide as the longest, so that columns line up.
	width := (s.width - labels - float64(inLine-1)*gap) / float64(max(inLine, 1))
	width = min(width, 560)
	y := 0.0
	for first := 0; first < len(d.panels); first += inLine {
		bottom, heads := y, 0
		for i := first; i < min(first+inLine, len(d.panels)); i++ {
			heads = max(heads, len(wrapTitle(d.panels[i].title, width)))
		}
		for i := first; i < min(first+inLine, len(d.panels)); i++ {
			names := 0.0
			if i == first {
				names = labels
			}
			bottom = max(bottom, s.panel(d, i, heads, y, labels+float64(i-first)*(width+gap), width, names))
		}
		y = bottom + 16
	}
	s.height = y - 16
	return s
}

// panel draws one measure at x, with the names of the rows to its left where
// names is their width, and returns its lower edge. heads is how many lines the
// titles beside it take.
func (s *svg) panel(d *dots, index, heads int, y, x, width, names float64) float64 {
	p := d.panels[index]
	values := valueWidth
	if p.short {
		values = 42
	}
	plot := width - values
	title := wrapTitle(p.title, width)
	y += (smallSize + 3) * float64(max(0, heads-len(title))) // panels side by side begin at one height
	for _, line := range title {
		y += smallSize + 3
		s.text(x, y, "head", "", line)
	}
	y += 7
	pos := p.place(x+4, x+plot-4)
	top := y
	bottom := top + rowHeight*float64(len(d.rows))
	ticks := p.ticks(plot)
	for _, t := range ticks {
		s.line(pos.of(t), top, pos.of(t), bottom, "grid")
		s.text(pos.of(t), bottom+13, "tick", "middle", p.tickText(t))
	}
	if finite(p.reference) {
		s.line(pos.of(p.reference), top, pos.of(p.reference), bottom, "ref")
	}
	for i, row := range d.rows {
		middle := top + rowHeight*(float64(i)+.5)
		if names > 0 {
			s.text(x-names, middle+4.5, "name", "", cut(row.text, names, textSize))
		}
		s.mark(p, row, p.marks[i], pos, middle, x+width)
	}
	return bottom + 16
}

func wrapTitle(title string, width float64) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(title) {
		if line != "" && textWidth(line+" "+word, smallSize) > width {
			lines = append(lines, line)
			line = word
			continue
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

func (s *svg) mark(p panel, row rowName, m mark, pos place, y, right float64) {
	if !finite(m.value) {
		text := m.text
		if text == "" {
			text = "-"
		}
		s.text(right, y+4.5, "val dim", "end", strings.TrimSpace(text))
		// A group all the same: the arrow keys go by rows.
		fmt.Fprintf(s, `<g class="row" data-said="%s">`, html.EscapeString(m.readout(p, row)))
		s.rect(pos.from-4, y-rowHeight/2, right-pos.from+4, rowHeight, "hit")
		s.WriteString("</g>")
		return
	}
	class := colourClass(row.colour)
	if m.struck {
		class = "cx"
	}
	fmt.Fprintf(s, `<g class="row %s" data-of="%s" data-said="%s">`, class, html.EscapeString(row.text+", "+p.title), html.EscapeString(m.readout(p, row)))
	s.rect(pos.from-4, y-rowHeight/2, right-pos.from+4, rowHeight, "hit")
	s.raws(p, m, pos, y)
	if m.interval != "" {
		bar := "bar"
		if m.extent {
			bar = "bar thin"
		}
		s.line(pos.of(max(m.low, pos.e.low)), y, pos.of(min(m.high, pos.e.high)), y, bar)
	}
	x := pos.of(m.value)
	switch {
	case m.struck:
		fmt.Fprintf(s, `<path class="cross" d="%s"/>`, marker(5, x, y, 3.2))
	case m.faint:
		fmt.Fprintf(s, `<path class="hollow" d="%s"/>`, marker(0, x, y, 3.3))
	default:
		fmt.Fprintf(s, `<path class="dot" d="%s"/>`, marker(0, x, y, 3.3))
	}
	class = "val"
	if m.struck {
		class = "val struck"
	}
	s.text(right, y+4.5, class, "end", minus(m.printed(p)))
	s.WriteString("</g>")
}

func (m mark) printed(p panel) string {
	if m.text != "" {
		return m.text
	}
	return p.format(m.value)
}

// raws draws the values behind a mark; each says itself where there are not too
// many.
func (s *svg) raws(p panel, m mark, pos place, y float64) {
	if len(m.raw) < 2 && !m.struck && (len(m.raw) == 0 || !m.raw[0].struck) {
		return
	}
	total := 0
	for _, other := range p.marks {
		total += len(other.raw)
	}
	if total > manyValues {
		s.manyRaws(m, pos, y)
		return
	}
	for _, r := range m.raw {
		if r.value < pos.e.low || r.value > pos.e.high {
			continue
		}
		said := r.label + ": " + minus(p.format(r.value)) // the script puts the group's name before it
		if r.struck {
			fmt.Fprintf(s, `<path class="rawx" d="%s" data-raw="%s"/>`, marker(5, pos.of(r.value), y+rawBelow, 1.7), html.EscapeString(said))
			continue
		}
		fmt.Fprintf(s, `<path class="raw" d="%s" data-raw="%s"/>`, marker(0, pos.of(r.value), y+rawBelow, 1.5), html.EscapeString(said))
	}
}

func (s *svg) manyRaws(m mark, pos place, y float64) {
	var good, bad strings.Builder
	for _, r := range m.raw {
		if r.value < pos.e.low || r.value > pos.e.high {
			continue
		}
		if x := num(pos.of(r.value)); r.struck {
			fmt.Fprintf(&bad, "M%s %sv3", x, num(y+rawBelow-1.5))
		} else {
			fmt.Fprintf(&good, "M%s %sv3", x, num(y+rawBelow-1.5))
		}
	}
	if good.Len() > 0 {
		fmt.Fprintf(s, `<path class="raw" d="%s"/>`, good.String())
	}
	if bad.Len() > 0 {
		fmt.Fprintf(s, `<path class="rawx" d="%s"/>`, bad.String())
	}
}

// readout says a mark in words.
func (m mark) readout(p panel, row rowName) string {
	said := row.text + ", " + p.title + ": "
	switch {
	case !finite(m.value) && m.said != "":
		return said + m.said
	case !finite(m.value) && m.text == " ":
		return said + "compared with none"
	case !finite(m.value):
		return said + "not known"
	}
	said += minus(p.format(m.value))
	if m.interval != "" {
		said += fmt.Sprintf(", %s %s to %s", m.interval, minus(p.format(m.low)), minus(p.format(m.high)))
	}
	if m.said != "" {
		said += ", " + m.said
	}
	if m.struck {
		said += ", struck out"
	}
	return said
}

// place lays the panel's values out between two edges.
func (p panel) place(from, to float64) place {
	e := emptyExtent()
	for _, m := range p.marks {
		e.take(m.value, m.low, m.high)
		for _, r := range m.raw {
			e.take(r.value)
		}
	}
	e.take(p.reference)
	if p.zero {
		e.take(0)
	}
	if p.highest > 0 {
		e.take(p.highest)
	}
	switch {
	case e.empty():
		e = extent{0, 1}
	case p.log:
		e = extent{e.low / 1.02, e.high * 1.02}
	case p.zero:
		if e.high == 0 {
			e.high = 1
		}
		e.high *= 1.03
	case p.highest > 0: // shares
		e.low = math.Max(0, math.Min(e.low, p.highest-.01))
	}
	return place{e, p.log, from, to}
}

func (p panel) ticks(width float64) []float64 {
	n := max(2, int(width/58))
	if p.short {
		n = 1
	}
	e := p.place(0, 1).e
	switch {
	case finite(p.reference): // ratios, in percent
		var out []float64
		for _, t := range ticks(extent{e.low - 1, e.high - 1}, n+2) {
			out = append(out, t+1)
		}
		return out
	case p.log:
		all := logTicks(e)
		for len(all) > n+1 {
			var half []float64
			for i := 0; i < len(all); i += 2 {
				half = append(half, all[i])
			}
			all = half
		}
		return all
	case p.highest == 1 && !p.short:
		return []float64{ticks(e, n)[0], 1}
	}
	return ticks(e, n)
}

func (p panel) tickText(v float64) string {
	if finite(p.reference) {
		if v == 1 {
			return "0"
		}
		return minus(fmt.Sprintf("%+.4g %%", 100*(v-1)))
	}
	if v == 0 {
		return "0"
	}
	text := p.format(v)
	if strings.Contains(text, ".") { // 100.0 and 2.00 are round values
		text = trimZeros(text)
	}
	return text
}

// trimZeros leaves out the zeros after a decimal point: 2.50µs is 2.5µs.
func trimZeros(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789.,-<>", r) })
	if end < 0 {
		end = len(text)
	}
	number := strings.TrimRight(strings.TrimRight(text[:end], "0"), ".")
	if !strings.Contains(text[:end], ".") || number == "" {
		return text
	}
	return number + text[end:]
}
