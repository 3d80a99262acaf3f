package results

import (
	"strings"
	"unicode/utf8"
)

// columnGap is the space that the renderer puts between two columns.
const columnGap = 2

// fit breaks the words of text columns onto further lines of their cells, so
// that the grid, header first, is no wider than width. Figures are never
// broken, and neither are words: a grid that is wider even so stays wider, and
// fit returns false.
func (t Table) fit(lines [][]string, width int) bool {
	widths, least := make([]int, len(t.Columns)), make([]int, len(t.Columns))
	total := columnGap * (len(t.Columns) - 1)
	for i := range t.Columns {
		for _, cells := range lines {
			widths[i] = max(widths[i], utf8.RuneCountInString(cells[i]))
			for word := range strings.FieldsSeq(cells[i]) {
				least[i] = max(least[i], utf8.RuneCountInString(word))
			}
		}
		total += widths[i]
	}
	for ; total > width; total-- {
		widest := -1
		for i, c := range t.Columns {
			if c.Left && widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	for i, c := range t.Columns {
		if !c.Left {
			continue
		}
		for _, cells := range lines {
			cells[i] = wrap(cells[i], widths[i], "")
		}
	}
	return total <= width
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
