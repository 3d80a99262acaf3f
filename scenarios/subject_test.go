package scenarios

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"mslab/loadgen"
	"mslab/results"
)

func TestSplitCommand(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		err  string
	}{
		{"./a", []string{"./a"}, ""},
		{"  ./a  --port={port}\t-v ", []string{"./a", "--port={port}", "-v"}, ""},
		{`./a --admin "" --name 'two words'`, []string{"./a", "--admin", "", "--name", "two words"}, ""},
		{`"./my server" a\ b "c\"d\\e\f" 'f"g'h`, []string{"./my server", "a b", `c"d\e\f`, `f"gh`}, ""},
		{`sh -c 'exec ./a > /dev/null'`, []string{"sh", "-c", "exec ./a > /dev/null"}, ""},
		{"", nil, "want a program"},
		{`"" a`, nil, "want a program"},
		{`./a "b`, nil, "is not closed"},
		{`./a 'b`, nil, "is not closed"},
		{`./a \`, nil, "after the last"},
		{"./a | tee x", nil, "asks for a shell"},
		{"./a $PORT", nil, "asks for a shell"},
		{"./a &", nil, "asks for a shell"},
	} {
		got, err := SplitCommand(c.text)
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v; want %q, %q", c.text, got, err, c.want, c.err)
		}
	}
}

// FuzzSplitCommand holds that words which are quoted come back as they were,
// whatever they are, and that nothing else panics.
func FuzzSplitCommand(f *testing.F) {
	f.Add("./a --port {port}", "b c")
	f.Add("it's", `"\`)
	f.Fuzz(func(t *testing.T, first, second string) {
		_, _ = SplitCommand(first)
		if first == "" || strings.ContainsRune(first+second, 0) {
			return
		}
		quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
		double := func(s string) string {
			return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, "$", `\$`, "`", "\\`").Replace(s) + `"`
		}
		got, err := SplitCommand(quote(first) + " " + double(second))
		if err != nil || !slices.Equal(got, []string{first, second}) {
			t.Errorf("%q and %q came back as %q, %v", first, second, got, err)
		}
	})
}

func TestParseSubject(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // phase, command or URL
		err  string
	}{
		{"ours=7", "7", ""},
		{"ours=linear-json", "linear-json", ""},
		{"a=/bin/sh -c 'exec x'", "/bin/sh -c exec x", ""},
		{"live=http://127.0.0.1:8080/p", "http://127.0.0.1:8080/p", ""},
		{"./a", "", "want NAME=PHASE"},
		{"./a --port=1", "", "want NAME=PHASE"},
		{"=7", "", "want NAME=PHASE"},
		{"two words=7", "", "want NAME=PHASE"},
		{"a=", "", "nothing comes after the name"},
		{"a=99", "", "no program of that name"},
		{"a=nosuchphase", "", "no program of that name"},
		{"a=./nosuch --x", "", "the program ./nosuch cannot be run: stat ./nosuch: no such file"},
		{"a=/etc/passwd", "", "cannot be run: permission denied"},
		{"a=/", "", "cannot be run"},
		{"a=http://", "", "it names no host"},
		{"a=http://h:99999", "", "no port to connect to"},
		{"a=http://h/#x", "", "a fragment is never sent"},
		{"a=/bin/sh | x", "", "asks for a shell"},
	} {
		got, err := ParseSubject(c.text)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v; want %q", c.text, err, c.err)
			continue
		}
		if what := got.Phase + got.URL + strings.Join(got.Command, " "); err == nil && what != c.want {
			t.Errorf("%s: %q, want %q", c.text, what, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: not one line: %v", c.text, err)
		}
	}
}

func TestSubjectsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		spec SubjectSpec
		want string
	}{
		{SubjectSpec{}, "exactly one of"},
		{SubjectSpec{Name: "a", Phase: "1", URL: "http://h"}, "exactly one of"},
		{SubjectSpec{Command: []string{"x"}}, "needs a name"},
		{SubjectSpec{Name: "a b", Phase: "1"}, "want a name of"},
		{SubjectSpec{Phase: "99"}, "subject 99: "},
		{SubjectSpec{Phase: "1", Path: "/p"}, "a phase gets the POST /metrics"},
		{SubjectSpec{Phase: "1", Ready: "/p"}, "ready and port are for commands"},
		{SubjectSpec{Name: "a", URL: "http://h", Ready: "/p"}, "ready and port are for commands"},
		{SubjectSpec{Name: "a", URL: "http://h", Overrides: map[string]string{"parse": "linear"}}, "parse is a stage or flag of a phase"},
		{SubjectSpec{Name: "a", Command: []string{"x"}, Path: "p"}, "begins with /"},
		{SubjectSpec{Name: "a", Command: []string{"x"}, Path: "/p q"}, "without blanks"},
		{SubjectSpec{Name: "a", Command: []string{"x"}, Method: "G T"}, "no HTTP method"},
		{SubjectSpec{Name: "a", Command: []string{"x"}, Header: http.Header{"Content-Length": {"1"}}}, "set by the generator"},
		{SubjectSpec{Name: "a", Command: []string{"x", "{port}"}, Port: 80}, "needs no port of its own"},
		{SubjectSpec{Name: "a", Command: []string{"x"}, Port: 70000}, "1 to 65535"},
		{SubjectSpec{Name: "a", Command: []string{"x"}, Ready: "ftp://h"}, "want a ready URL"},
	} {
		if err := c.spec.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q", c.spec, err, c.want)
		}
	}
}

// TestPlanOfForeignSubjects mixes all kinds under a scenario that has settings
// for phases.
func TestPlanOfForeignSubjects(t *testing.T) {
	subjects := []SubjectSpec{
		{Name: "ours", Phase: "7", Overrides: map[string]string{"parse": "quadratic"}},
		{Name: "cmd", Command: []string{"./a", "{port}"}, Path: "/p", Body: []byte("x")},
		{Name: "live", URL: "http://127.0.0.1:8080"},
		{Phase: "7"},
	}
	p, err := newPlan(Default(), Options{Subjects: subjects}, splitCores([]int{0, 1}))
	if err != nil {
		t.Fatal(err)
	}
	pairs := p.Record.Arms[0].Pairs
	if want := []results.PairPlan{{A: "ours", B: "cmd"}, {A: "cmd", B: "live"}, {A: "live", B: "keepalive"}}; !slices.Equal(pairs, want) {
		t.Errorf("pairs %v", pairs)
	}
	players := p.arms[0].subjects
	if players[0].subject.Recipe["parse"] != "quadratic" || players[0].flags["parse"] != "quadratic" || players[0].flags["listen"] != "backlog1024" {
		t.Errorf("ours: %+v", players[0])
	}
	if players[3].subject.Recipe["parse"] == "quadratic" || players[1].flags != nil || players[1].subject.Request != "POST /p with a body of 1 byte" {
		t.Errorf("%+v %+v", players[3], players[1])
	}
	if got := p.RunsAlready(); !slices.Equal(got, []string{"live"}) {
		t.Errorf("running: %v", got)
	}
	if offer := players[1].spec.request(loadgen.Plan{Metrics: 3}, "http://127.0.0.1:9"); offer.URL != "http://127.0.0.1:9/p" || offer.Metrics != 0 || string(offer.Body) != "x" {
		t.Errorf("offer %+v", offer)
	}
	var b strings.Builder
	if err := p.Describe(&b); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"7 ours", "cmd (./a {port}; POST /p with a body of 1 byte)", "live (http://127.0.0.1:8080, runs already; GET /)", "they do not reach cmd, live"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan does not say %q:\n%s", want, text)
		}
	}
	if _, err := newPlan(Default(), Options{Subjects: []SubjectSpec{{Name: "a", Phase: "1"}, {Name: "a", Phase: "2"}}}, cores{}); err == nil || !strings.Contains(err.Error(), "there twice") {
		t.Errorf("a name given twice: %v", err)
	}
	shows := Default()
	shows.Shows = true
	if _, err := newPlan(shows, Options{Subjects: subjects}, splitCores([]int{0, 1})); err == nil || !strings.Contains(err.Error(), "is no phase") {
		t.Errorf("pairs by phase: %v", err)
	}
}
