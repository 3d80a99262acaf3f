package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// tryMemory looks whether a group could be made below this process' own.
func tryMemory(context.Context, Spec) error {
	_, _, err := chooseGroup(os.Getpid(), "try")
	return err
}

// place finds the group for a spec, and where its processes go afterwards.
func place(s Spec, m memorySpec, id string) (memoryState, error) {
	if m.hog {
		group, _, err := chooseGroup(os.Getpid(), id)
		if err == nil {
			err = checkRoom(group, m.limit)
		}
		return memoryState{group: group}, err
	}
	if err := guardProcess(s.Target.PID); err != nil {
		return memoryState{}, err
	}
	group, former, err := chooseGroup(s.Target.PID, id)
	if err != nil {
		return memoryState{}, err
	}
	// An injection with another journal, or of its parent: groups in each other
	// could not be taken back one by one.
	if name, ours := strings.CutPrefix(filepath.Base(former), markOf("")); ours && validID.MatchString(name) {
		return memoryState{}, usagef("squeeze process %d: it is in cgroup %s of another injection; wait until that is healed", s.Target.PID, former)
	}
	return memoryState{group, former}, nil
}

// reserve is what a hog leaves to everybody else, in bytes.
const reserve = 32 << 20

// checkRoom tells whether a hog reaches its own limit before it reaches one
// around it, whose OOM killer would choose among others too.
func checkRoom(group memoryGroup, limit int64) error {
	left, whose := group.left(), "the limits of the cgroups around it leave"
	if proc, err := procfs.NewDefaultFS(); err == nil {
		if info, err := proc.Meminfo(); err == nil && info.MemAvailableBytes != nil && int64(*info.MemAvailableBytes) < left {
			left, whose = int64(*info.MemAvailableBytes), "the machine has"
		}
	}
	if limit > left-reserve {
		return fmt.Errorf("limit a hog to %s: %s %s, and %s of that is for others; give a lower limit",
			formatSize(limit), whose, formatSize(left), formatSize(reserve))
	}
	return nil
}

func prepareMemory(_ context.Context, w *work) error {
	m, err := memoryAsked(w.Spec)
	if err != nil {
		return err
	}
	state, err := place(w.Spec, m, w.ID)
	if err != nil {
		return err
	}
	state.write(w.State)
	return nil
}

func injectMemory(ctx context.Context, w *work) error {
	m, err := memoryAsked(w.Spec)
	if err != nil {
		return err
	}
	state, err := readMemoryState(w.Entry)
	if err != nil {
		return err
	}
	w.via = "cgroup v" + strconv.Itoa(state.group.files.version)
	if m.hog {
		return injectHog(ctx, w, m, state.group)
	}
	return injectSqueeze(w, m, state)
}

// undoMemory lifts the limits, which is the moment at which the fault is over,
// then gives the processes back and removes the group.
func undoMemory(_ context.Context, w *work) error {
	state, err := readMemoryState(w.Entry)
	if err != nil {
		return err
	}
	var stopped error
	if live, ok := w.live.(liveMemory); ok {
		stopped = live.stop()
	}
	there, err := state.group.ours()
	if err != nil {
		return errors.Join(stopped, err)
	}
	var lifted error
	_ = w.effect(func() error {
		if there {
			lifted = state.group.lift()
		}
		return nil
	})
	if !there {
		return stopped
	}
	return errors.Join(stopped, state.group.remove(state.former, lifted))
}

// sweepMemory finds the group of an entry that cannot be read. Its processes go
// to the group around it.
func sweepMemory(_ context.Context, id string) error {
	mounts, err := procfs.GetMounts()
	if err != nil {
		return fmt.Errorf("look for cgroups: %w", err)
	}
	var swept error
	for _, m := range mounts {
		if _, memory := m.SuperOptions["memory"]; m.FSType != "cgroup2" && (m.FSType != "cgroup" || !memory) {
			continue
		}
		files := memoryV1
		if m.FSType == "cgroup2" {
			files = memoryV2
		}
		swept = errors.Join(swept, filepath.WalkDir(m.MountPoint, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil // a group that has just gone, or a file of one
			}
			if d.Name() != markOf(id) {
				return nil
			}
			if err := (memoryGroup{files, path}).dissolve(filepath.Dir(path)); err != nil {
				return err
			}
			return fs.SkipDir
		}))
	}
	return swept
}

// planMemory is the dry run.
func planMemory(_ context.Context, s Spec) (Plan, error) {
	m, err := memoryAsked(s)
	if err != nil {
		return Plan{}, err
	}
	state, err := place(s, m, "ID")
	if err != nil {
		return Plan{}, err
	}
	if m.hog {
		return planHog(m, state.group), nil
	}
	return planSqueeze(s, m, state), nil
}

// planned are the lines of a plan as a shell takes them, in the folder around the
// group.
type planned struct {
	group memoryGroup
	lines []string
}

func plan(group memoryGroup) *planned {
	return &planned{group, []string{"cd " + filepath.Dir(group.dir)}}
}

// echo writes a value to a file of the group.
func (p *planned) echo(value, file string) {
	p.lines = append(p.lines, "echo "+value+" > "+filepath.Join(filepath.Base(p.group.dir), file))
}

func (p *planned) add(line string) { p.lines = append(p.lines, line) }

func (p *planned) mkdir() { p.add("mkdir " + filepath.Base(p.group.dir)) }
func (p *planned) rmdir() { p.add("rmdir " + filepath.Base(p.group.dir)) }

// lift is what memoryGroup.lift does.
func (p *planned) lift() {
	files := p.group.files
	p.echo(files.none, files.limit)
	if files.version == 1 {
		p.echo("0", "memory.oom_control")
		return
	}
	p.echo(files.none, files.soft)
}
