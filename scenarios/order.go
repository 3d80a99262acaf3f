package scenarios

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// order returns who plays when in one block: each of n subjects once a round,
// as indices. The first round is a random permutation and the next its reverse,
// so that every subject has the same mean position and a steady drift of the
// machine's speed cancels; for two subjects that is ABBA or BAAB. A last odd
// round is a permutation of its own.
func order(rng *rand.Rand, n, rounds int) []int {
	played := make([]int, 0, n*rounds)
	var last []int
	for round := range rounds {
		if round%2 == 0 {
			last = rng.Perm(n)
			played = append(played, last...)
			continue
		}
		for i := range last {
			played = append(played, last[n-1-i])
		}
	}
	return played
}

// orderSource makes the order of one block under one load. It depends on the
// run's seed and on which block it is alone, so that a block that is played
// anew, or after a pause, has the order that it would have had.
func orderSource(seed int64, arm string, block, load int) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "order\x00%s\x00%d\x00%d", arm, block, load)
	return rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
}
