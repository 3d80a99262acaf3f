package scenarios

import "math/rand/v2"

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

// orderSource makes the orders of a run from its seed.
func orderSource(seed int64) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(seed), 0x6f72646572)) // "order"
}
