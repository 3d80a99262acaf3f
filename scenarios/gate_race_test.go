//go:build race

package scenarios

// underRace says that the race detector makes everything many times slower.
const underRace = true
