package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"mslab/results"
)

// A table mark names a run, relative to the document, and the start of a
// table's title. What stands between it and the end mark is written anew.
var tableMark = regexp.MustCompile(`^<!-- table (\S+) (.+) -->$`)

const endMark = "<!-- end of table -->"

// writeTables writes the tables of a document anew.
func writeTables(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	written, err := fillTables(string(text), func(run, title string) (string, error) {
		return markdown(filepath.Join(filepath.Dir(file), run), title)
	})
	if err != nil {
		return fmt.Errorf("fill in %s: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(written), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// fillTables replaces what stands between the marks of a document.
func fillTables(text string, table func(run, title string) (string, error)) (string, error) {
	var out strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch mark := tableMark.FindStringSubmatch(trimmed); {
		case mark != nil && inside:
			return "", fmt.Errorf("%s: the table before it has no end mark", trimmed)
		case mark != nil:
			drawn, err := table(mark[1], mark[2])
			if err != nil {
				return "", err
			}
			inside = true
			out.WriteString(line + "\n" + drawn + "\n")
		case trimmed == endMark:
			inside = false
			out.WriteString(line)
		case !inside:
			out.WriteString(line)
		}
	}
	if inside {
		return "", errors.New("the last table has no end mark")
	}
	return out.String(), nil
}

// markdown renders the table of a run whose title starts as given, without its
// notes: the document has words of its own.
func markdown(dir, title string) (string, error) {
	tables, _, err := tablesOf(dir)
	if err != nil {
		return "", err
	}
	for _, t := range tables {
		if !strings.HasPrefix(t.Title, title) {
			continue
		}
		t.Notes = nil
		var b bytes.Buffer
		if err := results.RenderMarkdown(&b, []results.Table{t}); err != nil {
			return "", err
		}
		return strings.TrimSpace(b.String()) + "\n", nil
	}
	return "", fmt.Errorf("find a table %q in %s: there is none", title, dir)
}
