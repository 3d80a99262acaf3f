// Package scenarios joins subjects, load and probes into trials: it reads the
// YAML files that describe a run and plays them. It is the only package that
// starts a server under load.
//
// A run is a set of blocks. In a block every subject is started as a fresh
// process on cores of its own, warmed, and then loaded in short slices, one
// subject at a time, in an order in which the machine's changes of speed cancel
// between the subjects. After each slice the kernel and the server are asked
// what it cost; the answers are checked against what the generator counted.
package scenarios
