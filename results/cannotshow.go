package results

import (
	"fmt"
	"math"
	"strings"
)

// cannotShowHere turns `too few to tell` into a verdict of its own where it is
// not for want of blocks: they were played, and their rates or latencies tell of
// something else than the subjects, such as the generator. It is never said of
// blocks that were not played, nor of trials that failed.
func (c *Comparison) cannotShowHere() {
	reasons := map[string]int{}
	most, unfit := "", 0
	for _, left := range c.LeftOut {
		_, why, found := strings.Cut(left, " not comparable: ")
		if !found {
			continue
		}
		// "the generator is the bottleneck: its thread ran …" tells its kind first.
		kind, _, _ := strings.Cut(firstReason(why), ": ")
		kind = figures.ReplaceAllString(kind, "#")
		unfit++
		if reasons[kind]++; reasons[kind] > reasons[most] || most == "" {
			most = kind
		}
	}
	if c.Verdict != TooFew || unfit == 0 || c.Blocks+unfit < c.BlocksNeeded {
		return
	}
	nan := Number(math.NaN())
	c.Ratio, c.CILow, c.CIHigh, c.MinDetectable = nan, nan, nan, nan
	c.Verdict = Verdict(fmt.Sprintf("%s (%s in %d of %d blocks)", CannotShow, strings.ReplaceAll(most, "#", "…"), reasons[most], c.Blocks+len(c.LeftOut)))
}
