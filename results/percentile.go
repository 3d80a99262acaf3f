package results

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"mslab/results/record"
)

// PercentilePath is the word that stands for the latency percentiles together
// where metrics are named.
const PercentilePath = "latency"

// comparedPercentiles are those that a pair is shown by; 100 is the maximum.
var comparedPercentiles = []struct {
	percent float64
	path    string
	title   string
}{
	{50, MetricP50, "p50"}, {90, "latency.p90", "p90"}, {99, MetricP99, "p99"}, {99.9, "latency.p999", "p99.9"}, {100, MetricMax, "max"},
}

// PercentileComparison says what a run says of one latency percentile of a
// pair: the percentile of all requests of the blocks that both played, their
// histograms added up, and the ratio of the two.
//
// The ratio and its interval describe: how much longer do requests take, taking
// all together? Whether that is a difference is decided elsewhere, by the one
// rule, on the blocks' own percentiles (Comparison of the same metric): P,
// Significant and Verdict are copied from there. The two look at the same
// requests in two ways and may disagree: one block of stalls moves the p99 of
// all requests and its interval, and is one block of ten to the rule. Doubt says
// so where they do. The decision is the rule's.
type PercentileComparison struct {
	Arm        string  `json:"arm,omitempty"`
	Load       string  `json:"load,omitempty"`
	A          string  `json:"a"`
	B          string  `json:"b"`
	Metric     string  `json:"metric"`
	Percentile float64 `json:"percentile"` // in percent; 100 is the maximum
	// ANS and BNS are the merged percentiles in ns, Ratio is BNS / ANS. The
	// interval has 95 % coverage, by resampling blocks; a maximum has none, since
	// no resample holds a longer one.
	ANS    Number `json:"a_ns"`
	BNS    Number `json:"b_ns"`
	Ratio  Number `json:"ratio"`
	CILow  Number `json:"ci_low"`
	CIHigh Number `json:"ci_high"`
	// Of the rule.
	P           Number  `json:"p"`
	Significant bool    `json:"significant"`
	Verdict     Verdict `json:"verdict"`
	Doubt       string  `json:"doubt,omitempty"`
	Blocks      int     `json:"blocks"`
	Requests    int64   `json:"requests"` // of both, OK ones

	title string
}

// ComparePercentiles compares p50, p90, p99, p99.9 and the maximum of each pair.
func ComparePercentiles(run *Run, pairs []Pair, minEffect float64) ([]PercentileComparison, error) {
	ruled := make([][]Comparison, len(comparedPercentiles))
	for i, p := range comparedPercentiles {
		var err error
		if ruled[i], err = Compare(run, p.path, pairs, minEffect); err != nil {
			return nil, err
		}
	}
	trials := indexTrials(run)
	var out []PercentileComparison
	for n, pair := range pairs {
		if pair.CannotShow != "" {
			continue // the other tables give the reason
		}
		merged, err := mergedPercentiles(run, trials, pair)
		if err != nil {
			return nil, fmt.Errorf("compare latencies of %s with %s: %w", pair.B, pair.A, err)
		}
		for i := range merged {
			merged[i].follow(ruled[i][n])
		}
		out = append(out, merged...)
	}
	return out, nil
}

// mergedPercentiles makes the estimates and intervals of a pair.
func mergedPercentiles(run *Run, trials trialIndex, pair Pair) ([]PercentileComparison, error) {
	a, b, err := trials.blockHistograms(run, pair)
	if err != nil {
		return nil, err
	}
	blocks := len(a)
	a, b = batches(a, maxBatches), batches(b, maxBatches)
	tailsA, tailsB := newBlockTails(a), newBlockTails(b)
	percents := make([]float64, len(comparedPercentiles)-1) // the maximum is the last
	for i := range percents {
		percents[i] = comparedPercentiles[i].percent
	}
	rng := pairSource(run.Plan.Seed, pair.Arm, strconv.Itoa(pair.Load), pair.A, pair.B)
	intervals := append(bootstrapRatios(tailsA, tailsB, percents, rng), unbounded)
	once := make([]int64, len(a))
	var requests int64
	for i := range once {
		once[i] = 1
		requests += total(a[i]) + total(b[i])
	}
	out := make([]PercentileComparison, len(comparedPercentiles))
	nan := Number(math.NaN())
	for i, p := range comparedPercentiles {
		c := PercentileComparison{Metric: p.path, Percentile: p.percent, Blocks: blocks, Requests: requests, title: p.title,
			ANS: nan, BNS: nan, Ratio: nan, CILow: Number(intervals[i].low), CIHigh: Number(intervals[i].high)}
		if len(a) > 0 {
			c.ANS, c.BNS = Number(tailsA.percentile(p.percent, once)), Number(tailsB.percentile(p.percent, once))
			c.Ratio = c.BNS / c.ANS
		}
		out[i] = c
	}
	return out, nil
}

// blockHistograms returns the latencies of the blocks that the rule uses too:
// both sides usable, with a request each.
func (t trialIndex) blockHistograms(run *Run, pair Pair) (a, b [][]valueCount, err error) {
	arm, _ := run.Plan.Arm(pair.Arm)
	m, err := parseMetric(MetricP50)
	if err != nil {
		return nil, nil, err
	}
	for block := 1; block <= t.blocks(arm); block++ {
		of, to := t.trial(arm, block, pair.A, pair.Load), t.trial(arm, block, pair.B, pair.Load)
		if m.unusable(of) != "" || m.unusable(to) != "" || of.Latency.Count == 0 || to.Latency.Count == 0 {
			continue
		}
		for _, side := range []struct {
			trial *record.Record
			into  *[][]valueCount
		}{{of, &a}, {to, &b}} {
			h, err := side.trial.Latency.Histogram()
			if err != nil {
				return nil, nil, fmt.Errorf("block %d of %s: %w", block, side.trial.Subject.Name, err)
			}
			*side.into = append(*side.into, bucketsOf(h))
		}
	}
	return a, b, nil
}

// bucketsOf lists the buckets that hold something, by their highest value, which
// is the one that percentiles name. It knows the records' precision: buckets
// begin 1 wide, half of them at each power of two.
func bucketsOf(h *hdrhistogram.Histogram) []valueCount {
	const half = 1024 // 2·10^3 values to the unit, up to a power of two, halved
	var out []valueCount
	for i, n := range h.Export().Counts {
		if n == 0 {
			continue
		}
		power, sub := i/half-1, int64(i%half+half)
		if power < 0 {
			power, sub = 0, sub-half
		}
		out = append(out, valueCount{(sub+1)<<power - 1, n})
	}
	return out
}

// maxBatches bounds what a resample draws from: of more blocks, neighbours are
// put together and drawn together. 100 tell the spread of the whole as well.
const maxBatches = 100

// batches puts neighbouring blocks together, as evenly as may be, until there
// are no more than most.
func batches(blocks [][]valueCount, most int) [][]valueCount {
	if len(blocks) <= most {
		return blocks
	}
	out := make([][]valueCount, most)
	for i, b := range blocks {
		to := i * most / len(blocks)
		out[to] = append(out[to], b...)
	}
	return out
}

func total(counts []valueCount) int64 {
	var sum int64
	for _, c := range counts {
		sum += c.count
	}
	return sum
}

// follow takes over what the rule decided, and says where the interval of the
// merged histograms would have a reader expect something else.
func (c *PercentileComparison) follow(rule Comparison) {
	c.Arm, c.Load, c.A, c.B = rule.Arm, rule.Load, rule.A, rule.B
	c.P, c.Significant, c.Verdict = rule.P, rule.Significant, rule.Verdict
	low, high := float64(c.CILow), float64(c.CIHigh)
	if math.IsInf(low, 0) || math.IsNaN(low) || rule.Verdict == TooFew {
		return
	}
	outside := low > 1 || high < 1
	switch {
	case outside && !rule.Significant && rule.P < Alpha:
		c.Doubt = fmt.Sprintf("is beyond 0 by its interval, but below the min effect of %s by block", percent(rule.MinEffect))
	case outside && !rule.Significant && rule.PAlone < Alpha:
		c.Doubt = fmt.Sprintf("is beyond 0 by its interval, which is its row's own; corrected for the number of pairs p is %s", formatP(float64(rule.P)))
	case outside && !rule.Significant:
		c.Doubt = fmt.Sprintf("is beyond 0 by its interval, but a few blocks with many slow requests make that; block by block p is %s", formatP(float64(rule.P)))
	case !outside && rule.Significant, rule.Significant && (rule.Ratio > 1) != (c.Ratio > 1):
		c.Doubt = fmt.Sprintf("is %s block by block (%s, p %s), whatever the interval of all requests together holds", rule.Verdict, rule.Change(), formatP(float64(rule.P)))
	}
}

// Change is the ratio as a signed percentage.
func (c PercentileComparison) Change() string { return formatChange(float64(c.Ratio)) }

// PercentileTables draws a table for each pair.
func PercentileTables(all []PercentileComparison) []Table {
	var tables []Table
	for start := 0; start < len(all); {
		end := start
		for end < len(all) && all[end].samePair(all[start]) {
			end++
		}
		tables = append(tables, percentileTable(all[start:end]))
		start = end
	}
	return tables
}

func (c PercentileComparison) samePair(o PercentileComparison) bool {
	return c.Arm == o.Arm && c.Load == o.Load && c.A == o.A && c.B == o.B
}

func percentileTable(rows []PercentileComparison) Table {
	first := rows[0]
	where := Comparison{Arm: first.Arm, Load: first.Load}.place()
	title := fmt.Sprintf("latency of %s against %s", first.B, first.A)
	if name, ok := twin(first.A, first.B); ok {
		title = fmt.Sprintf("latency of %s, candidate against base", name)
	}
	t := Table{Title: title, Columns: []Column{
		{Key: "percentile", Title: "of all requests", Left: true},
		{Key: "a", Title: columnTitle(first.A), Unit: "ns"},
		{Key: "b", Title: columnTitle(first.B), Unit: "ns"},
		{Key: "ratio", Title: "ratio", Unit: "fraction"},
		{Key: "interval", Title: "95 %"},
		{Key: "verdict", Title: "by the rule", Left: true},
	}}
	if where != "" {
		t.Title += " in arm " + where
	}
	var doubts []string
	for _, c := range rows {
		t.Rows = append(t.Rows, []Cell{
			TextCell(c.title), FigureCell(float64(c.ANS), FormatNS), FigureCell(float64(c.BNS), FormatNS),
			{Text: c.Change(), Value: float64(c.Ratio) - 1},
			intervalCell(Comparison{CILow: c.CILow, CIHigh: c.CIHigh}, true),
			TextCell(c.verdictText()),
		})
		if c.Doubt != "" {
			doubts = append(doubts, c.title+" "+c.Doubt)
		}
	}
	t.Notes = append(t.Notes, fmt.Sprintf("%s requests of %d blocks, histograms added up; the interval by resampling blocks, the verdict by the rule on each block's own percentiles.",
		formatCount(float64(first.Requests)), first.Blocks))
	if len(doubts) > 0 {
		t.Notes = append(t.Notes, strings.Join(doubts, "; ")+". The rule decides.")
	}
	return t
}

func (c PercentileComparison) verdictText() string {
	if c.Verdict == TooFew {
		return "too few"
	}
	return string(c.Verdict)
}

// columnTitle is a subject's name, cut where a table would be too wide.
func columnTitle(name string) string {
	for _, suffix := range []string{baseSuffix, candidateSuffix} {
		if strings.HasSuffix(name, suffix) {
			return strings.Trim(suffix, " ()")
		}
	}
	const most = 14
	if runes := []rune(name); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return name
}
