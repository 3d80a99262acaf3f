//go:build race

package report

// raceFactor is how many times fewer trials the long tests have under the race
// detector, which makes their work so much slower.
const raceFactor = 10
