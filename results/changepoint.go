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
// The statistic of a place is the sum of the normal scores of the values before
// it, scaled by its permutation variance; that of a stretch is the largest over
// all its places, whose p-value is the share of random orders of the same values
// that reach it. This is a maximally selected rank statistic (Lausen and
// Schumacher 1992, "Maximally selected rank statistics", Biometrics 48) with the
// scores of van der Waerden. Scores by rank bound what one outlier can do, and
// the null distribution asks nothing of the values but that their order means
// nothing. Ranks as such would not do: their largest sum is too small to stand
// out where a change is close to either end, and that is where a warm-up is.
//
// Several changes are found by splitting at the largest and looking again on
// either side, as E-divisive does (Matteson and James 2014, "A nonparametric
// approach for multiple change point analysis of multivariate data"). Where
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
	cuts = c.relocate(values, cuts)
	return c.join(values, cuts)
}

// split appends the changes of values[from:to].
func (c ChangeRule) split(values []float64, from, to int, rng *rand.Rand, cuts []int) []int {
	at, significant := c.test(values[from:to], rng)
	if !significant {
		return cuts
	}
	cuts = append(cuts, from+at)
	cuts = c.split(values, from, from+at, rng, cuts)
	return c.split(values, from+at, to, rng, cuts)
}

// test looks for one change and says where it is most likely and whether it is
// one.
func (c ChangeRule) test(values []float64, rng *rand.Rand) (at int, significant bool) {
	scores := normalScores(values)
	at, observed := c.largest(scores)
	if at == 0 || observed == 0 {
		return 0, false
	}
	allowed := int(c.Alpha*(changeFolds+1)) - 1 // (hits+1)/(folds+1) <= alpha
	return c.place(values, at), c.reached(scores, observed, changeFolds, allowed, rng) <= allowed
}

// reached counts the random orders whose statistic is at least the observed one;
// more than enough is as good as all.
func (c ChangeRule) reached(scores []float64, observed float64, orders, enough int, rng *rand.Rand) int {
	hits := 0
	for range orders {
		rng.Shuffle(len(scores), func(i, j int) { scores[i], scores[j] = scores[j], scores[i] })
		if _, z := c.largest(scores); z >= observed*(1-1e-12) {
			if hits++; hits > enough {
				break
			}
		}
	}
	return hits
}

// largest is the place with the largest statistic, 0 where the series is too
// short to have one.
func (c ChangeRule) largest(scores []float64) (at int, z float64) {
	n, least := len(scores), max(1, c.MinLength)
	var sum, square float64
	for _, r := range scores {
		square += r * r
	}
	if n < 2*least || square == 0 {
		return 0, 0
	}
	// The variance of a sum of k of n values drawn without replacement.
	spread := square / float64(n) / float64(n-1)
	for k, r := range scores[:n-least] {
		sum += r
		if k+1 < least {
			continue
		}
		before := float64(k + 1)
		if s := math.Abs(sum) / math.Sqrt(spread*before*(float64(n)-before)); s > z*(1+1e-12) {
			at, z = k+1, s
		}
	}
	return at, z
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
		before, after := medianOf(values[:at]), medianOf(values[at:])
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
			segments = append(segments, Segment{bounds[i], bounds[i+1], medianOf(values[bounds[i]:bounds[i+1]])})
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

func medianOf(values []float64) float64 {
	m, err := stats.Median(values)
	if err != nil {
		return math.NaN()
	}
	return m
}
