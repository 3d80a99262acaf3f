// Command picture draws the README's picture: the tables that `mslab run` prints
// of the committed reference run, as they stand in a terminal.
//
//	go run ./docs/picture results/reference/phases docs/img/phases.svg
package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"mslab/results"
)

const (
	command    = "$ mslab run phases"
	tables     = 1 // of the run's; the first is the ranked one
	fontSize   = 14
	charWidth  = 8.43 // of the font, at its size
	lineHeight = 19
	margin     = 16
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: picture RUN FILE.svg")
		os.Exit(2)
	}
	if err := draw(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func draw(dir, file string) error {
	run, err := results.OpenRun(dir)
	if err != nil {
		return err
	}
	drawn, err := results.Tables(run, -1)
	if err != nil {
		return err
	}
	if len(drawn) < tables {
		return errors.New("the run has no table")
	}
	var text bytes.Buffer
	if err := results.RenderText(&text, drawn[:tables]); err != nil {
		return err
	}
	svg, err := terminal(command + "\n" + strings.TrimRight(text.String(), "\n"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, svg, 0o644); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
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
