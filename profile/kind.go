// Package profile captures profiles of a running server from its admin address,
// shows them by function and request, and says what taking them cost. The
// format is pprof's throughout, so that any tool that knows it goes on from
// there.
package profile

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is one kind of profile.
type Kind struct {
	Name  string
	About string // what it shows, one line

	path   string // below the admin address
	sample string // name of the sample type that the table shows
	unit   string // of its values: ns, bytes, or "" for a count
	how    how
	cum    bool // ordered by cum: the leaf is always one of the runtime's
	// note is what a reader must know about every profile of this kind.
	note string
}

// how a kind is captured.
type how int

const (
	sampled how = iota // of a stretch of time, made by the server
	delta              // likewise, as the difference of two moments; whole seconds
	twice              // of the last moment, and how it grew since the first
	once               // of one moment
)

// Moment tells whether the kind is of one moment and has no duration.
func (k Kind) Moment() bool { return k.how == once }

// WholeSeconds tells whether the kind is taken for whole seconds only.
func (k Kind) WholeSeconds() bool { return k.how == delta }

// costly tells whether taking the kind switches something on in the server.
func (k Kind) costly() bool { return k.how == sampled || k.Name == "mutex" || k.Name == "block" }

// Kinds lists the kinds in the order of the help text.
func Kinds() []Kind {
	return []Kind{
		{Name: "cpu", About: "where processor time goes", path: "profile", sample: "cpu", unit: unitNS, how: sampled},
		{Name: "heap", About: "what is in use after a garbage collection, and how it grew",
			path: "heap", sample: "inuse_space", unit: unitBytes, how: twice,
			note: "One allocation in 512 KiB is sampled: small heaps give few samples."},
		{Name: "allocs", About: "what is allocated, freed since or not", path: "allocs", sample: "alloc_space", unit: unitBytes, how: delta,
			note: "One allocation in 512 KiB is sampled, as in every Go process: what that costs is in every figure of the server and is not known apart."},
		{Name: "mutex", About: "what goroutines waited for at locks, by who held them", path: "mutex", sample: "delay", unit: unitNS, how: delta, cum: true,
			note: "Each contended unlock was noted, and only during this time."},
		{Name: "block", About: "where goroutines waited for locks, channels and conditions", path: "block", sample: "delay", unit: unitNS, how: delta, cum: true,
			note: "Waits from 10µs on were noted, shorter ones in proportion, and only during this time. Waits inside system calls (accept, read, write) are in no block profile."},
		{Name: "goroutine", About: "where all goroutines are at one moment", path: "goroutine", sample: "goroutine", how: once, cum: true},
		{Name: "threadcreate", About: "what made the threads that there have been", path: "threadcreate", sample: "threadcreate", how: once, cum: true,
			note: "The runtime makes most threads where no stack is known; such threads are counted in no function."},
	}
}

const (
	unitNS    = "ns"
	unitBytes = "bytes"
)

// Names lists the kinds by name.
func Names() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// FindKind finds a kind by its name. The error lists those there are.
func FindKind(name string) (Kind, error) {
	kinds := Kinds()
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, fmt.Errorf("find profile %q: no such kind; there are %s", name, strings.Join(Names(), ", "))
	}
	return kinds[i], nil
}
