package scenarios

import (
	"time"

	"mslab/loadgen"
)

// Scenario is a scenario file as it was read: what to play, not yet how.
type Scenario struct {
	Name  string
	About string
	File  string // where it was read from, for messages

	// Subjects are in the order of the tables. A phase may be given twice, which
	// compares it with itself.
	Subjects []SubjectSpec
	Arms     []Arm // in the order of the file
	// Compare are the pairs to compare in ranked arms, base first, by the
	// subjects' names or the words that name their phases. Nil means each subject against the one before it; empty means
	// none.
	Compare [][2]string
	Probes  []string
	// Shows plays, instead of all subjects under each arm's load, each
	// neighbouring pair of them under the load that the newer one names.
	Shows bool
	// Namespace asks for a network namespace of the run's own.
	Namespace bool
	// Precision is the half-width that intervals are to reach in ranked arms
	// without a goal of their own, a fraction; 0 is no goal. Budget is the time
	// of the whole run under it, 0 for the default.
	Precision float64
	Budget    time.Duration
	// Assertions are judged over the finished run; see results.ParseAssertion.
	Assertions []string
}

// Arm is one way to play the subjects.
type Arm struct {
	Name  string
	About string
	// Overrides are server flags without their dashes, and their values, the
	// same for every subject.
	Overrides map[string]string
	// Sysctls are set in the run's own network namespace while the arm plays.
	Sysctls map[string]string
	// Steer handles received packets on the server's cores while the arm plays.
	Steer  bool
	Load   Load
	Blocks int
	Slices int // a subject's slices in a block
	Ranked bool
	// Precision and Budget are those of the arm alone.
	Precision float64
	Budget    time.Duration
	Faults    []Fault // in the order of time; each over before the next
}

// Load is what an arm offers.
type Load struct {
	Clients    []int // each number is a load of its own
	Connection loadgen.Connection
	// Connections are played instead of Connection where there are any, each a
	// load of its own.
	Connections []loadgen.Connection
	// Rates make the load an open loop at each, in requests a second, evenly
	// spaced; a load of its own each. Without any the loop is closed.
	Rates []float64
	// Slice is the length of a slice. It is not used where Duration, Requests or
	// RequestsPerClient bound the load, which then plays as one stretch.
	Slice             time.Duration
	Duration          time.Duration
	Requests          int64
	RequestsPerClient int64
	Think             time.Duration
	Deadline          time.Duration
	Timeout           time.Duration
	Warmup            time.Duration
	Seed              int64
	Metrics           int  // metrics a body
	SameClient        bool // all connections are one client to the limiter
}

// bounded says that the load has a bound of its own and plays as one stretch,
// not in slices.
func (l Load) bounded() bool { return l.bound() != "" }

// bound names what bounds a load that plays as one stretch, "" where it is
// sliced.
func (l Load) bound() string {
	switch {
	case l.Requests > 0 || l.RequestsPerClient > 0:
		return "requests"
	case l.Duration > 0:
		return "its duration"
	}
	return ""
}

const (
	// maxSlice is the longest slice: the machine's speed changes for tens of
	// seconds at a time, and slices must be short against that to cancel it.
	maxSlice = time.Second

	defaultBlocks = 10
	defaultSlices = 4
)

// defaultLoad is the load of a scenario that says nothing, and the base of one
// that says something.
func defaultLoad() Load {
	return Load{
		Clients:    []int{20},
		Connection: loadgen.New,
		Slice:      500 * time.Millisecond,
		Deadline:   250 * time.Millisecond,
		Timeout:    5 * time.Second,
		Warmup:     300 * time.Millisecond,
		Seed:       1,
		Metrics:    3,
	}
}

// isolatedArm compares the changes alone: a backlog that holds all clients, so
// that the kernel's SYN timer does not decide, and the limiter at work.
func isolatedArm() Arm {
	return Arm{
		Name:      "isolated",
		About:     "the change alone",
		Overrides: map[string]string{"listen": "backlog1024", "rate-limit": "10000"},
		Load:      defaultLoad(),
		Blocks:    defaultBlocks,
		Slices:    defaultSlices,
		Ranked:    true,
	}
}

// Default is what `mslab run` plays when phases are named and no scenario: the
// isolated arm, 10 blocks of 4 slices of 500 ms, 20 clients that connect anew
// for each request.
func Default() *Scenario {
	return &Scenario{
		Name:     "compare",
		About:    "The phases named, side by side: the change alone.",
		File:     "the default plan",
		Subjects: Phases("1", "2", "3", "4", "5", "6", "7"),
		Arms:     []Arm{isolatedArm()},
		Probes:   knownProbes(),
	}
}

// DefaultSubjects is Default for subjects that are given on the command line.
func DefaultSubjects() *Scenario {
	s := Default()
	s.Name, s.About = "subjects", "The subjects named, side by side."
	return s
}

// The probes that a scenario may name.
const (
	probeProc    = "proc"    // threads, context switches, memory: /proc and the kernel's accounting
	probeNetstat = "netstat" // accept queue overflows and SYN retransmits
	// probeSyscalls disturbs: it traces each subject of a ranked arm in a trial
	// of its own, after the arm's blocks.
	probeSyscalls = "syscalls"
)

func knownProbes() []string { return []string{probeProc, probeNetstat, probeSyscalls} }
