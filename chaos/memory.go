package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// The ways of the memory fault.
const (
	modeSqueeze = "squeeze" // a limit around a process that runs
	modeHog     = "hog"     // a child that allocates until the OOM killer ends it
)

// What happens to a squeezed process that can get no more memory.
const (
	// oomPause lets it wait until it is healed. In version 1 that holds for memory
	// that it touches; a system call that needs some fails (ENOMEM), which a
	// program may not survive: the runtime of Go ends it where it can make no
	// thread.
	oomPause = "pause"
	oomKill  = "kill" // the OOM killer ends it
)

// memory is the fault that takes memory away. A squeeze puts a process into a
// cgroup of its own with a limit near what it uses; a hog is a child of this
// program in a cgroup of its own, which allocates until it is killed.
func memory() Fault {
	return Fault{
		Name:  "memory",
		About: "a server short of memory (squeeze), or a child killed by the OOM killer (hog)",
		Needs: "root, or a delegated cgroup; the memory controller of cgroup v1 or v2",
		Options: []Option{
			{Name: "mode", Default: modeSqueeze, Values: []string{modeSqueeze, modeHog},
				About: "squeeze: limit a process that runs; hog: a child allocates in a limited group"},
			{Name: "limit", About: "limit of the group, as 64MiB (default of squeeze: usage plus headroom; of hog: 64MiB)"},
			{Name: "headroom", Default: "4MiB", About: "squeeze: what the process may take beyond what its group holds"},
			{Name: "oom", Default: oomPause, Values: []string{oomPause, oomKill},
				About: "squeeze: a process that can get no memory waits until healed (pause), or is killed"},
			{Name: "blocks", Default: "1000", About: "hog: how many blocks it asks for, 1 to 1000000"},
			{Name: "block-size", Default: "10MiB", About: "hog: size of a block"},
		},
		System:  true,
		Aims:    aimOfMemory,
		Check:   func(s Spec) error { _, err := memoryAsked(s); return err },
		Plan:    planMemory,
		Try:     tryMemory,
		prepare: prepareMemory,
		inject:  injectMemory,
		verify:  verifyMemory,
		observe: observeMemory,
		undo:    undoMemory,
		settle:  settleMemory,
		sweep:   sweepMemory,
	}
}

func aimOfMemory(options map[string]string) Aim {
	if options["mode"] == modeHog {
		return AimNone
	}
	return AimProcess
}

// memorySpec is a spec of the memory fault, read.
type memorySpec struct {
	hog       bool
	pause     bool
	limit     int64 // bytes; 0 is usage plus headroom
	headroom  int64 // bytes
	blocks    int
	blockSize int64 // bytes
}

const (
	hogLimit = 64 << 20
	// leastLimit is what the runtime of a Go program needs at least, in bytes,
	// before it is of any use to limit it.
	leastLimit = 64 << 10
	maxBlocks  = 1_000_000
	maxSize    = int64(1) << 46 // more memory than any machine has, in bytes
)

// memoryAsked reads the options. Its errors are ErrUsage.
func memoryAsked(s Spec) (memorySpec, error) {
	m := memorySpec{hog: s.Options["mode"] == modeHog, pause: s.Options["oom"] != oomKill}
	if err := m.readSizes(s.Options); err != nil {
		return m, err
	}
	blocks, err := strconv.Atoi(s.Options["blocks"])
	if err != nil || blocks < 1 || blocks > maxBlocks {
		return m, usagef("memory: blocks %q: want 1 to %d", s.Options["blocks"], maxBlocks)
	}
	m.blocks = blocks
	if m.hog {
		return m, m.checkHog(s)
	}
	return m, m.checkSqueeze(s)
}

func (m *memorySpec) readSizes(options map[string]string) error {
	for _, size := range []struct {
		name  string
		into  *int64
		least int64
	}{
		{"limit", &m.limit, leastLimit}, {"headroom", &m.headroom, 0}, {"block-size", &m.blockSize, 1},
	} {
		text := options[size.name]
		if text == "" && size.name == "limit" {
			continue
		}
		bytes, err := parseSize(text)
		if err != nil {
			return usagef("memory: %s: %w", size.name, err)
		}
		if bytes < size.least || bytes > maxSize {
			return usagef("memory: %s of %s: want %s to %s", size.name, text, formatSize(size.least), formatSize(maxSize))
		}
		*size.into = bytes
	}
	return nil
}

func (m *memorySpec) checkHog(s Spec) error {
	if s.Target.PID != 0 {
		return usagef("memory: mode hog takes no process: its target is a child of its own")
	}
	if m.limit == 0 {
		m.limit = hogLimit
	}
	// The touched pages alone must not fit: nothing else is known to fill them.
	if int64(m.blocks) <= m.limit/m.blockSize {
		return usagef("memory: %d blocks of %s fit into a limit of %s, so that nothing would come of it; ask for more blocks",
			m.blocks, formatSize(m.blockSize), formatSize(m.limit))
	}
	return nil
}

func (m *memorySpec) checkSqueeze(s Spec) error {
	if s.Target.PID == 0 {
		return usagef("memory: mode squeeze wants a process; give the id of a server, or use mode hog")
	}
	if s.Target.PID == 1 {
		return usagef("memory: process 1 holds the system together; give the id of a server")
	}
	return nil
}

// memoryState is what the journal holds of a group, to take it back.
type memoryState struct {
	group  memoryGroup
	former string // folder of the process' group before; "" where the group's processes are ours to kill
}

func (s memoryState) write(to map[string]string) {
	to["cgroup_version"] = strconv.Itoa(s.group.files.version)
	to["cgroup"] = s.group.dir
	if s.former != "" {
		to["former_cgroup"] = s.former
	}
}

// readMemoryState reads the state of an entry. Only the processes of a hog may
// have nowhere to go.
func readMemoryState(e Entry) (memoryState, error) {
	s := memoryState{memoryGroup{dir: e.State["cgroup"]}, e.State["former_cgroup"]}
	switch e.State["cgroup_version"] {
	case "1":
		s.group.files = memoryV1
	case "2":
		s.group.files = memoryV2
	default:
		return s, fmt.Errorf("read the journal's state: cgroup version %q is neither 1 nor 2", e.State["cgroup_version"])
	}
	if s.group.dir == "" || (s.former == "") != (e.Options["mode"] == modeHog) {
		return s, errors.New("read the journal's state: a cgroup is missing")
	}
	around := filepath.Dir(s.group.dir)
	if filepath.Base(s.group.dir) != markOf(e.ID) || s.former != "" && s.former != around && filepath.Dir(s.former) != around {
		return s, fmt.Errorf("read the journal's state: %s is no cgroup of this entry", s.group.dir)
	}
	return s, nil
}

// live is what the memory fault holds while it lasts.
type liveMemory interface {
	// verify tells whether the fault bit.
	verify(context.Context) (bool, []Fact, error)
	// observe tells what came of it, right before it is healed.
	observe() (reached bool, facts []Fact)
	// settle tells what came of it once it is healed.
	settle(context.Context) []Fact
	// stop ends whatever runs for it and waits for that. It may be called again.
	stop() error
}

func verifyMemory(ctx context.Context, w *work) (bool, []Fact, error) {
	live, ok := w.live.(liveMemory)
	if !ok {
		return false, nil, errors.New("verify memory: nothing was injected")
	}
	return live.verify(ctx)
}

func observeMemory(_ context.Context, w *work) []Fact {
	live, ok := w.live.(liveMemory)
	if !ok {
		return nil
	}
	reached, facts := live.observe()
	w.missed = !reached
	return facts
}

func settleMemory(ctx context.Context, w *work) []Fact {
	live, ok := w.live.(liveMemory)
	if !ok {
		return nil
	}
	return live.settle(ctx)
}

// seconds writes a duration as a number of seconds with three digits.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) + " s" }

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return strconv.FormatInt(n, 10) + " times"
}
