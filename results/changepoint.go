package results

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/montanaflynn/stats"
)

// ChangeRule finds the places at which a series changes its level.
//
// The statistic of a stretch within a series is the sum of its values' normal
// scores, scaled by its permutation variance; that of the series is the largest
// over all stretches, whose p-value is the share of random orders of the same
// values that reach it. This is circular binary segmentation (Olshen,
// Venkatraman, Lucito and Wigler 2004, "Circular binary segmentation for the
// analysis of array-based DNA copy number data", Biostatistics 5) on the scores
// of van der Waerden instead of the values. A stretch may begin or end with the
// series, which is one change, or lie within it, which is two: a machine that is
// slow for a while and recovers would hide from a search for one change at a
// time. One change is looked for first, at half of Alpha, since among all
// stretches a short warm-up would not stand out; then any. Scores by rank bound what one outlier can do, and the null distribution
// asks nothing of the values but that their order means nothing.
//
// What is left on the sides and in the middle is searched in the same way. Where
// there is no change the first test decides, so that the chance of a false alarm
// is Alpha for the whole series.
type ChangeRule struct {
	Alpha float64 // level of the test
	// MinEffect is the smallest relative difference between the medians of
	// neighbouring segments that is called a change, as a fraction.
	MinEffect float64
	// MinLength is the fewest values of a segment, at least 1.
	MinLength int
}

// Segment is a stretch of a series without a change: values[From:To].
type Segment struct {
	From, To int
	Median   float64
}

const (
	changeFolds = 999 // random orders a test; the smallest p is 0.001
	changeSeed  = 0x6368616e6765
)

// Segments cuts a series at its changes; a series without one is one segment,
// an empty one none.
func (c ChangeRule) Segments(values []float64) []Segment {
	if len(values) == 0 {
		return nil
	}
	rng := rand.New(rand.NewPCG(changeSeed, uint64(len(values))))
	cuts := c.split(values, 0, len(values), rng, nil)
	slices.Sort(cuts)
	return c.join(values, c.relocate(values, cuts))
}

// split appends the changes of values[from:to].
func (c ChangeRule) split(values []float64, from, to int, rng *rand.Rand, cuts []int) []int {
	part := values[from:to]
	scores := normalScores(part)
	i, j, found := c.test(scores, false, rng)
	if !found {
		i, j, found = c.test(scores, true, rng)
	}
	if !found {
		return cuts
	}
	if j < len(part) {
		j = i + c.place(part[i:], j-i)
	}
	if i > 0 {
		i = c.place(part[:j], i)
	}
	at := from
	for _, cut := range []int{from + i, from + j} {
		if cut > from && cut < to {
			cuts = c.split(values, at, cut, rng, append(cuts, cut))
			at = cut
		}
	}
	return c.split(values, at, to, rng, cuts)
}

// test looks for one stretch, inner or not, at half of the level.
func (c ChangeRule) test(scores []float64, inner bool, rng *rand.Rand) (i, j int, significant bool) {
	i, j, observed := c.largest(scores, inner)
	if observed == 0 {
		return 0, 0, false
	}
	allowed := int(c.Alpha/2*(changeFolds+1)) - 1 // (hits+1)/(folds+1) <= alpha/2
	return i, j, c.reached(slices.Clone(scores), inner, observed, changeFolds, allowed, rng) <= allowed
}

// Differ tells whether two stretches are on different levels, by the same scores
// and effect as Segments. Where the place is known no search for it costs power;
// with fewer than MinLength values on a side nothing can be told.
func (c ChangeRule) Differ(before, after []float64) bool {
	least := max(1, c.MinLength)
	if len(before) < least || len(after) < least || effect(Median(before), Median(after)) < c.MinEffect {
		return false
	}
	scores := normalScores(slices.Concat(before, after))
	sum := func() (s float64) {
		for _, score := range scores[:len(before)] {
			s += score
		}
		return math.Abs(s)
	}
	observed, hits := sum(), 0
	rng := rand.New(rand.NewPCG(changeSeed, uint64(len(scores))))
	for range changeFolds {
		rng.Shuffle(len(scores), func(i, j int) { scores[i], scores[j] = scores[j], scores[i] })
		if sum() >= observed*(1-1e-12) {
			hits++
		}
	}
	return float64(hits+1) <= c.Alpha*(changeFolds+1)
}

// reached counts the random orders whose statistic is at least the observed one;
// more than enough is as good as all.
func (c ChangeRule) reached(scores []float64, inner bool, observed float64, orders, enough int, rng *rand.Rand) int {
	hits := 0
	for range orders {
		rng.Shuffle(len(scores), func(i, j int) { scores[i], scores[j] = scores[j], scores[i] })
		if _, _, z := c.largest(scores, inner); z >= observed*(1-1e-12) {
			if hits++; hits > enough {
				break
			}
		}
	}
	return hits
}

// changeGrid is how many places a long series is searched at; what is found is
// then placed exactly.
const changeGrid = 120

// largest is the stretch scores[i:j] with the largest statistic, which is 0 where
// the series is too short to have one; without inner, of those that begin with
// the series.
func (c ChangeRule) largest(scores []float64, inner bool) (i, j int, z float64) {
	n, least := len(scores), max(1, c.MinLength)
	sums := make([]float64, n+1)
	var square float64
	for k, s := range scores {
		sums[k+1] = sums[k] + s
		square += s * s
	}
	if n < 2*least || square == 0 {
		return 0, 0, 0
	}
	// The variance of a sum of k of n values drawn without replacement is
	// k (n-k) times this.
	spread := square / float64(n) / float64(n-1)
	step := 1
	if inner {
		step = (n + changeGrid - 1) / changeGrid
	}
	best := 0.0
	for from := 0; from+least <= n && (from == 0 || inner); from = next(from, step, least) {
		for to := from + least; to <= n; to += step {
			if to > n-least {
				to = n
			}
			k := float64(to - from)
			if d := sums[to] - sums[from]; to-from <= n-least {
				if square := d * d / (k * (float64(n) - k)); square > best*(1+1e-12) {
					i, j, best = from, to, square
				}
			}
		}
	}
	return i, j, math.Sqrt(best / spread)
}

// next is the place after from at which a stretch may begin: at the start, or so
// far from it that the values before are a segment of their own.
func next(from, step, least int) int {
	if from == 0 {
		return max(step, least)
	}
	return from + step
}

// normalScores gives each value the quantile of the normal distribution at its
// rank over n+1, centred; ties share that of their mean rank.
func normalScores(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return values[order[i]] < values[order[j]] })
	scores := make([]float64, len(values))
	var sum float64
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		rank := float64(i+1+j) / 2
		score := math.Sqrt2 * math.Erfinv(2*rank/float64(len(values)+1)-1)
		for _, at := range order[i:j] {
			scores[at] = score
			sum += score
		}
		i = j
	}
	for i := range scores {
		scores[i] -= sum / float64(len(scores)) // ties take the balance away
	}
	return scores
}

// place moves a change to where the values fit the medians of its two sides best,
// by their absolute distances, until it stays. Scores tell that there is a
// change, not well where: they forget how far the values are apart.
func (c ChangeRule) place(values []float64, at int) int {
	least := max(1, c.MinLength)
	for range 10 {
		before, after := Median(values[:at]), Median(values[at:])
		// distance is that of all values for a change at i, less that for one at 0.
		best, distance, nearest := at, 0.0, math.Inf(1)
		for i, v := range values[:len(values)-least] {
			distance += math.Abs(v-before) - math.Abs(v-after)
			if i+1 >= least && distance < nearest {
				best, nearest = i+1, distance
			}
		}
		if best == at {
			break
		}
		at = best
	}
	return at
}

// relocate puts each change where it is most likely between its neighbours: the
// first ones were placed while the others were not known.
func (c ChangeRule) relocate(values []float64, cuts []int) []int {
	for i := range cuts {
		from, to := 0, len(values)
		if i > 0 {
			from = cuts[i-1]
		}
		if i+1 < len(cuts) {
			to = cuts[i+1]
		}
		cuts[i] = from + c.place(values[from:to], cuts[i]-from)
	}
	return cuts
}

// join makes segments, and one of any two neighbours that differ by less than
// the least effect, the most alike first.
func (c ChangeRule) join(values []float64, cuts []int) []Segment {
	for {
		bounds := append(append([]int{0}, cuts...), len(values))
		segments := make([]Segment, 0, len(bounds)-1)
		for i := range len(bounds) - 1 {
			segments = append(segments, Segment{bounds[i], bounds[i+1], Median(values[bounds[i]:bounds[i+1]])})
		}
		weakest, least := -1, c.MinEffect
		for i := range cuts {
			if e := effect(segments[i].Median, segments[i+1].Median); e < least {
				weakest, least = i, e
			}
		}
		if weakest < 0 {
			return segments
		}
		cuts = slices.Delete(cuts, weakest, weakest+1)
	}
}

// effect is how far two levels are apart, relative to the lower one, so that it
// is the same from either side.
func effect(a, b float64) float64 {
	low, high := math.Min(math.Abs(a), math.Abs(b)), math.Max(math.Abs(a), math.Abs(b))
	switch {
	case a == b:
		return 0
	case low == 0 || a*b < 0:
		return math.Inf(1)
	}
	return high/low - 1
}

// Median is the middle value, NaN of none.
func Median(values []float64) float64 {
	m, err := stats.Median(values)
	if err != nil {
		return math.NaN()
	}
	return m
}
