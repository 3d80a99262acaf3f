package results

import (
	"strings"
	"unicode/utf8"
)

// columnGap is the space that the renderer puts between two columns.
const columnGap = 2

// fit breaks the words of text columns onto further lines of their cells, so
// that the grid, header first, is no wider than width; where titles is true, those
// of the titles of figures before. Figures are never broken, and neither are
// words: where that is not enough fit returns false, and breaks what it can only
// where titles is true.
func (t Table) fit(lines [][]string, width int, titles bool) bool {
	widths, least := make([]int, len(t.Columns)), make([]int, len(t.Columns))
	total := columnGap * (len(t.Columns) - 1)
	for i, c := range t.Columns {
		for n, cells := range lines {
			widths[i] = max(widths[i], utf8.RuneCountInString(cells[i]))
			if !c.Left && (n > 0 || !titles) {
				least[i] = max(least[i], utf8.RuneCountInString(cells[i]))
				continue
			}
			for word := range strings.FieldsSeq(cells[i]) {
				least[i] = max(least[i], utf8.RuneCountInString(word))
			}
		}
		total += widths[i]
	}
	total = t.shrink(widths, least, total, width, false)
	total = t.shrink(widths, least, total, width, true)
	if total > width && !titles {
		return false
	}
	for i, c := range t.Columns {
		for n, cells := range lines {
			if c.Left || n == 0 && titles {
				cells[i] = wrap(cells[i], widths[i], "")
			}
		}
	}
	return total <= width
}

// shrink takes from the widest columns of text, or of figures, until the total is
// no more than width or nothing can be taken.
func (t Table) shrink(widths, least []int, total, width int, text bool) int {
	for ; total > width; total-- {
		widest := -1
		for i, c := range t.Columns {
			if c.Left == text && widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return total
}

// without leaves out columns.
func (t Table) without(leaveOut func(Column) bool) Table {
	out := t
	out.Columns, out.Rows = nil, make([][]Cell, len(t.Rows))
	for i, c := range t.Columns {
		if leaveOut(c) {
			continue
		}
		out.Columns = append(out.Columns, c)
		for n, row := range t.Rows {
			out.Rows[n] = append(out.Rows[n], row[i])
		}
	}
	return out
}
