// Command report reads the events of `go test -json` and prints what a reader
// needs: the output of what failed, each skipped test with its reason, a line a
// package, the tests that took longest, and a closing count. It fails when a test or a build failed, when no
// test ran, and, given -allowed-skips, when a test skipped that the list does
// not name.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	os.Exit(run(os.Stdin, os.Stdout, os.Stderr, os.Args[1:]))
}

func run(stdin io.Reader, stdout, stderr io.Writer, args []string) int {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	allowedFile := flags.String("allowed-skips", "", "`file` of tests that may skip; any other skip fails")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	var allowed []*regexp.Regexp
	if *allowedFile != "" {
		var err error
		if allowed, err = readAllowed(*allowedFile); err != nil {
			fmt.Fprintln(stderr, err)
			return 2
		}
	}
	r := newReport(stdout)
	if err := r.read(stdin); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if err := r.close(*allowedFile != "", allowed); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// readAllowed reads one regular expression a line; what follows it is the
// reason, and lines that start with # are comments.
func readAllowed(name string) ([]*regexp.Regexp, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the skips that are allowed: %w", err)
	}
	var allowed []*regexp.Regexp
	for i, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) == 1 {
			return nil, fmt.Errorf("%s:%d: %s has no reason", name, i+1, fields[0])
		}
		expression, err := regexp.Compile("^(?:" + fields[0] + ")$")
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		allowed = append(allowed, expression)
	}
	return allowed, nil
}

// event is a line of `go test -json`, as `go doc test2json` describes it.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build event
	Test       string
	Elapsed    float64
	Output     string
}

// key names a test, or with an empty test its package.
type key struct{ pkg, test string }

func (k key) String() string {
	if k.test == "" {
		return k.pkg
	}
	return k.pkg + "." + k.test
}

type skip struct {
	test   key
	reason string
}

type report struct {
	out            io.Writer
	output         map[key]*strings.Builder
	passed, failed int
	skips          []skip
	times          []took
	broken         bool // a package or a build failed
}

// took is how long a test ran, in seconds; a parallel one's pauses are not in it.
type took struct {
	test    key
	seconds float64
}

// slowest is how many of the longest tests are named, and which are not worth it.
const (
	slowest = 20
	swift   = 5.0 // seconds
)

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[key]*strings.Builder{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(r.out, line) // not an event: the go command's own words
			} else {
				r.note(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
	}
}

func (r *report) note(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.buffer(k).WriteString(e.Output)
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.broken = true
	case "pass", "fail", "skip":
		r.end(k, e)
	}
}

func (r *report) buffer(k key) *strings.Builder {
	b := r.output[k]
	if b == nil {
		b = &strings.Builder{}
		r.output[k] = b
	}
	return b
}

func (r *report) end(k key, e event) {
	text := r.buffer(k).String()
	delete(r.output, k)
	switch {
	case k.test == "":
		r.endPackage(k, e, text)
	case e.Action == "pass":
		r.passed++
		if e.Elapsed >= swift && !strings.Contains(k.test, "/") {
			r.times = append(r.times, took{k, e.Elapsed})
		}
	case e.Action == "fail":
		r.failed++
		fmt.Fprintf(r.out, "FAILED %s\n%s", k, text)
	case e.Action == "skip":
		s := skip{k, reason(text)}
		r.skips = append(r.skips, s)
		fmt.Fprintf(r.out, "SKIPPED %s: %s\n", s.test, s.reason)
	}
}

func (r *report) endPackage(k key, e event, text string) {
	if e.Action == "fail" {
		r.broken = true
		// A panic or a timeout leaves tests open: what they printed last is
		// the trace to read.
		for open, b := range r.output {
			if open.pkg == k.pkg && b.Len() > 0 {
				r.failed++
				fmt.Fprintf(r.out, "UNFINISHED %s\n%s", open, b)
				delete(r.output, open)
			}
		}
		fmt.Fprintf(r.out, "%sFAIL\t%s\t%.1fs\n", text, k, e.Elapsed)
		return
	}
	if e.Action == "pass" {
		fmt.Fprintf(r.out, "ok  \t%s\t%.1fs\n", k, e.Elapsed)
	}
}

// reason takes the words out of what a skipped test printed: not the lines of
// the test runner, nor the file and line that t.Skip puts before them.
func reason(text string) string {
	var words []string
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			if _, said, ok := strings.Cut(after, ": "); ok {
				line = said
			}
		}
		words = append(words, line)
	}
	if len(words) == 0 {
		return "(gave no reason)"
	}
	return strings.Join(words, " ")
}

// printSlowest says where the time went, of tests that are no part of another.
func (r *report) printSlowest() {
	slices.SortStableFunc(r.times, func(a, b took) int { return cmp.Compare(b.seconds, a.seconds) })
	for _, t := range r.times[:min(len(r.times), slowest)] {
		fmt.Fprintf(r.out, "took %.0f s: %s\n", t.seconds, t.test)
	}
}

func (r *report) close(strict bool, allowed []*regexp.Regexp) error {
	r.printSlowest()
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skips))
	if r.failed > 0 || r.broken {
		return errors.New("tests failed")
	}
	if r.passed == 0 {
		return errors.New("no test ran")
	}
	if !strict {
		return nil
	}
	refused := 0
	for _, s := range r.skips {
		if !matches(allowed, s.test.String()) {
			refused++
			fmt.Fprintf(r.out, "NOT ALLOWED TO SKIP %s: %s\n", s.test, s.reason)
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d tests skipped that may not skip here; install what they lack or list them with a reason", refused)
	}
	return nil
}

func matches(allowed []*regexp.Regexp, name string) bool {
	for _, a := range allowed {
		if a.MatchString(name) {
			return true
		}
	}
	return false
}
