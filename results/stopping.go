package results

import (
	"fmt"
	"math"
	"time"
)

const (
	// firstLook is the fewest blocks of a run that has a precision to reach.
	firstLook = 10
	// MaxBlocks ends a run whose noise no number of blocks would overcome in
	// reasonable time: the width falls with the root of their number only.
	MaxBlocks = 500
	// blindTo is how far from zero, in half-widths, a mean is hidden from the
	// stopping rule; see blindHalfWidth.
	blindTo = 1.25
	// nearGoal is how near, in goals, an interval by Student's t comes before the
	// one that decides is looked at.
	nearGoal = 1.1
)

// LeastBlocks returns the fewest blocks of a run with a precision to reach that
// shows pairs comparisons together: 10, or as many as a verdict needs.
func LeastBlocks(pairs int) int { return max(BlocksNeeded(pairs), firstLook) }

// StopReason says why no more blocks were added.
type StopReason string

// The reasons to stop adding blocks.
const (
	StopPrecision StopReason = "precision" // the goal is met
	StopBudget    StopReason = "budget"    // one more block would exceed the time
	StopBlocks    StopReason = "blocks"    // MaxBlocks
)

// Stopped is how an arm with a precision to reach ended.
type Stopped struct {
	Arm    string     `json:"arm"`
	Why    StopReason `json:"why"`
	Blocks int        `json:"blocks"`
	Goal   float64    `json:"precision_goal"` // as a fraction: 0.01 is 1 %
	// HalfWidth is that of the widest 95 % interval of CPU per request, a
	// fraction of its ratio, and A and B the pair that has it. Null where a pair
	// has no interval with two ends.
	HalfWidth Number `json:"half_width"`
	A         string `json:"a"`
	B         string `json:"b"`
	Load      string `json:"load,omitempty"` // where the arm has several
}

// String says it in a sentence.
func (s Stopped) String() string {
	reached := "no interval of " + s.B + " against " + s.A + " yet"
	if w := float64(s.HalfWidth); !math.IsNaN(w) && !math.IsInf(w, 0) {
		reached = fmt.Sprintf("the widest interval, of %s against %s, is ±%s of its ratio", s.B, s.A, percent(w))
	}
	if s.Load != "" {
		reached += " (" + s.Load + ")"
	}
	goal := fmt.Sprintf("the goal of ±%s", percent(s.Goal))
	switch s.Why {
	case StopPrecision:
		return fmt.Sprintf("Stopped after %d blocks, at %s: %s.", s.Blocks, goal, reached)
	case StopBudget:
		return fmt.Sprintf("Stopped after %d blocks, the budget of time being spent, short of %s: %s.", s.Blocks, goal, reached)
	}
	return fmt.Sprintf("Stopped after %d blocks, the most that are played, short of %s: %s.", s.Blocks, goal, reached)
}

// StoppedOf finds how an arm with a precision to reach ended.
func (r *Run) StoppedOf(arm string) (Stopped, bool) {
	for _, s := range r.Stopped {
		if s.Arm == arm {
			return s, true
		}
	}
	return Stopped{}, false
}

// Next is what the stopping rule says of an arm after a block.
type Next struct {
	// Stop says that no block is to be added; Stopped tells why.
	Stop    bool
	Stopped Stopped
	// Expected is about how many blocks there will be in all.
	Expected int
}

// NextBlock is the stopping rule, and the only one: it decides from what an arm
// with a precision to reach has played so far whether another block is added.
//
// It looks after every block from the arm's least number on, at the interval of
// the decision rule of every pair under every load, and stops once the widest
// one's half-width meets the goal, once one more block, at the mean time of
// those so far, would exceed the budget, or at MaxBlocks. It never looks at a p
// value, and what it sees of the width hides which way the values lie: see
// blindHalfWidth. Blocks that were cut short or hold a trial that cannot be
// used count for the time, not for the width.
func NextBlock(run *Run, armName string) (Next, error) {
	arm, ok := run.Plan.Arm(armName)
	if !ok {
		return Next{}, fmt.Errorf("decide on another block: the run has no arm %q", armName)
	}
	blocks, spent := run.played(arm)
	pairs, err := compared(run, arm)
	if err != nil {
		return Next{}, err
	}
	n := Next{Expected: expectedBlocks(arm, blocks, spent, pairs)}
	var why StopReason
	switch {
	case blocks < arm.Blocks:
	case allMeet(pairs, math.Log1p(arm.PrecisionGoal)):
		why = StopPrecision
	case arm.BudgetS > 0 && spent+meanBlock(blocks, spent) > arm.BudgetS:
		why = StopBudget
	case blocks >= max(MaxBlocks, arm.Blocks):
		why = StopBlocks
	}
	if why != "" {
		n.Stop, n.Stopped = true, widestOf(pairs)
		n.Stopped.Arm, n.Stopped.Why, n.Stopped.Blocks, n.Stopped.Goal = arm.Name, why, blocks, arm.PrecisionGoal
	}
	return n, nil
}

// played counts the blocks that are over under every load, and the seconds that
// were spent on them.
func (r *Run) played(arm ArmPlan) (blocks int, seconds float64) {
	loads := map[int]int{}
	for _, p := range r.Order {
		if p.Arm == arm.Name {
			loads[p.Block]++
			seconds += p.TookS
		}
	}
	for _, n := range loads {
		if n >= max(1, len(arm.Loads)) {
			blocks++
		}
	}
	return blocks, seconds
}

func meanBlock(blocks int, seconds float64) float64 {
	return seconds / math.Max(1, float64(blocks))
}

// expectedBlocks extrapolates from the widths of normal intervals: they fall
// with the root of the number of blocks.
func expectedBlocks(arm ArmPlan, blocks int, spent float64, pairs []comparedPair) int {
	expected := float64(blocks)
	for _, p := range pairs {
		ratio := normalHalfWidth(p.values) / math.Log1p(arm.PrecisionGoal)
		expected = math.Max(expected, math.Ceil(float64(blocks)*ratio*ratio))
	}
	expected = math.Min(expected, float64(max(MaxBlocks, arm.Blocks)))
	if mean := meanBlock(blocks, spent); arm.BudgetS > 0 && mean > 0 {
		expected = math.Min(expected, math.Floor(arm.BudgetS/mean))
	}
	return max(arm.Blocks, blocks, int(expected))
}

// normalHalfWidth is that of the interval of a mean by Student's t, infinite
// with fewer than two values.
func normalHalfWidth(values []float64) float64 {
	n := len(values)
	if n < 2 {
		return math.Inf(1)
	}
	return tQuantile(1-Alpha/2, n-1) * SampleSD(values) / math.Sqrt(float64(n))
}

// comparedPair is a comparison of an arm and its blocks' mean log ratios of CPU
// per request.
type comparedPair struct {
	pair   PairPlan
	load   string
	values []float64
}

func compared(run *Run, arm ArmPlan) ([]comparedPair, error) {
	cpu, err := parseMetric(MetricCPU)
	if err != nil {
		return nil, err
	}
	trials := indexTrials(run)
	var out []comparedPair
	for load := range max(1, len(arm.Loads)) {
		for _, p := range arm.Pairs {
			if p.CannotShow != "" {
				continue
			}
			c, values, err := collect(run, trials, cpu, Pair{arm.Name, load, p})
			if err != nil {
				return nil, err
			}
			out = append(out, comparedPair{p, c.Load, values})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("decide on another block: arm %q compares nothing", arm.Name)
	}
	return out, nil
}

func allMeet(pairs []comparedPair, goal float64) bool {
	for _, p := range pairs {
		if !meets(p.values, goal) {
			return false
		}
	}
	return true
}

// meets says whether the half-width, as the stopping rule sees it, is at most
// goal, both in log ratios. The interval by inversion takes long to find where
// blocks are many, so it is found only where that by Student's t is near: a run
// whose interval by inversion is narrow and the other one is not goes on.
func meets(values []float64, goal float64) bool {
	if normalHalfWidth(values) > nearGoal*goal {
		return false
	}
	_, blind := blindHalfWidth(values)
	return blind <= goal
}

// widestOf finds the pair with the widest interval.
func widestOf(pairs []comparedPair) Stopped {
	var s Stopped
	widest := math.Inf(-1)
	for _, p := range pairs {
		if half, _ := blindHalfWidth(p.values); half > widest {
			widest = half
			s = Stopped{HalfWidth: Number(math.Expm1(half)), A: p.pair.A, B: p.pair.B, Load: p.load}
		}
	}
	return s
}

// blindHalfWidth returns half the length of the interval of the decision rule,
// and the same as the stopping rule sees it. Both are infinite where the values
// are too few for an interval.
//
// Who stops when an interval is narrow stops too early more often than too late:
// under the null hypothesis, of all the ways in which the signs of the same
// values can fall, those with a mean far from zero have the smaller spread about
// that mean, and are stopped at. With a goal that takes 10 to 30 blocks 6.9 % of
// the stopped runs reject where 5 % are promised. A sign-flip test keeps its
// level under any stopping rule that does not depend on the signs, since given
// the stop they are still those of fair coins. So the spread is taken about
// zero, not about the mean: with c the mean's distance from zero and s² the
// spread about it, the width grows by √(1 + c²/s²). That would never let a run
// end whose effect is large, so c is bounded by 1.25 half-widths: means beyond
// are rejected anyway, wherever the run stops.
func blindHalfWidth(values []float64) (half, blind float64) {
	low, high := quickInterval(values)
	half = (high - low) / 2
	if math.IsInf(half, 0) || math.IsNaN(half) {
		return math.Inf(1), math.Inf(1)
	}
	n, s := float64(len(values)), SampleSD(values)
	spread := s * s * (n - 1) / n
	if spread == 0 {
		return half, half
	}
	c := math.Min(math.Abs(Mean(values)), blindTo*half)
	return half, half * math.Sqrt(1+c*c/spread)
}

// quickTo is how near quickInterval comes to each end, in standard errors.
const quickTo = 1e-3

// quickInterval is SignFlipInterval to within 0.001 standard errors, outwards: a
// run looks at it after every block.
func quickInterval(values []float64) (low, high float64) {
	n := len(values)
	se := SampleSD(values) / math.Sqrt(float64(n))
	if n > exactBlocks || n < MinBlocks || se == 0 {
		return SignFlipInterval(values)
	}
	mean := Mean(values)
	return mean - quickEnd(values, mean, -se), mean + quickEnd(values, mean, se)
}

// quickEnd finds how far from the mean, towards the sign of se, the first shift
// is that the sign-flip test rejects. The normal quantile of p grows about
// linearly with the distance, so that a few tests come close, and one to either
// side of the guess bounds it.
func quickEnd(values []float64, mean, se float64) float64 {
	shifted := make([]float64, len(values))
	side, step := math.Copysign(1, se), quickTo*math.Abs(se)
	accepted, rejected := 0.0, math.Inf(1)
	target := math.Erfinv(1 - Alpha)
	at := tQuantile(1-Alpha/2, len(values)-1) * math.Abs(se)
	for tries := 0; rejected-accepted > step; tries++ {
		for i, v := range values {
			shifted[i] = v - mean - side*at
		}
		p := SignFlipP(shifted)
		guess := at * target / math.Erfinv(1-p)
		if p < Alpha {
			rejected = at
			at = guess - 0.4*step
		} else {
			accepted = at
			at = guess + 0.4*step
		}
		if !(at > accepted && at < rejected) || tries > 8 {
			at = accepted + (rejected-accepted)/2
		}
		if math.IsInf(at, 1) {
			at = 2*accepted + step
		}
	}
	return rejected
}

// Budget is the time that the plan gives an arm with a precision to reach; 0 is
// no bound.
func (a ArmPlan) Budget() time.Duration {
	return time.Duration(a.BudgetS * float64(time.Second))
}
