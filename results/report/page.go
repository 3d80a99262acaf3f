package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"

	"mslab/results"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed svg.css
	svgStyle string
	//go:embed page.js
	pageJS string
	//go:embed vendor/uplot/uPlot.iife.min.js
	uplotJS string
	//go:embed vendor/uplot/uPlot.min.css
	uplotCSS string
	//go:embed vendor/uplot/LICENSE
	uplotLicence string
)

// page is what the template draws.
type page struct {
	Head     template.HTML
	Title    string
	Sections []pageSection
	Several  bool
	Data     template.JS
	Script   template.JS
}

type pageSection struct {
	ID, Title, About string
	Incomplete       bool
	Head             []fact
	Verdict          []string
	Overview         *pageFigure
	Scenes           []pageScene
	Changes          []change
	Claims           *pageTable
	Foretold         *pageTable
	Faults           *pageTable
	Asserted         *pageTable
	Environment      []fact
	Notes            []string
	Trials           *pageTable
	Folder           string
}

type pageScene struct {
	ID, Title, About, Overrides string
	Ranked                      bool
	Figures                     []pageFigure
	Absent                      []string
}

type pageFigure struct {
	ID, Title, How string
	Dots           bool
	Wide, Narrow   template.HTML // SVG; Narrow is empty where Wide scrolls
	Rows           int           // of the panels
	Legend         []pageEntry
	Notes          []string
	Table          pageTable
}

type pageEntry struct {
	Name   string
	Sample template.HTML
}

type pageTable struct {
	Title   string
	Columns []results.Column
	Rows    [][]pageCell
	Notes   []string
}

type pageCell struct {
	Text                string
	Left, Struck, Heads bool
}

// draw writes the page of the runs.
func draw(w *bytes.Buffer, runs []*results.Run, o Options) error {
	p := page{Several: len(runs) > 1}
	var data []liveFigure
	for i, run := range runs {
		s, err := newSection(run, i, o)
		if err != nil {
			return fmt.Errorf("run %s: %w", run.Dir, err)
		}
		p.Sections = append(p.Sections, s.page())
		data = append(data, s.live()...)
	}
	p.Title = "Report"
	if len(runs) == 1 {
		p.Title = runs[0].Plan.Scenario
	}
	encoded, err := json.Marshal(data) // which escapes <, > and &
	if err != nil {
		return fmt.Errorf("encode the plots: %w", err)
	}
	p.Data = template.JS(encoded)
	script := "/*\nuPlot 1.6.32\n" + uplotLicence + "*/\n" + uplotJS + "\n" + pageJS
	p.Script, p.Head = template.JS(script), pageHead(p.Title, script)
	parsed, err := template.New("page").Funcs(template.FuncMap{"tie": tie}).Parse(pageHTML)
	if err != nil {
		return err
	}
	return parsed.Execute(w, p)
}

// pageHead lets the page run its own script and style and nothing else: whatever
// got into it by a name could neither run nor load anything.
func pageHead(title, script string) template.HTML {
	style := uplotCSS + svgVariables() + pageCSS
	policy := fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; base-uri 'none'; form-action 'none'",
		sourceHash(script), sourceHash(style))
	return template.HTML(fmt.Sprintf(`<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>%s - mslab report</title>
<style>%s</style>`, policy, html.EscapeString(title), style))
}

func sourceHash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// svgVariables is the style of the drawings with the page's colours, which follow
// the theme, in place of those that a file has.
func svgVariables() string {
	_, rules, _ := strings.Cut(svgStyle, "/* rules */")
	return rules
}

func (s *section) page() pageSection {
	run := s.run
	p := pageSection{
		ID: s.id, Title: run.Plan.Scenario, About: run.Plan.About, Incomplete: run.Incomplete, Head: s.head(), Verdict: s.verdict(),
		Changes: s.changes(), Claims: drawTable(s.claims), Foretold: drawTable(s.foretold), Faults: drawTable(s.faults), Asserted: drawTable(s.asserted),
		Environment: environment(run.Environment), Notes: results.RunNotes(run), Folder: run.Dir,
	}
	if s.overview != nil {
		f := s.overview.page()
		p.Overview = &f
	}
	for _, scene := range s.scenes {
		one := pageScene{ID: scene.id, Title: scene.Arm.Name, About: scene.Arm.About, Ranked: scene.Arm.Ranked, Absent: scene.absent}
		if scene.LoadTitle != "" {
			one.Title += ": " + scene.LoadTitle
		}
		one.Overrides = overrides(scene.Arm.Overrides)
		for _, f := range scene.figures {
			one.Figures = append(one.Figures, f.page())
		}
		p.Scenes = append(p.Scenes, one)
	}
	trials := s.allTrials()
	p.Trials = drawTable(&trials)
	return p
}

func (f *figure) page() pageFigure {
	p := pageFigure{ID: f.id, Title: f.title, How: f.how, Notes: f.notes, Table: *drawTable(&f.table), Dots: f.dots != nil}
	if f.dots != nil {
		p.Rows = len(f.dots.rows)
		class := "wide"
		if f.dots.matrix {
			class = "matrix"
		} else {
			p.Narrow = template.HTML(f.drawDots(narrowDots).document(f, "narrow", false))
		}
		p.Wide = template.HTML(f.drawDots(wideDots).document(f, class, false))
		return p
	}
	p.Wide = template.HTML(f.drawLines().document(f, "static", false))
	for _, e := range f.legend() {
		sample := &svg{width: 28, height: 12}
		sample.sample(e, 2, 6)
		p.Legend = append(p.Legend, pageEntry{e.name, template.HTML(`<svg viewBox="0 0 28 12" width="28" height="12" aria-hidden="true">` + sample.String() + "</svg>")})
	}
	return p
}

func drawTable(t *results.Table) *pageTable {
	if t == nil {
		return nil
	}
	p := &pageTable{Title: t.Title, Notes: t.Notes}
	for _, c := range t.Columns {
		if !c.Picture {
			p.Columns = append(p.Columns, c)
		}
	}
	for _, row := range t.Rows {
		var cells []pageCell
		for i, cell := range row {
			if t.Columns[i].Picture {
				continue
			}
			text := cell.Text
			if finite(cell.Value) || strings.HasPrefix(text, "[") {
				text = minus(text)
			}
			cells = append(cells, pageCell{text, t.Columns[i].Left, cell.Struck, i == 0})
		}
		p.Rows = append(p.Rows, cells)
	}
	return p
}

// liveFigure is what the page's script draws.
type liveFigure struct {
	ID    string     `json:"id"`
	Plots []livePlot `json:"plots"`
}

type livePlot struct {
	Title  string       `json:"title"`
	X      liveAxis     `json:"x"`
	Y      liveAxis     `json:"y"`
	Series []liveSeries `json:"series"`
	Bands  []liveBand   `json:"bands,omitempty"`
	Points bool         `json:"points,omitempty"`
	Joined bool         `json:"joined,omitempty"`
	Tall   bool         `json:"tall,omitempty"`
}

type liveAxis struct {
	Title string    `json:"title"`
	Log   bool      `json:"log,omitempty"`
	Unit  unit      `json:"unit"`
	Low   float64   `json:"low"`
	High  float64   `json:"high"`
	Ticks []float64 `json:"ticks"`
}

type liveSeries struct {
	Name   string           `json:"name"`
	Legend int              `json:"legend"` // its line there; -1 for none
	Colour int              `json:"colour"` // -1 for none
	Struck bool             `json:"struck,omitempty"`
	X      []float64        `json:"x"`
	Y      []results.Number `json:"y"`
	Labels []string         `json:"labels,omitempty"`
}

type liveBand struct {
	Name string  `json:"name"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

// live are the plots of lines; the others are drawn already.
func (s *section) live() []liveFigure {
	var out []liveFigure
	for _, f := range s.figures() {
		if f.lines == nil {
			continue
		}
		legend := map[string]int{}
		for i, e := range f.legend() {
			legend[e.name] = i
		}
		one := liveFigure{ID: f.id}
		for _, l := range f.lines {
			one.Plots = append(one.Plots, l.live(legend))
		}
		out = append(out, one)
	}
	return out
}

func (l *lines) live(legend map[string]int) livePlot {
	x, y, xTicks, yTicks := l.layout()
	p := livePlot{Title: l.title, Points: l.points, Joined: l.joined, Tall: l.tall,
		X: liveAxis{l.x.title, l.x.scale != linear, l.x.unit, round(x.low, 6), round(x.high, 6), xTicks},
		Y: liveAxis{l.y.title, l.y.scale != linear, l.y.unit, round(y.low, 6), round(y.high, 6), yTicks}}
	for _, s := range l.series {
		one := liveSeries{Name: s.name, Legend: -1, Colour: s.colour, Struck: s.struck, X: s.x, Labels: s.labels}
		if s.subject != "" {
			one.Legend = legend[s.subject]
		}
		for _, v := range s.y {
			one.Y = append(one.Y, results.Number(v))
		}
		p.Series = append(p.Series, one)
	}
	for _, b := range l.bands {
		p.Bands = append(p.Bands, liveBand{b.name, b.from, b.to})
	}
	return p
}

// mostTrials bounds the table of all trials.
const mostTrials = 1000

// allTrials lists every trial with what may be used of it and why not.
func (s *section) allTrials() results.Table {
	t := results.Table{Title: "All trials", Columns: []results.Column{
		subjectColumn(s.run), {Key: "arm", Title: "arm", Left: true}, {Key: "clients", Title: "clients"}, {Key: "block", Title: "block"},
		{Key: "server_cpu_ns_per_request", Title: "CPU/req", Unit: "ns"}, {Key: "rps_ok", Title: "ok/s", Unit: "1/s"},
		{Key: "latency_p50", Title: "p50", Unit: "ns"}, {Key: "latency_p99", Title: "p99", Unit: "ns"},
		{Key: "success_semantic", Title: "stored %", Unit: "fraction"}, {Key: "verdict", Title: "verdict", Left: true},
	}}
	total := 0
	for _, scene := range s.scenes {
		for _, standing := range scene.Standings {
			for _, trial := range standing.Trials {
				if total++; total <= mostTrials {
					t.Rows = append(t.Rows, trialRow(standing, trial))
				}
			}
		}
	}
	if total > mostTrials {
		t.Notes = append(t.Notes, fmt.Sprintf("The first %d of %d trials; the run's folder has all.", mostTrials, total))
	}
	return t
}

func trialRow(standing results.Standing, t results.Trial) []results.Cell {
	times := func(ns int64) float64 {
		if t.Latency.Count == 0 {
			return math.NaN()
		}
		return float64(ns)
	}
	row := []results.Cell{results.TextCell(standing.Subject.Title()), results.TextCell(t.Arm),
		results.FigureCell(float64(t.Load.Clients), results.FormatCount), results.FigureCell(float64(t.Block), results.FormatCount),
		results.FigureCell(t.CPU, results.FormatNS), results.FigureCell(t.RPS.OK, results.FormatCount),
		results.FigureCell(times(t.Latency.P50), results.FormatNS), results.FigureCell(times(t.Latency.P99), results.FormatNS),
		results.FigureCell(t.Success.Semantic, results.FormatShare), results.TextCell(verdictOf(t))}
	for i := 4; i <= 8; i++ {
		timed := i != 4 && i != 8
		row[i].Struck = row[i].Text != "-" && (t.Struck != "" || timed && t.Untimed != "")
	}
	return row
}

// verdictOf says whether a trial counts, and the first reason why not.
func verdictOf(t results.Trial) string {
	said := t.Struck
	if said == "" {
		said = t.Untimed
	}
	if said == "" {
		said = "valid"
	} else if first, rest, more := strings.Cut(said, "; "); more {
		said = fmt.Sprintf("%s (and %d more)", first, 1+strings.Count(rest, "; "))
	}
	if b := t.Verdict.Bottleneck; b != "" && !strings.Contains(said, "bottleneck") {
		said += "; bottleneck: " + b
		if t.Verdict.Evidence != "" {
			said += " (" + t.Verdict.Evidence + ")"
		}
	}
	return said
}
