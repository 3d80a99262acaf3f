package results

import (
	"encoding/json"
	"fmt"
	"math"

	"mslab/results/record"
)

// CompareSchema is the format of a list of comparisons.
const CompareSchema = "mslab.compare/v1"

// Number is a float64 whose JSON form is null where it is not finite: an
// interval without an end, a ratio without data.
type Number float64

// MarshalJSON writes null for what JSON cannot hold.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads null as not a number.
func (n *Number) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(data, (*float64)(n))
}

// Verdict is the answer of one comparison.
type Verdict string

// The verdicts. Of a metric that is no speed, such as a success rate or a count
// of threads, Higher and Lower are said instead of Faster and Slower.
const (
	Faster     Verdict = "faster"
	Slower     Verdict = "slower"
	Higher     Verdict = "higher"
	Lower      Verdict = "lower"
	NoChange   Verdict = "~" // not significant: not the same as no difference
	TooFew     Verdict = "too few to tell"
	CannotShow Verdict = "cannot show here" // followed by the reason in parentheses
)

// Pair is a comparison to make: B against A in one arm under one of its loads.
type Pair struct {
	Arm  string
	Load int // index into ArmPlan.Loads
	PairPlan
}

// Comparison is what a run says of one pair and one metric. Ratio, interval and
// effects are of B to A: 0.97 is 3 % less than A.
type Comparison struct {
	Arm    string `json:"arm,omitempty"`
	Load   string `json:"load,omitempty"`
	A      string `json:"a"`
	B      string `json:"b"`
	Metric string `json:"metric"`
	// Ratio is the geometric mean of the blocks' ratios. The interval has 95 %
	// coverage for this pair alone; null is an end that the data do not bound.
	Ratio  Number `json:"ratio"`
	CILow  Number `json:"ci_low"`
	CIHigh Number `json:"ci_high"`
	// P is adjusted by Holm over the pairs of the same call, PAlone is not.
	P           Number  `json:"p"`
	PAlone      Number  `json:"p_alone"`
	Significant bool    `json:"significant"`
	Verdict     Verdict `json:"verdict"`
	// MinEffect is the threshold that was applied, MinDetectable the effect that
	// would be found with a chance of 90 %; both as fractions.
	MinEffect     float64 `json:"min_effect"`
	MinDetectable Number  `json:"min_detectable"`
	Blocks        int     `json:"blocks"` // used
	BlocksNeeded  int     `json:"blocks_needed"`
	// LeftOut says which blocks or slices were not used, and why.
	LeftOut []string `json:"left_out,omitempty"`

	metric metric
}

// Comparisons is the document that `compare --json` prints.
type Comparisons struct {
	Schema string       `json:"schema"`
	Pairs  []Comparison `json:"pairs"`
	// Percentiles are those of latency over all requests, where they were asked
	// for.
	Percentiles []PercentileComparison `json:"percentiles,omitempty"`
	// Differences are those of two runs' circumstances. Forced says that they
	// were compared all the same.
	Differences []Difference `json:"differences,omitempty"`
	Forced      bool         `json:"forced,omitempty"`
	// Notes say what the comparison cannot claim.
	Notes []string `json:"notes,omitempty"`
}

// Change is the ratio as a signed percentage, "+3.1 %".
func (c Comparison) Change() string { return formatChange(float64(c.Ratio)) }

// Regressed says whether B is significantly worse than A.
func (c Comparison) Regressed() bool {
	return c.Significant && c.metric.better != neither && (c.metric.better == higher) == (c.Ratio < 1)
}

// Pairs returns the comparisons that the ranked arms plan, in the order of the
// plan.
func (r *Run) Pairs() []Pair {
	var out []Pair
	for _, arm := range r.Plan.Arms {
		if !arm.Ranked {
			continue
		}
		for load := range max(1, len(arm.Loads)) {
			for _, p := range arm.Pairs {
				out = append(out, Pair{Arm: arm.Name, Load: load, PairPlan: p})
			}
		}
	}
	return out
}

// Compare applies the decision rule to one metric, named by its path in the
// record, of the given pairs.
//
// A block's value is the mean log ratio of B to A over the slices that both
// played in that block, paired by round; a latency percentile has one value a
// block, from the merged histogram of the trial. The blocks' values meet an
// exact sign-flip test, all pairs of the call one family under Holm. A
// difference is significant when the adjusted p is below 0.05 and the log ratio
// is at least log(1+minEffect) either way, so that the answer does not depend on
// which of the two is called A. `too few to tell` is said of fewer than 8
// blocks, or where even the smallest p could not survive Holm.
//
// A ratio needs two values above zero: slices without are left out of that
// metric and LeftOut says so. Trials that are interrupted or not valid are left
// out of everything, trials that are not comparable out of rates and latencies.
// The error is of an unknown metric, arm or subject only.
func Compare(run *Run, path string, pairs []Pair, minEffect float64) ([]Comparison, error) {
	m, err := parseMetric(path)
	if err != nil {
		return nil, err
	}
	if minEffect < 0 || math.IsNaN(minEffect) {
		return nil, fmt.Errorf("compare %s: the minimum effect is %v; give a fraction of 0 or more, such as 0.01 for 1 %%", path, minEffect)
	}
	trials := indexTrials(run)
	out := make([]Comparison, len(pairs))
	values := make([][]float64, len(pairs))
	tested := 0
	for i, pair := range pairs {
		if out[i], values[i], err = collect(run, trials, m, pair); err != nil {
			return nil, err
		}
		out[i].MinEffect = minEffect
		if pair.CannotShow == "" {
			tested++
		}
	}
	var ps []float64
	for i := range out {
		if pairs[i].CannotShow == "" {
			estimate(&out[i], values[i], tested)
			ps = append(ps, float64(out[i].PAlone))
		}
	}
	adjusted := Holm(ps)
	for i := range out {
		if pairs[i].CannotShow == "" {
			out[i].P, adjusted = Number(adjusted[0]), adjusted[1:]
			decide(&out[i], tested)
		}
	}
	return out, nil
}

// collect finds the blocks' values of a pair.
func collect(run *Run, trials trialIndex, m metric, pair Pair) (Comparison, []float64, error) {
	nan := Number(math.NaN())
	c := Comparison{Arm: pair.Arm, A: pair.A, B: pair.B, Metric: m.path, metric: m,
		Ratio: nan, CILow: nan, CIHigh: nan, P: nan, PAlone: nan, MinDetectable: nan}
	arm, ok := run.Plan.Arm(pair.Arm)
	if !ok {
		return c, nil, fmt.Errorf("compare %s with %s: the run has no arm %q", pair.B, pair.A, pair.Arm)
	}
	if pair.Load < 0 || pair.Load >= max(1, len(arm.Loads)) {
		return c, nil, fmt.Errorf("compare %s with %s: arm %q has no load number %d", pair.B, pair.A, pair.Arm, pair.Load)
	}
	for _, name := range []string{pair.A, pair.B} {
		if _, ok := run.Plan.Subject(name); !ok {
			return c, nil, fmt.Errorf("compare %s with %s: the run has no subject %q", pair.B, pair.A, name)
		}
	}
	if len(arm.Loads) > 1 {
		c.Load = loadTitle(arm.Loads[pair.Load])
	}
	if pair.CannotShow != "" {
		c.Verdict = Verdict(fmt.Sprintf("%s (%s)", CannotShow, pair.CannotShow))
		return c, nil, nil
	}
	values := trials.blockValues(run, arm, m, pair, &c)
	return c, values, nil
}

func (t trialIndex) blockValues(run *Run, arm ArmPlan, m metric, pair Pair, c *Comparison) []float64 {
	var values []float64
	for block := 1; block <= t.blocks(arm); block++ {
		a, b := t.trial(arm, block, pair.A, pair.Load), t.trial(arm, block, pair.B, pair.Load)
		if a == nil && b == nil && run.Incomplete {
			continue // never played; the table says that the run was interrupted
		}
		if why := m.unusable(a); why != "" {
			c.LeftOut = append(c.LeftOut, fmt.Sprintf("block %d: %s %s", block, pair.A, why))
			continue
		}
		if why := m.unusable(b); why != "" {
			c.LeftOut = append(c.LeftOut, fmt.Sprintf("block %d: %s %s", block, pair.B, why))
			continue
		}
		v, dropped, ok := blockValue(m.values(a), m.values(b))
		switch {
		case !ok:
			c.LeftOut = append(c.LeftOut, fmt.Sprintf("block %d: no value above zero on both sides", block))
			continue
		case dropped > 0:
			c.LeftOut = append(c.LeftOut, fmt.Sprintf("block %d: %d rounds of slices without a value above zero on both sides", block, dropped))
		}
		values = append(values, v)
	}
	return values
}

// blockValue is the mean log ratio over the rounds in which both sides have a
// value above zero; dropped counts the other rounds.
func blockValue(a, b []float64) (mean float64, dropped int, ok bool) {
	var logs []float64
	for i := range max(len(a), len(b)) {
		if i < len(a) && i < len(b) && a[i] > 0 && b[i] > 0 {
			logs = append(logs, math.Log(b[i]/a[i]))
		} else {
			dropped++
		}
	}
	return Mean(logs), dropped, len(logs) > 0
}

func estimate(c *Comparison, values []float64, tested int) {
	c.Blocks, c.BlocksNeeded = len(values), BlocksNeeded(tested)
	c.PAlone = Number(SignFlipP(values))
	if len(values) == 0 {
		return
	}
	low, high := SignFlipInterval(values)
	c.Ratio = Number(math.Exp(Mean(values)))
	c.CILow, c.CIHigh = Number(math.Exp(low)), Number(math.Exp(high))
	if math.IsInf(low, -1) {
		c.CILow = Number(math.Inf(-1)) // a ratio of 0 would read as a bound
	}
	c.MinDetectable = Number(math.Exp(MinDetectable(values, tested)) - 1)
}

func decide(c *Comparison, tested int) {
	if tooFewBlocks(c.Blocks, tested) {
		c.Verdict = TooFew
		c.cannotShowHere()
		return
	}
	effect := math.Log(float64(c.Ratio))
	c.Significant = float64(c.P) < Alpha && math.Abs(effect) >= math.Log1p(c.MinEffect)
	switch {
	case !c.Significant:
		c.Verdict = NoChange
	case !c.metric.speed && effect > 0:
		c.Verdict = Higher
	case !c.metric.speed:
		c.Verdict = Lower
	case (c.metric.better == higher) == (effect > 0):
		c.Verdict = Faster
	default:
		c.Verdict = Slower
	}
}

// trialIndex finds a trial by arm, block and subject; the load variants of an
// arm share a cell.
type trialIndex map[trialKey][]*record.Record

type trialKey struct {
	arm     string
	block   int
	subject string
}

func indexTrials(run *Run) trialIndex {
	index := make(trialIndex, len(run.Trials))
	for _, r := range run.Trials {
		k := trialKey{r.Arm, r.Block, r.Subject.Name}
		index[k] = append(index[k], r)
	}
	return index
}

// blocks returns the number of blocks planned or played, whichever is more: a
// run with a precision to reach adds blocks.
func (t trialIndex) blocks(arm ArmPlan) int {
	n := arm.Blocks
	for k := range t {
		if k.arm == arm.Name {
			n = max(n, k.block)
		}
	}
	return n
}

// trial returns the trial of a cell, nil where there is none.
func (t trialIndex) trial(arm ArmPlan, block int, subject string, load int) *record.Record {
	for _, r := range t[trialKey{arm.Name, block, subject}] {
		if arm.Under(r, load) {
			return r
		}
	}
	return nil
}

// trials returns a subject's trials in the order of the blocks.
func (t trialIndex) trials(arm ArmPlan, subject string, load int) []*record.Record {
	var out []*record.Record
	for block := 1; block <= t.blocks(arm); block++ {
		if r := t.trial(arm, block, subject, load); r != nil {
			out = append(out, r)
		}
	}
	return out
}
