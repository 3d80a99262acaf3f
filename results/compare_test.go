package results

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"mslab/results/record"
)

// trialOf makes a valid trial whose slices have the given CPU per request.
func trialOf(arm string, block int, subject string, cpu ...float64) *record.Record {
	r := &record.Record{
		Schema: record.Schema, Arm: arm, Block: block,
		Subject: record.Subject{Name: subject},
		Load:    record.Load{Clients: 20, Arrival: "closed", Connection: "new"},
		Server:  &record.Server{},
		Verdict: record.Verdict{Valid: true, Comparable: true},
	}
	for i, v := range cpu {
		r.Slices = append(r.Slices, record.Slice{Order: i, CPUPerRequest: v, RPSOK: 1e9 / v})
	}
	r.Server.CPUPerRequest = Mean(cpu)
	return r
}

// pairRun makes a run of subjects a and b in one ranked arm, with the blocks'
// ratios of b to a as given.
func pairRun(ratios ...float64) *Run {
	run := &Run{Schema: RunSchema, Plan: Plan{
		Scenario: "test", Subjects: []SubjectPlan{{Subject: record.Subject{Name: "a"}}, {Subject: record.Subject{Name: "b"}}},
		Arms: []ArmPlan{{Name: "isolated", Ranked: true, Loads: []record.Load{{Clients: 20, Connection: "new"}},
			Blocks: len(ratios), Slices: 2, Pairs: []PairPlan{{A: "a", B: "b"}}}},
	}}
	for i, ratio := range ratios {
		run.Trials = append(run.Trials,
			trialOf("isolated", i+1, "a", 50e3, 60e3), trialOf("isolated", i+1, "b", 50e3*ratio, 60e3*ratio))
	}
	return run
}

func compareOne(t *testing.T, run *Run, metric string, minEffect float64) Comparison {
	t.Helper()
	got, err := Compare(run, metric, run.Pairs(), minEffect)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("%d comparisons, want 1", len(got))
	}
	return got[0]
}

func TestCompareVerdicts(t *testing.T) {
	up := []float64{1.029, 1.031, 1.030, 1.032, 1.028, 1.030, 1.031, 1.029}
	down := []float64{0.90, 0.91, 0.89, 0.90, 0.91, 0.89, 0.90, 0.90}
	noise := []float64{1.03, 0.97, 1.02, 0.98, 1.01, 0.99, 1.03, 0.98}
	cases := []struct {
		name      string
		ratios    []float64
		metric    string
		minEffect float64
		want      Verdict
		change    string
		regressed bool
	}{
		{"more CPU is slower", up, MetricCPU, 0.01, Slower, "+3.0 %", true},
		{"less CPU is faster", down, MetricCPU, 0.01, Faster, "-10.0 %", false},
		{"a lower rate is slower", up, MetricRPS, 0.01, Slower, "-2.9 %", true},
		{"below the minimum effect", up, MetricCPU, 0.05, NoChange, "+3.0 %", false},
		{"noise", noise, MetricCPU, 0, NoChange, "+0.1 %", false},
		{"seven blocks", up[:7], MetricCPU, 0, TooFew, "+3.0 %", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := compareOne(t, pairRun(c.ratios...), c.metric, c.minEffect)
			if got.Verdict != c.want || got.Change() != c.change || got.Regressed() != c.regressed {
				t.Errorf("verdict %q, change %q, regressed %v; want %q, %q, %v", got.Verdict, got.Change(), got.Regressed(), c.want, c.change, c.regressed)
			}
			if !(got.CILow <= got.Ratio && got.Ratio <= got.CIHigh) {
				t.Errorf("interval [%g, %g] does not hold the ratio %g", got.CILow, got.CIHigh, got.Ratio)
			}
			if got.Significant != (c.want == Faster || c.want == Slower) {
				t.Errorf("significant is %v at verdict %q", got.Significant, got.Verdict)
			}
		})
	}
}

// Swapping A and B must turn every word and keep every decision.
func TestCompareIsSymmetric(t *testing.T) {
	run := pairRun(1.0101, 1.0101, 1.0101, 1.0101, 1.0101, 1.0101, 1.0101, 1.0101)
	there := compareOne(t, run, MetricCPU, 0.01)
	run.Plan.Arms[0].Pairs = []PairPlan{{A: "b", B: "a"}}
	back := compareOne(t, run, MetricCPU, 0.01)
	if there.Verdict != Slower || back.Verdict != Faster {
		t.Errorf("verdicts %q and %q, want slower and faster", there.Verdict, back.Verdict)
	}
	near(t, "product of the ratios", float64(there.Ratio*back.Ratio), 1, 1e-12)
}

func TestCompareLeavesOutAndSaysSo(t *testing.T) {
	ratios := []float64{1.03, 1.03, 1.03, 1.03, 1.03, 1.03, 1.03, 1.03, 1.03, 1.03, 1.03, 1.03}
	run := pairRun(ratios...)
	trial := func(block int, subject string) *record.Record {
		return indexTrials(run).trial(run.Plan.Arms[0], block, subject, 0)
	}
	trial(1, "a").Verdict = record.Verdict{Valid: false, Reasons: []string{"accounting fails"}}
	trial(2, "b").Verdict = record.Verdict{Valid: true, Comparable: false, Reasons: []string{"generator saturated"}}
	trial(3, "b").Incomplete = true
	trial(4, "a").Slices[1].CPUPerRequest = 0
	trial(4, "a").Slices[1].RPSOK = 0

	cpu, rps := compareOne(t, run, MetricCPU, 0.01), compareOne(t, run, MetricRPS, 0.01)
	if cpu.Blocks != 10 || rps.Blocks != 9 {
		t.Errorf("CPU used %d blocks and RPS %d; want 10 (not comparable counts) and 9", cpu.Blocks, rps.Blocks)
	}
	near(t, "ratio without the empty slice", float64(cpu.Ratio), 1.03, 1e-9)
	want := []string{"block 1: a invalid: accounting fails", "block 3: b interrupted", "block 4: 1 rounds"}
	for i, w := range want {
		if i >= len(cpu.LeftOut) || !strings.HasPrefix(cpu.LeftOut[i], w) {
			t.Errorf("left out %q, want one that begins with %q", cpu.LeftOut, w)
		}
	}
	if !strings.Contains(strings.Join(rps.LeftOut, "\n"), "block 2: b not comparable: generator saturated") {
		t.Errorf("RPS left out %q without naming the saturated trial", rps.LeftOut)
	}
}

func TestCompareWithoutData(t *testing.T) {
	run := pairRun(1, 1, 1, 1, 1, 1, 1, 1)
	for _, r := range run.Trials {
		r.Server, r.Slices = nil, nil
	}
	got := compareOne(t, run, MetricCPU, 0.01)
	if got.Verdict != TooFew || got.Blocks != 0 || len(got.LeftOut) != 8 {
		t.Errorf("%+v; want too few to tell, no blocks, eight reasons", got)
	}
	data, err := json.Marshal(Comparisons{Schema: CompareSchema, Pairs: []Comparison{got}})
	if err != nil || !strings.Contains(string(data), `"ratio":null,"ci_low":null,"ci_high":null`) {
		t.Errorf("JSON %s, error %v; want nulls", data, err)
	}
}

func TestCompareCannotShowIsNeverTested(t *testing.T) {
	run := pairRun(2, 2, 2, 2, 2, 2, 2, 2)
	run.Plan.Arms[0].Pairs[0].CannotShow = "one server core"
	got := compareOne(t, run, MetricCPU, 0)
	if got.Verdict != "cannot show here (one server core)" || got.Significant || !math.IsNaN(float64(got.Ratio)) {
		t.Errorf("%+v; want no figure and the reason", got)
	}
}

func TestCompareLatencyHasOneValueABlock(t *testing.T) {
	run := pairRun(1, 1, 1, 1, 1, 1, 1, 1)
	for _, r := range run.Trials {
		r.Latency.P99 = 1_000_000
		if r.Subject.Name == "b" {
			r.Latency.P99 = 2_000_000
		}
		for i := range r.Slices {
			r.Slices[i].P99 = 77 // not to be used
		}
	}
	got := compareOne(t, run, MetricP99, 0.01)
	near(t, "ratio", float64(got.Ratio), 2, 1e-9)
	if got.Verdict != Slower {
		t.Errorf("verdict %q, want slower", got.Verdict)
	}
}

func TestCompareLoadVariants(t *testing.T) {
	run := pairRun(1, 1, 1, 1, 1, 1, 1, 1)
	arm := &run.Plan.Arms[0]
	arm.Loads = []record.Load{{Clients: 20, Connection: "new"}, {Clients: 50, Connection: "new"}}
	for block := 1; block <= 8; block++ {
		for _, s := range []struct {
			name string
			cpu  float64
		}{{"a", 50e3}, {"b", 40e3}} {
			r := trialOf("isolated", block, s.name, s.cpu)
			r.Load.Clients = 50
			run.Trials = append(run.Trials, r)
		}
	}
	got, err := Compare(run, MetricCPU, run.Pairs(), 0.01)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d comparisons, error %v; want one a load", len(got), err)
	}
	if got[0].Verdict != NoChange || got[1].Verdict != Faster {
		t.Errorf("verdicts %q and %q, want ~ at 20 clients and faster at 50", got[0].Verdict, got[1].Verdict)
	}
}

func TestCompareRefuses(t *testing.T) {
	run := pairRun(1, 1)
	good := run.Pairs()
	cases := []struct {
		name, metric string
		pair         Pair
		minEffect    float64
		want         string
	}{
		{"unknown part", "speed", good[0], 0, "a metric is a path in the record"},
		{"unknown number", "server.cpu", good[0], 0, "no such number"},
		{"text", "latency.unit", good[0], 0, "no such number"},
		{"arm", MetricCPU, Pair{Arm: "x"}, 0, `no arm "x"`},
		{"subject", MetricCPU, Pair{Arm: "isolated", PairPlan: PairPlan{A: "a", B: "z"}}, 0, `no subject "z"`},
		{"load", MetricCPU, Pair{Arm: "isolated", Load: 3, PairPlan: PairPlan{A: "a", B: "b"}}, 0, "no load number 3"},
		{"effect", MetricCPU, good[0], -1, "minimum effect"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Compare(run, c.metric, []Pair{c.pair}, c.minEffect); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// machine is noise as it was measured: the speed of socket work flips between
// two levels every 10 to 60 s, each slice adds its own, and each process
// brings a bias of its own into a block.
type machine struct {
	rng     *rand.Rand
	clock   float64 // s
	flip    float64 // when the speed changes next
	slow    bool
	penalty float64
}

func newMachine(seed uint64) *machine {
	rng := rand.New(rand.NewPCG(seed, 99))
	return &machine{rng: rng, slow: rng.IntN(2) == 0, flip: 60 * rng.Float64(), penalty: 0.17 + 0.13*rng.Float64()}
}

// slice plays half a second and returns CPU per request.
func (m *machine) slice(base, bias float64) float64 {
	m.clock += 0.6
	for m.clock > m.flip {
		m.slow = !m.slow
		m.flip += 10 + 50*m.rng.Float64()
	}
	v := base * math.Exp(bias+0.03*m.rng.NormFloat64())
	if m.slow {
		v *= 1 + m.penalty
	}
	return v
}

// play runs subjects with the given costs through blocks of four rounds, each
// round in an order turned about from the one before.
func (m *machine) play(blocks int, costs ...float64) *Run {
	run := &Run{Plan: Plan{Scenario: "aa"}}
	arm := ArmPlan{Name: "isolated", Ranked: true, Blocks: blocks, Slices: 4}
	for i := range costs {
		name := fmt.Sprint("s", i)
		run.Plan.Subjects = append(run.Plan.Subjects, SubjectPlan{Subject: record.Subject{Name: name}})
		if i > 0 {
			arm.Pairs = append(arm.Pairs, PairPlan{A: fmt.Sprint("s", i-1), B: name})
		}
	}
	run.Plan.Arms = []ArmPlan{arm}
	for block := 1; block <= blocks; block++ {
		order := m.rng.Perm(len(costs))
		bias, cpu := make([]float64, len(costs)), make([][]float64, len(costs))
		for i := range bias {
			bias[i] = 0.01 * m.rng.NormFloat64()
		}
		for round := range 4 {
			for k := range order {
				if round%2 == 1 {
					k = len(order) - 1 - k
				}
				cpu[order[k]] = append(cpu[order[k]], m.slice(costs[order[k]], bias[order[k]]))
			}
		}
		for i, values := range cpu {
			run.Trials = append(run.Trials, trialOf("isolated", block, fmt.Sprint("s", i), values...))
		}
		m.clock += 3 // start and stop
	}
	return run
}

// withinBinomial fails where hits of n are more than chance would give at rate:
// beyond three standard errors.
func withinBinomial(t *testing.T, what string, hits, n int, rate float64) {
	t.Helper()
	limit := rate*float64(n) + 3*math.Sqrt(rate*(1-rate)*float64(n))
	t.Logf("%s: %d of %d (%.2f %%), limit %.1f", what, hits, n, 100*float64(hits)/float64(n), limit)
	if float64(hits) > limit {
		t.Errorf("%s: %d of %d, more than %.0f %% allows", what, hits, n, 100*rate)
	}
}

func TestGateAA(t *testing.T) {
	const nulls, blocks = 1000, 10
	single, covered := 0, 0
	for i := range nulls {
		c := compareOne(t, newMachine(uint64(i)).play(blocks, 50e3, 50e3), MetricCPU, 0)
		if c.Significant {
			single++
		}
		if c.CILow <= 1 && 1 <= c.CIHigh {
			covered++
		}
	}
	withinBinomial(t, "false positives of single comparisons", single, nulls, Alpha)
	withinBinomial(t, "intervals that miss the true ratio", nulls-covered, nulls, Alpha)
	// The interval must not be wide for safety's sake either: ten blocks allow
	// 4.88 %.
	if misses := nulls - covered; misses < nulls/40 {
		t.Errorf("only %d of %d intervals miss the true ratio: they are too wide", misses, nulls)
	}
}

func TestGateHolmFamily(t *testing.T) {
	const nulls, blocks = 400, 10
	families := 0
	for i := range nulls {
		run := newMachine(uint64(i)+1e6).play(blocks, 80e3, 80e3, 80e3, 80e3, 80e3, 80e3, 80e3)
		got, err := Compare(run, MetricCPU, run.Pairs(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range got {
			if c.Significant {
				families++
				break
			}
		}
	}
	withinBinomial(t, "families of six with a false positive", families, nulls, Alpha)
}

func TestGatePower(t *testing.T) {
	const runs = 400
	rng := rand.New(rand.NewPCG(7, 8))
	found, machineFound := 0, 0
	for i := range runs {
		ratios := make([]float64, 10)
		for b := range ratios {
			ratios[b] = 1.03 * math.Exp(0.02*rng.NormFloat64())
		}
		if compareOne(t, pairRun(ratios...), MetricCPU, 0.01).Significant {
			found++
		}
		if compareOne(t, newMachine(uint64(i)+2e6).play(10, 50e3, 51.5e3), MetricCPU, 0.01).Significant {
			machineFound++
		}
	}
	t.Logf("+3 %% found in %d of %d at a block SD of 2 %%, in %d on the machine of two speeds", found, runs, machineFound)
	if found < runs*90/100 {
		t.Errorf("+3 %% at a block SD of 2 %% and 10 blocks was found in %d of %d runs, want 90 %%", found, runs)
	}
}

func TestGateMinDetectableIsWhatIsFound(t *testing.T) {
	const runs = 400
	rng := rand.New(rand.NewPCG(9, 10))
	values := normals(rng, 10, 0, 1)
	scale := 0.02 / SampleSD(values)
	for i := range values {
		values[i] *= scale
	}
	effect := MinDetectable(values, 1)
	found := 0
	for range runs {
		if SignFlipP(normals(rng, 10, effect, 0.02)) < Alpha {
			found++
		}
	}
	t.Logf("an effect of the MDE, %.2f %%, was found in %d of %d", 100*effect, found, runs)
	if rate := float64(found) / runs; rate < 0.85 || rate > 0.96 {
		t.Errorf("an effect of the size called detectable at 90 %% is found at %.0f %%", 100*rate)
	}
}
