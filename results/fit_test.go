package results

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestWideTextWraps holds a table of long texts to the width of a terminal
// without losing a word, and leaves Markdown in one line.
func TestWideTextWraps(t *testing.T) {
	long := strings.Repeat("several words of text ", 8)
	table := Table{Title: strings.TrimSpace(long), Columns: []Column{
		{Key: "n", Title: "n"}, {Key: "a", Title: "first", Left: true}, {Key: "b", Title: "second", Left: true},
	}, Rows: [][]Cell{{FigureCell(1234567, formatCount), TextCell(long), TextCell("short")}, {FigureCell(1, formatCount), TextCell("x"), TextCell(long)}}}
	var text, markdown strings.Builder
	if err := RenderText(&text, []Table{table}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > lineWidth {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	if got, want := strings.Count(text.String(), "several"), 3*8; got != want {
		t.Errorf("the word is there %d times, want %d:\n%s", got, want, text.String())
	}
	if !strings.Contains(text.String(), "1,234,567") {
		t.Errorf("the figure was broken:\n%s", text.String())
	}
	if err := RenderMarkdown(&markdown, []Table{table}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(markdown.String(), "| "+strings.TrimSpace(long)) {
		t.Errorf("Markdown rows were wrapped:\n%s", markdown.String())
	}
}

// TestWordsStayWhole shows that a table which cannot fit is drawn as it is.
func TestWordsStayWhole(t *testing.T) {
	word := strings.Repeat("x", 100)
	var b strings.Builder
	if err := RenderText(&b, []Table{{Columns: []Column{{Key: "a", Title: "a", Left: true}}, Rows: [][]Cell{{TextCell("one " + word)}}}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), word) {
		t.Errorf("the word was broken:\n%s", b.String())
	}
}

// TestTitlesOfFiguresBreakLast holds a table of figures to the width of a terminal
// by its titles, and only where its text does not give enough.
func TestTitlesOfFiguresBreakLast(t *testing.T) {
	draw := func(columns int) string {
		table := Table{Columns: []Column{{Key: "a", Title: "phase", Left: true}}, Rows: [][]Cell{{TextCell("7 keepalive")}}}
		for range columns {
			table.Columns = append(table.Columns, Column{Key: "n", Title: "csw vol/req"})
			table.Rows[0] = append(table.Rows[0], FigureCell(1234567, formatCount))
		}
		var b strings.Builder
		if err := RenderText(&b, []Table{table}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > lineWidth {
				t.Errorf("%d characters: %s", n, line)
			}
		}
		if strings.Count(b.String(), "1,234,567") != columns || strings.Count(b.String(), "csw") != columns {
			t.Errorf("something is missing:\n%s", b.String())
		}
		return b.String()
	}
	if text := draw(5); !strings.Contains(text, "csw vol/req") {
		t.Errorf("the titles broke where there was room:\n%s", text)
	}
	if text := draw(6); strings.Contains(text, "csw vol/req") || !strings.Contains(text, "keepalive") {
		t.Errorf("the titles did not break:\n%s", text)
	}
}
