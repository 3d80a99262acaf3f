package scenarios

import (
	"time"

	"mslab/loadgen"
	"mslab/results"
	"mslab/results/record"
)

// Event is a step of a run, told while it is played. It is one of RunBegun,
// BlockBegun, Warming, SliceBegun, Sample, SliceEnded, FaultBegun, FaultEnded,
// TrialKept, BlockEnded, Tracing, ArmTraced, Noted and RunEnded, in the order in
// which these happen. Samples and faults come between SliceBegun and SliceEnded.
type Event interface{ isEvent() }

// RunBegun comes first.
type RunBegun struct {
	Plan     *results.Plan // must not be changed
	Expected time.Duration // of the whole run
	Notes    []string      // of the plan
}

// Place says where a run is: a load of an arm, in a block.
type Place struct {
	Arm           string
	Load          int // index in the arm's loads
	Block, Blocks int // Block counts from 1
}

// BlockBegun says that the subjects are being started for a load of a block.
type BlockBegun struct {
	Place
	Left time.Duration // estimated, until the end of the run
}

// Warming says that a subject is loaded before it is measured.
type Warming struct {
	Subject string
}

// SliceBegun says that a subject is about to be measured.
type SliceBegun struct {
	Place
	Subject       string
	Slice, Slices int           // of this subject; Slice counts from 1
	Expected      time.Duration // of the slice
	Left          time.Duration
}

// Sample is a glance at the load of the slice that is being played.
type Sample struct {
	loadgen.Progress
}

// SliceEnded is what a slice measured. Where the server was lost under it, Lost
// says how, and there may be no figures.
type SliceEnded struct {
	Place
	Subject string
	Slice   record.Slice
	Counts  record.Counts
	Lost    string
}

// FaultBegun says that a fault has taken effect, FaultEnded that it is healed,
// or why not.
type FaultBegun struct {
	Name string
	For  time.Duration
}

// FaultEnded belongs to the FaultBegun before it.
type FaultEnded struct {
	Name  string
	Error string
}

// TrialKept is what all slices of a subject in a block came to, as it is stored.
type TrialKept struct {
	Place
	Trial *record.Record // must not be changed
}

// BlockEnded says that all loads of a block are over.
type BlockEnded struct {
	Place
	Left time.Duration
}

// Tracing says that a subject's system calls are being counted.
type Tracing struct {
	Arm, Subject string
	Left         time.Duration
}

// ArmTraced says that an arm's traced trials are over.
type ArmTraced struct {
	Arm     string
	Counted int    // subjects whose system calls were counted
	Why     string // why none can be; "" where they can
	Left    time.Duration
}

// Noted is a sentence that will stand under the run's tables.
type Noted struct {
	Text string
}

// RunEnded comes last.
type RunEnded struct {
	Complete bool
}

func (RunBegun) isEvent()   {}
func (BlockBegun) isEvent() {}
func (Warming) isEvent()    {}
func (SliceBegun) isEvent() {}
func (Sample) isEvent()     {}
func (SliceEnded) isEvent() {}
func (FaultBegun) isEvent() {}
func (FaultEnded) isEvent() {}
func (TrialKept) isEvent()  {}
func (BlockEnded) isEvent() {}
func (Tracing) isEvent()    {}
func (ArmTraced) isEvent()  {}
func (Noted) isEvent()      {}
func (RunEnded) isEvent()   {}
