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
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

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
	for _, name := range names {
		r, err := readTrial(filepath.Join(dir, trialsDir, name))
		if err != nil {
			return nil, err
		}
		if err := run.belongs(r); err != nil {
			return nil, fmt.Errorf("read run: %s: %w", filepath.Join(dir, trialsDir, name), err)
		}
		run.Trials = append(run.Trials, r)
	}
	return run, nil
}

// readRun reads run.json alone.
func readRun(dir string) (*Run, error) {
	path := filepath.Join(dir, runFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read run: %s has no %s; name a folder that `mslab run` wrote (`mslab results list` shows them): %w", dir, runFile, fs.ErrNotExist)
	}
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
	return run, nil
}

// checkRunSchema looks at the schema alone, so that a foreign or newer file is
// named as such and not by the first key that happens to be unknown.
func checkRunSchema(data []byte) error {
	var head struct {
		Schema string `json:"schema"`
	}
	switch err := json.Unmarshal(data, &head); {
	case len(bytes.TrimSpace(data)) == 0:
		return errors.New("the file is empty")
	case err != nil && strings.Contains(err.Error(), "unexpected end"):
		return errors.New("the file is truncated: it ends inside the run")
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

// check finds what would make a table lie: names used twice, pairs of nobody.
func (p *Plan) check() error {
	subjects := map[string]bool{}
	for _, s := range p.Subjects {
		if s.Name == "" || subjects[s.Name] {
			return fmt.Errorf("subject %q has no name or one that is taken", s.Name)
		}
		subjects[s.Name] = true
	}
	arms := map[string]bool{}
	for _, a := range p.Arms {
		if a.Name == "" || arms[a.Name] {
			return fmt.Errorf("arm %q has no name or one that is taken", a.Name)
		}
		arms[a.Name] = true
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
	if t.Block < 1 {
		return fmt.Errorf("block %d; blocks count from 1", t.Block)
	}
	return nil
}

// trialNames lists the trials in order; temporary files of a killed run are
// passed over.
func trialNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, trialsDir))
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func readTrial(path string) (*record.Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read trial: %w", err)
	}
	defer f.Close()
	r, err := record.Read(f)
	if err != nil {
		return nil, fmt.Errorf("read trial: %s: %w", path, err)
	}
	if err := r.Check(); err != nil && r.Verdict.Valid {
		r.Verdict.Valid = false
		r.Verdict.Reasons = append(r.Verdict.Reasons, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return r, nil
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
