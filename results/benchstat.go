package results

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"

	"mslab/results/record"
)

// RenderBenchstat prints a run in the Go benchmark format
// (golang.org/design/14313-benchmark-format), a line for each trial, so that
// every block is one sample to benchstat:
//
//	benchstat -col /phase -filter '/arm:isolated' FILE
//
// Subjects are told apart by phase=N where each has a phase of its own, else by
// subject=NAME. Of two runs that were joined, the same benchmark stands under
// "run: base" and under "run: candidate":
//
//	benchstat -col run FILE
//
// The count is that of OK requests. Trials that are not valid are
// left out, rates and latencies of those that are not comparable too. Benchstat
// does not know of blocks: it is for export, the decision is Compare's.
func RenderBenchstat(w io.Writer, run *Run) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "goos: %s\ngoarch: %s\npkg: mslab/%s\n", runtime.GOOS, runtime.GOARCH, benchWord(run.Plan.Scenario))
	if run.Environment != nil && run.Environment.CPU != "" {
		fmt.Fprintf(out, "cpu: %s\n", run.Environment.CPU)
	}
	fmt.Fprint(out, "Unit server-cpu-ns/req better=lower\nUnit rps-ok better=higher\nUnit p50-ns better=lower\nUnit p99-ns better=lower\n\n")
	sides := []string{""}
	if run.joined {
		sides = []string{baseSuffix, candidateSuffix}
	}
	for _, side := range sides {
		if side != "" {
			fmt.Fprintf(out, "run: %s\n\n", strings.Trim(side, " ()"))
		}
		benchLines(out, run, side)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("render benchmark format: %w", err)
	}
	return nil
}

// RenderLoadBenchstat prints one load in that format: one sample, so that those of
// several loads, one behind the other in a file, are for benchstat to compare. Of a
// load that is not valid, or whose generator was the bottleneck, a comment says why
// it has none.
func RenderLoadBenchstat(w io.Writer, r *record.Record) error {
	var out strings.Builder
	fmt.Fprintf(&out, "goos: %s\ngoarch: %s\npkg: mslab/load\n", runtime.GOOS, runtime.GOARCH)
	if r.Environment != nil && r.Environment.CPU != "" {
		fmt.Fprintf(&out, "cpu: %s\n", r.Environment.CPU)
	}
	fmt.Fprint(&out, "Unit client-cpu-ns/req better=lower\nUnit rps-ok better=higher\nUnit p50-ns better=lower\nUnit p99-ns better=lower\nUnit failed-% better=lower\n\n")
	switch {
	case !r.Verdict.Valid || !r.Verdict.Comparable:
		fmt.Fprintf(&out, "# no sample: %s\n", strings.Join(r.Verdict.Reasons, "; "))
	case r.Counts.OK == 0:
		fmt.Fprint(&out, "# no sample: no request succeeded\n")
	default:
		c := r.Counts
		fmt.Fprintf(&out, "BenchmarkLoad/subject=%s/load=%s %d %.1f client-cpu-ns/req %.1f rps-ok %d p50-ns %d p99-ns %.4f failed-%%\n",
			benchWord(r.Subject.Name), benchWord(loadTitle(r.Load)), c.OK,
			r.Client.CPUPerRequest, r.RPS.OK, r.Latency.P50, r.Latency.P99, 100*float64(c.Failed)/float64(c.OK+c.Failed))
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("render benchmark format: %w", err)
	}
	return nil
}

// benchLines prints the trials of the subjects whose names end in side, without
// it.
func benchLines(out io.Writer, run *Run, side string) {
	trials, byPhase := indexTrials(run), phasesAreUnique(run.Plan)
	for _, arm := range run.Plan.Arms {
		for load := range max(1, len(arm.Loads)) {
			for _, subject := range run.Plan.SubjectsOf(arm) {
				own, ok := strings.CutSuffix(subject.Name, side)
				if !ok {
					continue
				}
				called := subject
				called.Name = own
				name := benchName(arm, called, loadOf(arm, load), byPhase)
				for _, r := range trials.trials(arm, subject.Name, load) {
					benchLine(out, name, r)
				}
			}
		}
	}
}

func phasesAreUnique(p Plan) bool {
	seen := map[int]bool{}
	for _, s := range p.Subjects {
		if s.Phase == nil || seen[*s.Phase] {
			return false
		}
		seen[*s.Phase] = true
	}
	return true
}

func benchName(arm ArmPlan, subject SubjectPlan, load record.Load, byPhase bool) string {
	name := "BenchmarkPhase/subject=" + benchWord(subject.Name)
	if byPhase {
		name = fmt.Sprintf("BenchmarkPhase/phase=%d", *subject.Phase)
	}
	name += "/arm=" + benchWord(arm.Name)
	if len(arm.Loads) > 1 {
		name += fmt.Sprintf("/clients=%d", load.Clients)
		if slices.ContainsFunc(arm.Loads, func(l record.Load) bool { return l.Clients == load.Clients && keyOf(l) != keyOf(load) }) {
			name += "/load=" + benchWord(loadTitle(load))
		}
	}
	return name
}

// benchWord keeps a name free of what ends a benchmark's name or a key.
func benchWord(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '/' || r == '=' {
			return '_'
		}
		return r
	}, s)
}

func benchLine(w io.Writer, name string, r *record.Record) {
	cpu, _ := parseMetric(MetricCPU)
	rps, _ := parseMetric(MetricRPS)
	if cpu.unusable(r) != "" {
		return
	}
	var units strings.Builder
	if v := geometricMean(positive(cpu.values(r))); !math.IsNaN(v) {
		fmt.Fprintf(&units, " %.1f server-cpu-ns/req", v)
	}
	if rps.unusable(r) == "" {
		if v := geometricMean(positive(rps.values(r))); !math.IsNaN(v) {
			fmt.Fprintf(&units, " %.1f rps-ok", v)
		}
		if r.Latency.Count > 0 {
			fmt.Fprintf(&units, " %d p50-ns %d p99-ns", r.Latency.P50, r.Latency.P99)
		}
	}
	if units.Len() > 0 {
		fmt.Fprintf(w, "%s %d%s\n", name, max(1, r.Counts.OK), units.String())
	}
}
