package report

import (
	"fmt"
	"html"
	"strconv"
	"strings"
	"unicode/utf8"
)

// svg collects the elements of a drawing. Whatever text goes in is escaped here.
type svg struct {
	strings.Builder
	width, height float64
}

// num prints a length in pixels to a tenth.
func num(v float64) string {
	s := strconv.FormatFloat(v, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0")
}

func (s *svg) text(x, y float64, class, anchor, text string) {
	if text == "" {
		return
	}
	fmt.Fprintf(s, `<text x="%s" y="%s"`, num(x), num(y))
	if class != "" {
		fmt.Fprintf(s, ` class="%s"`, class)
	}
	if anchor != "" {
		fmt.Fprintf(s, ` text-anchor="%s"`, anchor)
	}
	s.WriteString(">" + html.EscapeString(text) + "</text>")
}

func (s *svg) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(s, `<path d="M%s %sL%s %s" class="%s"/>`, num(x1), num(y1), num(x2), num(y2), class)
}

func (s *svg) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(s, `<rect x="%s" y="%s" width="%s" height="%s" class="%s"/>`, num(x), num(y), num(w), num(h), class)
}

// colours is how many subjects are told apart by colour; beyond that colours
// come again with other marks.
const colours = 8

func colourClass(colour int) string {
	if colour < 0 {
		return "cn"
	}
	return "c" + strconv.Itoa(colour%colours)
}

// marker is the outline of a subject's mark about a point: circle, square,
// triangle, diamond, plus, cross, triangle down, and bar.
func marker(shape int, x, y, r float64) string {
	p := func(format string, v ...float64) string {
		parts := make([]any, len(v))
		for i := range v {
			parts[i] = num(v[i])
		}
		return fmt.Sprintf(format, parts...)
	}
	switch (shape + shapes) % shapes {
	case 1:
		return p("M%s %sh%sv%sh%sz", x-.85*r, y-.85*r, 1.7*r, 1.7*r, -1.7*r)
	case 2:
		return p("M%s %sL%s %sH%sz", x, y-1.1*r, x+1.1*r, y+.9*r, x-1.1*r)
	case 3:
		return p("M%s %sL%s %sL%s %sL%s %sz", x, y-1.25*r, x+1.25*r, y, x, y+1.25*r, x-1.25*r, y)
	case 4:
		return p("M%s %sH%sM%s %sV%s", x-1.2*r, y, x+1.2*r, x, y-1.2*r, y+1.2*r)
	case 5:
		return p("M%s %sL%s %sM%s %sL%s %s", x-r, y-r, x+r, y+r, x-r, y+r, x+r, y-r)
	case 6:
		return p("M%s %sL%s %sH%sz", x, y+1.1*r, x+1.1*r, y-.9*r, x-1.1*r)
	case 7:
		return p("M%s %sV%s", x, y-1.3*r, y+1.3*r)
	}
	return p("M%s %sa%s %s 0 1 0 %s 0a%s %s 0 1 0 %s 0z", x-r, y, r, r, 2*r, r, r, -2*r)
}

const shapes = 8

// dashes tell lines apart without colour; "" is a solid one.
var dashes = [...]string{"", "7 3", "2 2.5", "9 3 2 3", "5 2 1.5 2 1.5 2", "12 4", "4 4", "1.5 4"}

func dashOf(colour int) string {
	if colour < 0 {
		return ""
	}
	return dashes[colour%len(dashes)]
}

// cut shortens text to what fits into width pixels of a font of that size.
func cut(text string, width, size float64) string {
	most := int(width / (size * charShare))
	if utf8.RuneCountInString(text) <= most || most < 2 {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// charShare is about how wide a letter is for its height; textWidth errs on the
// wide side.
const charShare = 0.55

func textWidth(text string, size float64) float64 {
	return float64(utf8.RuneCountInString(text)) * size * charShare
}

// document wraps the drawing as an element of a page or, standing alone, as a
// file with its own style.
func (s *svg) document(f *figure, class string, alone bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s"`, num(s.width), num(s.height))
	if alone {
		fmt.Fprintf(&b, ` width="%s" height="%s" role="img" aria-labelledby="t d"><title id="t">%s</title><desc id="d">%s</desc><style>%s</style><rect width="100%%" height="100%%" class="paper"/>`,
			num(s.width), num(s.height), html.EscapeString(f.title), html.EscapeString(f.how), svgStyle)
	} else {
		fmt.Fprintf(&b, ` class="%s" role="img" aria-label="%s">`, class, html.EscapeString(f.title))
	}
	b.WriteString(s.String())
	b.WriteString("</svg>")
	return b.String()
}

// standalone is the plot as a file: in light colours, with its title.
func (f *figure) standalone() []byte {
	var s *svg
	if f.dots != nil {
		s = f.drawDots(wideDots)
	} else {
		s = f.drawLines()
	}
	titled := &svg{width: s.width, height: s.height + 30}
	titled.text(0, 17, "title", "", f.title)
	titled.WriteString(`<g transform="translate(0 30)">` + s.String() + "</g>")
	return []byte(titled.document(f, "", true) + "\n")
}
