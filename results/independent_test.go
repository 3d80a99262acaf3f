package results

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What testdata/independent/compare.py found in the two committed runs, by scipy
// and by a decoder of its own.
type independent struct {
	MadeWith    string `json:"made_with"`
	Comparisons []struct {
		Arm, Subject, Metric string
		Ratio                float64
		Interval             *[2]float64
		PAlone               float64  `json:"p_alone"`
		P                    float64  `json:"p"`
		MinDetectable        *float64 `json:"min_detectable"`
		Blocks               int
		Significant          bool
	}
	Percentiles []struct {
		Arm, Subject, Metric string
		A                    float64 `json:"a_ns"`
		B                    float64 `json:"b_ns"`
		Ratio                float64
		Blocks               int
		Low                  *[2]float64 `json:"low_between"`
		High                 *[2]float64 `json:"high_between"`
	}
}

var (
	committedBase      = filepath.Join("testdata", "runs", "base")
	committedCandidate = filepath.Join("testdata", "runs", "candidate")
	independentScript  = filepath.Join("testdata", "independent", "compare.py")
	independentFound   = filepath.Join("testdata", "independent", "expected.json")
)

// TestIndependentComputation holds ratios, intervals, p-values and percentiles
// against another program's. Both are exact but for the ends of two kinds of
// interval: those of the rule are bisected to 1e-9, and those of percentiles are
// drawn, so that ours has to lie where five standard errors allow.
func TestIndependentComputation(t *testing.T) {
	var want independent
	if err := json.Unmarshal(must(os.ReadFile(independentFound)), &want); err != nil {
		t.Fatal(err)
	}
	joined := must(Join(must(OpenRun(committedBase)), must(OpenRun(committedCandidate))))
	compared := map[string]Comparison{}
	for _, w := range want.Comparisons {
		if _, done := compared[w.Metric+w.Arm+w.Subject]; !done {
			for _, c := range must(Compare(joined, w.Metric, joined.Pairs(), joined.Plan.MinEffect)) {
				name, _ := twin(c.A, c.B)
				compared[w.Metric+c.Arm+name] = c
			}
		}
		got, ok := compared[w.Metric+w.Arm+w.Subject]
		what := w.Metric + " of " + w.Subject + " in " + w.Arm + ": "
		if !ok {
			t.Errorf("%snot compared", what)
			continue
		}
		near(t, what+"ratio", float64(got.Ratio), w.Ratio, 1e-9)
		near(t, what+"p", float64(got.P), w.P, 1e-9)
		near(t, what+"p alone", float64(got.PAlone), w.PAlone, 1e-9)
		if w.MinDetectable != nil {
			near(t, what+"MDE", float64(got.MinDetectable), *w.MinDetectable, 1e-8) // scipy's t.ppf has nine digits
		}
		if w.Interval != nil {
			near(t, what+"low end", float64(got.CILow), w.Interval[0], 1e-8)
			near(t, what+"high end", float64(got.CIHigh), w.Interval[1], 1e-8)
		}
		if got.Blocks != w.Blocks || got.Significant != w.Significant {
			t.Errorf("%s%d blocks, significant %v; want %d, %v", what, got.Blocks, got.Significant, w.Blocks, w.Significant)
		}
	}
	percentiles := must(ComparePercentiles(joined, joined.Pairs(), joined.Plan.MinEffect))
	if len(percentiles) != len(want.Percentiles) {
		t.Fatalf("%d percentiles, want %d", len(percentiles), len(want.Percentiles))
	}
	for i, w := range want.Percentiles {
		got := percentiles[i]
		if name, _ := twin(got.A, got.B); got.Metric != w.Metric || got.Arm != w.Arm || name != w.Subject {
			t.Fatalf("row %d is %s of %s in %s, want %s of %s in %s", i, got.Metric, got.B, got.Arm, w.Metric, w.Subject, w.Arm)
		}
		what := w.Metric + " of all requests of " + w.Subject + " in " + w.Arm + ": "
		if float64(got.ANS) != w.A || float64(got.BNS) != w.B || got.Blocks != w.Blocks {
			t.Errorf("%s%v and %v ns of %d blocks, want %v and %v of %d", what, got.ANS, got.BNS, got.Blocks, w.A, w.B, w.Blocks)
		}
		near(t, what+"ratio", float64(got.Ratio), w.Ratio, 1e-9)
		within := func(end string, got float64, between *[2]float64) {
			if between == nil && !math.IsInf(got, 0) || between != nil && (got < between[0]*(1-1e-9) || got > between[1]*(1+1e-9)) {
				t.Errorf("%s%s end is %v, want it in %v", what, end, got, between)
			}
		}
		within("low", float64(got.CILow), w.Low)
		within("high", float64(got.CIHigh), w.High)
	}
}

// TestIndependentComputationIsReproduced runs the script again where Python and
// scipy are.
func TestIndependentComputationIsReproduced(t *testing.T) {
	python := ""
	for _, candidate := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(candidate, "-c", "import scipy, numpy").Run() == nil {
			python = candidate
			break
		}
	}
	if python == "" {
		t.Skip("no python3 with scipy here (Debian: python3-scipy)")
	}
	out, err := exec.Command(python, independentScript, committedBase, committedCandidate).Output()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(independentFound, out, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	var again, committed map[string]any
	if err := json.Unmarshal(out, &again); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(must(os.ReadFile(independentFound)), &committed); err != nil {
		t.Fatal(err)
	}
	t.Logf("made with %v, committed with %v", again["made_with"], committed["made_with"])
	delete(again, "made_with")
	delete(committed, "made_with")
	sameNumbers(t, "", again, committed)
}

// sameNumbers compares two JSON values; numbers may differ in the last digits,
// as they do between versions of libm.
func sameNumbers(t *testing.T, path string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		of, ok := got.(map[string]any)
		if !ok || len(of) != len(want) {
			t.Fatalf("%s: %v, want %v", path, got, want)
		}
		for key, v := range want {
			sameNumbers(t, path+"."+key, of[key], v)
		}
	case []any:
		of, ok := got.([]any)
		if !ok || len(of) != len(want) {
			t.Fatalf("%s: %v, want %v", path, got, want)
		}
		for i, v := range want {
			sameNumbers(t, path, of[i], v)
		}
	case float64:
		v, ok := got.(float64)
		if !ok || math.Abs(v-want) > 1e-9*math.Max(1, math.Abs(want)) {
			t.Errorf("%s: %v, want %v", strings.TrimPrefix(path, "."), got, want)
		}
	default:
		if got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
