package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mslab/results/record"
)

const (
	runFile   = "run.json"
	tableFile = "table.md"
	trialsDir = "trials"
)

// RunDirName is the name of a run's folder: the scenario and the UTC time at
// which the run started.
func RunDirName(scenario string, started time.Time) string {
	return fileWord(scenario) + "-" + started.UTC().Format("20060102T150405Z")
}

// Store writes a run folder. Every file appears whole or not at all, so that a
// run killed at any moment leaves a folder that can be read. It is not safe for
// concurrent use.
type Store struct {
	dir string
}

// CreateStore makes the folder of a new run and those above it. A folder that
// already holds a run is an error that errors.Is calls fs.ErrExist.
func CreateStore(dir string) (*Store, error) {
	if _, err := os.Lstat(filepath.Join(dir, runFile)); err == nil {
		return nil, fmt.Errorf("create run folder %s: it holds a run already; choose another folder: %w", dir, fs.ErrExist)
	}
	if err := os.MkdirAll(filepath.Join(dir, trialsDir), 0o755); err != nil {
		return nil, fmt.Errorf("create run folder: %w", err)
	}
	return &Store{dir: dir}, nil
}

// ReopenStore opens the folder of a run for adding trials to it.
func ReopenStore(dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, runFile)); err != nil {
		return nil, fmt.Errorf("reopen run folder: %w", err)
	}
	return &Store{dir: dir}, nil
}

// Discard removes the folder of a run of which nothing could be stored. What
// else is in it stays, and so does the folder then.
func (s *Store) Discard() error {
	for _, dir := range []string{filepath.Join(s.dir, trialsDir), s.dir} {
		if err := os.Remove(dir); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("remove the empty run folder: %w", err)
		}
	}
	return nil
}

// Dir is the folder.
func (s *Store) Dir() string { return s.dir }

// WriteTrial stores the record of one subject in one block under one load. The
// same cell written again replaces the one before.
func (s *Store) WriteTrial(r *record.Record) error {
	if err := r.Write(filepath.Join(s.dir, trialsDir, trialName(r))); err != nil {
		return fmt.Errorf("store trial of %s in block %d: %w", r.Subject.Name, r.Block, err)
	}
	return nil
}

// WriteRun stores run.json. Written before the first trial, it makes an
// interrupted run readable.
func (s *Store) WriteRun(run *Run) error {
	stamped := *run
	stamped.Schema = RunSchema
	data, err := json.MarshalIndent(&stamped, "", "  ")
	if err != nil {
		return fmt.Errorf("store run: %w", err)
	}
	return record.WriteFile(filepath.Join(s.dir, runFile), append(data, '\n'))
}

// WriteTable stores the tables in Markdown as table.md.
func (s *Store) WriteTable(tables []Table) error {
	var b strings.Builder
	if err := RenderMarkdown(&b, tables); err != nil {
		return fmt.Errorf("store table: %w", err)
	}
	return record.WriteFile(filepath.Join(s.dir, tableFile), []byte(b.String()))
}

// trialName names a trial after its cell; a hash of the whole cell keeps names
// apart that differ only in what a file name cannot hold.
func trialName(r *record.Record) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s\x00%s\x00%v", r.Arm, r.Subject.Name, keyOf(r.Load))
	return fmt.Sprintf("%s-b%03d-%s-c%d-%08x.json", fileWord(r.Arm), r.Block, fileWord(r.Subject.Name), r.Load.Clients, h.Sum32())
}

// fileWord keeps letters, digits, dot, dash and underscore, at most 40 of them,
// and never begins with a dot.
func fileWord(s string) string {
	word := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '_'
	}, s)
	word = strings.TrimLeft(word[:min(len(word), 40)], ".")
	if word == "" {
		return "run"
	}
	return word
}
