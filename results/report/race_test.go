//go:build race

package report

// raceFactor is how much longer the race detector's code may take.
const raceFactor = 10
