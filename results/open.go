package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"mslab/results/record"
)

const runSchemaPrefix = "mslab.run/v"

// OpenRun reads a run folder. It is strict: a file that is missing, truncated,
// foreign or written by a newer version is an error that names the file and
// says what to do. A trial whose accounting does not add up is read and marked
// not valid.
func OpenRun(dir string) (*Run, error) {
	run, err := readRun(dir)
	if err != nil {
		return nil, err
	}
	names, err := trialNames(dir)
	if err != nil {
		return nil, err
	}
	if run.Trials, err = run.readTrials(names); err != nil {
		return nil, err
	}
	return run, nil
}

// readTrials reads the trials on all cores, since most of the time goes into
// their histograms; the result, and which error is told, do not depend on who
// was faster.
func (r *Run) readTrials(names []string) ([]*record.Record, error) {
	trials, failed := make([]*record.Record, len(names)), make([]error, len(names))
	var next atomic.Int64
	var stop atomic.Bool
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		workers.Go(func() {
			for !stop.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(names) {
					return
				}
				if trials[i], failed[i] = r.readTrial(filepath.Join(r.Dir, trialsDir, names[i])); failed[i] != nil {
					stop.Store(true) // those before it are being read, and are waited for
				}
			}
		})
	}
	workers.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, fmt.Errorf("read run: %w; without that file, moved elsewhere, the rest of the run can be read", err)
		}
	}
	return trials, nil
}

func (r *Run) readTrial(path string) (*record.Record, error) {
	trial, err := record.Open(path)
	if err != nil {
		return nil, err
	}
	if err := r.belongs(trial); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := trial.Check(); err != nil && trial.Verdict.Valid {
		trial.Verdict.Valid = false
		trial.Verdict.Reasons = append(trial.Verdict.Reasons, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return trial, nil
}

// maxRunBytes is the largest run.json that is read. A block's order takes about
// 250 bytes, so that the 10,000 blocks that a scenario may ask for fit.
const maxRunBytes = 16 << 20

// readRun reads run.json alone.
func readRun(dir string) (*Run, error) {
	path := filepath.Join(dir, runFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read run: %s has no %s; name a folder that `mslab run` wrote (`mslab results list` shows them): %w", dir, runFile, fs.ErrNotExist)
	}
	data, err := record.ReadFile(path, maxRunBytes)
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	if err := checkRunSchema(data); err != nil {
		return nil, fmt.Errorf("read run: %s: %w", path, err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	run := &Run{Dir: dir}
	if err := dec.Decode(run); err != nil {
		return nil, fmt.Errorf("read run: %s: %w", path, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read run: %s: more data follows the run", path)
	}
	if err := run.Plan.check(); err != nil {
		return nil, fmt.Errorf("read run: %s: %w", path, err)
	}
	for _, p := range run.Predictions {
		if err := p.Check(&run.Plan); err != nil {
			return nil, fmt.Errorf("read run: %s: %w", path, err)
		}
	}
	for i := range run.Traced {
		if err := run.Traced[i].Check(&run.Plan); err != nil {
			return nil, fmt.Errorf("read run: %s: %w", path, err)
		}
	}
	if err := run.checkAsserted(); err != nil {
		return nil, fmt.Errorf("read run: %s: %w", path, err)
	}
	return run, nil
}

// checkRunSchema looks at the schema alone, so that a foreign or newer file is
// named as such and not by the first key that happens to be unknown.
func checkRunSchema(data []byte) error {
	var head struct {
		Schema string `json:"schema"`
	}
	// A decoder tells a torn file from a wrong one inside of a literal too.
	switch err := json.NewDecoder(bytes.NewReader(data)).Decode(&head); {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty; what wrote it was stopped, so run it again")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the file is truncated: it ends inside the run; copy it again whole, or run it again")
	case err != nil:
		return fmt.Errorf("not a run: %w", err)
	}
	version, ours := strings.CutPrefix(head.Schema, runSchemaPrefix)
	if !ours {
		return fmt.Errorf("not a run: its schema is %q, want %q", head.Schema, RunSchema)
	}
	n, err := strconv.Atoi(version)
	known, _ := strconv.Atoi(strings.TrimPrefix(RunSchema, runSchemaPrefix))
	switch {
	case err != nil || n < 1:
		return fmt.Errorf("unknown schema %q, want %q", head.Schema, RunSchema)
	case n > known:
		return fmt.Errorf("schema %q is newer than this version reads (%q); use a newer mslab", head.Schema, RunSchema)
	}
	return nil
}

// A plan beyond these bounds would keep a comparison busy for hours: many times
// what a scenario may ask for.
const (
	maxBlocks = 100_000
	maxCells  = 10_000_000
)

// check finds what would make a table lie or never end: names used twice, pairs
// of nobody, blocks without number.
func (p *Plan) check() error {
	names := []string{p.Scenario}
	for _, s := range p.Subjects {
		names = append(names, s.Name)
	}
	for _, a := range p.Arms {
		names = append(names, a.Name)
	}
	for _, name := range names {
		if strings.ContainsFunc(name, unicode.IsControl) {
			return fmt.Errorf("the name %q holds control characters, which a terminal would obey", name)
		}
	}
	subjects := map[string]bool{}
	for _, s := range p.Subjects {
		if s.Name == "" || subjects[s.Name] {
			return fmt.Errorf("subject %q has no name or one that is taken", s.Name)
		}
		subjects[s.Name] = true
	}
	arms, cells := map[string]bool{}, 0
	for _, a := range p.Arms {
		if a.Name == "" || arms[a.Name] {
			return fmt.Errorf("arm %q has no name or one that is taken", a.Name)
		}
		arms[a.Name] = true
		if a.Blocks < 0 || a.Slices < 0 || a.SliceS < 0 || a.Blocks > maxBlocks {
			return fmt.Errorf("arm %q has %d blocks of %d slices of %v s; want 0 to %d blocks", a.Name, a.Blocks, a.Slices, a.SliceS, maxBlocks)
		}
		if cells += max(1, a.Blocks) * max(1, len(a.Loads)) * max(1, len(a.Pairs)); cells > maxCells {
			return fmt.Errorf("the arms up to %q ask for more than %d comparisons of blocks", a.Name, maxCells)
		}
		for _, pair := range a.Pairs {
			if !subjects[pair.A] || !subjects[pair.B] || pair.A == pair.B {
				return fmt.Errorf("arm %q compares %q with %q, which are not two subjects of the run", a.Name, pair.B, pair.A)
			}
		}
		for _, name := range a.Subjects {
			if !subjects[name] {
				return fmt.Errorf("arm %q plays %q, which is no subject of the run", a.Name, name)
			}
		}
	}
	return nil
}

func (r *Run) belongs(t *record.Record) error {
	if _, ok := r.Plan.Arm(t.Arm); !ok {
		return fmt.Errorf("the run has no arm %q", t.Arm)
	}
	if _, ok := r.Plan.Subject(t.Subject.Name); !ok {
		return fmt.Errorf("the run has no subject %q", t.Subject.Name)
	}
	if t.Block < 1 || t.Block > maxBlocks {
		return fmt.Errorf("block %d; blocks count from 1 to %d", t.Block, maxBlocks)
	}
	return nil
}

// trialNames lists the trials in order; temporary files of a killed run are
// passed over. What is named like a trial and is no file is listed too, so that
// it is told of and not left out.
func trialNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, trialsDir))
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Summary is one line of a list of runs.
type Summary struct {
	Dir        string    `json:"dir"`
	Scenario   string    `json:"scenario,omitempty"`
	Started    time.Time `json:"started,omitzero"`
	Subjects   int       `json:"subjects"`
	Blocks     int       `json:"blocks"` // of the arm with the most
	Trials     int       `json:"trials"`
	Incomplete bool      `json:"incomplete,omitempty"`
	Error      string    `json:"error,omitempty"` // why the folder cannot be read

	phases []int // of the subjects
}

// Plays says whether the run was planned with every one of the phases.
func (s Summary) Plays(phases ...int) bool {
	for _, phase := range phases {
		if !slices.Contains(s.phases, phase) {
			return false
		}
	}
	return true
}

// ListRuns describes the run folders under root, the newest first; a folder
// that cannot be read is listed with its error. Trials are counted, not read. A
// root that does not exist holds no runs.
func ListRuns(root string) ([]Summary, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	var out []Summary
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, summarize(filepath.Join(root, e.Name())))
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Started.After(out[j].Started) })
	return out, nil
}

func summarize(dir string) Summary {
	run, err := readRun(dir)
	if err != nil {
		return Summary{Dir: dir, Error: err.Error()}
	}
	s := Summary{Dir: dir, Scenario: run.Plan.Scenario, Started: run.Started,
		Subjects: len(run.Plan.Subjects), Incomplete: run.Incomplete}
	for _, a := range run.Plan.Arms {
		s.Blocks = max(s.Blocks, a.Blocks)
	}
	for _, subject := range run.Plan.Subjects {
		if subject.Phase != nil {
			s.phases = append(s.phases, *subject.Phase)
		}
	}
	names, err := trialNames(dir)
	if err != nil {
		s.Error = err.Error()
	}
	s.Trials = len(names)
	return s
}
