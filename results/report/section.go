package report

import (
	"fmt"
	"strings"

	"mslab/results"
	"mslab/results/record"
)

// section is what the page says of one run.
type section struct {
	run    *results.Run
	id     string // "run1"
	o      Options
	scenes []scenePart
	// overview is nil but for runs with several ranked arms.
	overview *figure
	claims   *results.Table
	foretold *results.Table
	faults   *results.Table
	asserted *results.Table
}

// scenePart is one arm under one load with its plots.
type scenePart struct {
	results.Scene
	id      string
	figures []*figure
	absent  []string // plots that are left out, and why
}

func newSection(run *results.Run, index int, o Options) (*section, error) {
	s := &section{run: run, id: fmt.Sprintf("run%d", index+1), o: o}
	scenes, err := results.Scenes(run, o.minEffect())
	if err != nil {
		return nil, err
	}
	if err := s.addOverview(scenes); err != nil {
		return nil, err
	}
	for i, scene := range scenes {
		part := scenePart{Scene: scene, id: fmt.Sprintf("%s-%s", s.id, sceneID(scene, i))}
		if err := s.draw(&part); err != nil {
			return nil, fmt.Errorf("arm %s: %w", scene.Arm.Name, err)
		}
		s.scenes = append(s.scenes, part)
	}
	return s, s.addTables(scenes)
}

// sceneID is what the names of the scene's plots begin with: the arm's, the
// load's number where there are several.
func sceneID(scene results.Scene, _ int) string {
	id := strings.Trim(notForFiles.ReplaceAllString(scene.Arm.Name, "-"), "-")
	if id == "" {
		id = "arm"
	}
	if len(scene.Arm.Loads) > 1 {
		id += fmt.Sprintf("-load%d", scene.LoadIndex+1)
	}
	return id
}

func (s *section) draw(p *scenePart) error {
	if !played(p.Scene) {
		p.absent = append(p.absent, "Nothing of this arm was played.")
		return nil
	}
	p.add(s.levels(p.Scene), "")
	latency, err := s.latency(p.Scene)
	if err != nil {
		return err
	}
	p.add(latency, "No latencies: no request was answered as it should.")
	if p.Arm.Ranked {
		p.add(s.overRun(p.Scene), "No course over the run: no slices were kept.")
	} else {
		p.add(s.bySecond(p.Scene), "No course by second: the stretches are shorter than 3 s.")
	}
	p.add(s.kernel(p.Scene), "What the kernel saw is left out: the process of no subject could be read.")
	if p.Arm.Ranked {
		p.add(s.syscalls(p.Scene), "")
	}
	for _, f := range p.figures {
		f.id = p.id + "-" + f.id
	}
	return nil
}

func (p *scenePart) add(f *figure, absent string) {
	switch {
	case f != nil:
		p.figures = append(p.figures, f)
	case absent != "":
		p.absent = append(p.absent, absent)
	}
}

func played(scene results.Scene) bool {
	for _, standing := range scene.Standings {
		if len(standing.Trials) > 0 {
			return true
		}
	}
	return false
}

func (s *section) addTables(scenes []results.Scene) error {
	if t, ok, err := results.ClaimsTable(s.run, scenes); err != nil {
		return err
	} else if ok {
		s.claims = &t
	}
	if t, ok, err := results.PredictionsTable(s.run); err != nil {
		return err
	} else if ok {
		s.foretold = &t
	}
	if t, ok := results.FaultsTable(s.run); ok {
		s.faults = &t
	}
	if t, ok := results.AssertionTable(s.run); ok {
		s.asserted = &t
	}
	return nil
}

// figures are all plots of the run in the order of the page.
func (s *section) figures() []*figure {
	var all []*figure
	if s.overview != nil {
		all = append(all, s.overview)
	}
	for _, p := range s.scenes {
		all = append(all, p.figures...)
	}
	return all
}

// colour is the place of a subject in the plan, which keeps its colour the same
// in every plot of a run.
func (s *section) colour(subject string) int {
	for i, planned := range s.run.Plan.Subjects {
		if planned.Name == subject {
			return i
		}
	}
	return 0
}

func (s *section) rows(scene results.Scene) []rowName {
	rows := make([]rowName, len(scene.Standings))
	for i, standing := range scene.Standings {
		rows[i] = rowName{standing.Subject.Title(), s.colour(standing.Subject.Name)}
	}
	return rows
}

func title(run *results.Run, name string) string {
	if subject, ok := run.Plan.Subject(name); ok {
		return subject.Title()
	}
	return name
}

// server is what the kernel says of a standing's server, nil where it could not
// be read.
func server(r *record.Record) *record.Server {
	if r == nil {
		return nil
	}
	return r.Server
}
