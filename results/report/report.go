// Package report draws runs as one page that needs nothing else: an HTML file
// with its plots, tables and scripts inside, and each plot as an SVG file. It
// reads runs through package results and decides nothing: every figure on the
// page is one that a table of results has too.
package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"mslab/results"
	"mslab/results/record"
)

// Options are what a report knows beside the runs.
type Options struct {
	// Phases explain phases by their number: package results does not know the
	// server's words.
	Phases map[int]PhaseText
	// MinEffect is the smallest effect to call a difference, as a fraction; nil
	// takes each run's own.
	MinEffect *float64
}

// PhaseText is what a phase is, in words.
type PhaseText struct {
	About string // one sentence
}

func (o Options) minEffect() float64 {
	if o.MinEffect == nil {
		return -1
	}
	return *o.MinEffect
}

// Write draws the runs as one HTML page, a section a run. It draws all of it
// before it writes the first byte, so that an error leaves nothing behind.
func Write(w io.Writer, runs []*results.Run, o Options) error {
	var page bytes.Buffer
	if err := draw(&page, runs, o); err != nil {
		return fmt.Errorf("draw the report: %w", err)
	}
	if _, err := w.Write(page.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// WriteSVG writes each plot of the runs as a file of its own into the folder
// dir, which it creates, and returns their names in the order of the page. Every
// plot is drawn before the first is written; each file appears whole.
func WriteSVG(dir string, runs []*results.Run, o Options) ([]string, error) {
	type file struct {
		name string
		svg  []byte
	}
	var files []file
	taken := map[string]bool{}
	for i, run := range runs {
		s, err := newSection(run, i, o)
		if err != nil {
			return nil, fmt.Errorf("draw the plots of %s: %w", run.Dir, err)
		}
		for _, f := range s.figures() {
			name := fileName(run, f, len(runs) > 1)
			for n := 2; taken[name]; n++ {
				name = fmt.Sprintf("%s-%d.svg", strings.TrimSuffix(fileName(run, f, len(runs) > 1), ".svg"), n)
			}
			taken[name] = true
			files = append(files, file{name, f.standalone()})
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write the plots: %w", err)
	}
	var names []string
	for _, f := range files {
		if err := record.WriteFile(filepath.Join(dir, f.name), f.svg); err != nil {
			return names, fmt.Errorf("write the plots: %w", err)
		}
		names = append(names, f.name)
	}
	return names, nil
}

var notForFiles = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// fileName is the scenario, where there are several runs, and the plot's id
// without the run's number.
func fileName(run *results.Run, f *figure, several bool) string {
	_, name, _ := strings.Cut(f.id, "-")
	if several {
		name = run.Plan.Scenario + "-" + name
	}
	name = strings.Trim(notForFiles.ReplaceAllString(name, "-"), "-")
	if name == "" {
		name = "plot"
	}
	return name[:min(len(name), 100)] + ".svg"
}
