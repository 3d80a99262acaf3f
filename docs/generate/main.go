// Command generate keeps the documents true to the committed reference runs: it
// draws the README's picture and writes the tables of docs/phases.md anew.
//
//	generate picture RUN FILE.svg    the first table of a run, as a terminal shows it
//	generate tables FILE.md          what stands between its table marks
package main

//go:generate go run . picture ../../results/reference/shows ../img/shows.svg
//go:generate go run . tables ../phases.md

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"mslab/results"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 3 && arguments[0] == "picture":
		return picture(arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "tables":
		return writeTables(arguments[1])
	}
	return fmt.Errorf("want picture RUN FILE.svg or tables FILE.md, not %q", arguments)
}

const (
	fontSize   = 14
	charWidth  = 8.43 // of the font, at its size
	lineHeight = 19
	margin     = 16
)

// picture draws the first table of a run.
func picture(dir, file string) error {
	tables, name, err := tablesOf(dir)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := results.RenderText(&text, tables[:1]); err != nil {
		return err
	}
	svg, err := terminal("$ mslab run " + name + "\n" + strings.TrimRight(text.String(), "\n"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, svg, 0o644); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}

func tablesOf(dir string) (tables []results.Table, scenario string, err error) {
	run, err := results.OpenRun(dir)
	if err != nil {
		return nil, "", err
	}
	tables, err = results.Tables(run, -1)
	if err == nil && len(tables) == 0 {
		err = fmt.Errorf("draw the tables of %s: it has none", dir)
	}
	return tables, run.Plan.Scenario, err
}

// terminal sets text in a dark window, one element a line. The colours hold a
// contrast of over 7:1.
func terminal(text string) ([]byte, error) {
	lines := strings.Split(text, "\n")
	widest := 0
	for _, line := range lines {
		widest = max(widest, utf8.RuneCountInString(line))
	}
	width, height := float64(widest)*charWidth+2*margin, len(lines)*lineHeight+2*margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" width="%.0f" height="%d" role="img" aria-label="Table of the phases as mslab run prints it">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="#16191d"/>`+"\n")
	fmt.Fprintf(&b, `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="%d" fill="#dfe3e8" xml:space="preserve">`+"\n", fontSize)
	for i, line := range lines {
		if line == "" {
			continue
		}
		fill := ""
		switch {
		case strings.HasPrefix(line, "$ "):
			fill = ` fill="#7ee0a1"`
		case strings.Contains(line, "faster"):
			fill = ` fill="#8ecbff"`
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs"%s>`, margin, margin+(i+1)*lineHeight-5, float64(utf8.RuneCountInString(line))*charWidth, fill)
		if err := xml.EscapeText(&b, []byte(line)); err != nil {
			return nil, fmt.Errorf("draw a line: %w", err)
		}
		b.WriteString("</text>\n")
	}
	b.WriteString("</g>\n</svg>\n")
	return b.Bytes(), nil
}
