package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// rightsFix says how to get a group that may be divided.
const rightsFix = "run mslab with sudo, or by systemd-run --user --scope -p Delegate=yes"

// memoryGroup is a group of ours, or one that is going to be.
type memoryGroup struct {
	files memoryFiles
	dir   string
}

// chooseGroup finds where a group of ours can hold the process, and the folder of
// the process' present group. It only reads, so that what it finds can be written
// down before anything is made.
func chooseGroup(pid int, id string) (group memoryGroup, former string, err error) {
	mounts, err := procfs.GetMounts()
	if err != nil {
		return memoryGroup{}, "", fmt.Errorf("find the memory controller: %w", err)
	}
	process, err := procfs.NewProc(pid)
	if err != nil {
		return memoryGroup{}, "", fmt.Errorf("find the group of process %d: %w", pid, cause(err))
	}
	groups, err := process.Cgroups()
	if err != nil {
		return memoryGroup{}, "", fmt.Errorf("find the group of process %d: %w", pid, cause(err))
	}
	found, reasons := hierarchiesOf(mounts, groups)
	for _, h := range found {
		for _, parent := range h.parents() {
			if err := usable(h.files, parent); err != nil {
				reasons = append(reasons, err)
				continue
			}
			return memoryGroup{h.files, filepath.Join(parent, markOf(id))}, h.group, nil
		}
	}
	return memoryGroup{}, "", missingController(reasons)
}

// usable tells whether a group can be made below parent that has limits.
func usable(files memoryFiles, parent string) error {
	if err := mayWrite(parent, files.version); err != nil {
		return err
	}
	if files.version == 1 {
		return nil
	}
	control, err := os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
	if err != nil {
		return fmt.Errorf("cgroup v2: read cgroup.subtree_control of %s: %w", parent, cause(err))
	}
	if !handsDown(string(control)) {
		return fmt.Errorf("cgroup v2: %s does not hand the memory controller down (cgroup.subtree_control)", parent)
	}
	return nil
}

func mayWrite(parent string, version int) error {
	for _, path := range []string{parent, filepath.Join(parent, "cgroup.procs")} {
		if err := unix.Access(path, unix.W_OK); err != nil {
			return fmt.Errorf("cgroup v%d: write in %s: %w", version, path, err)
		}
	}
	return nil
}

// missingController joins the reasons into the one line that says what is
// missing and what to do.
func missingController(reasons []error) error {
	var lines []string
	for _, r := range reasons {
		if !slices.Contains(lines, r.Error()) {
			lines = append(lines, r.Error())
		}
	}
	fix := "hand the memory controller down (echo +memory > cgroup.subtree_control), or use a kernel with CONFIG_MEMCG"
	switch joined := errors.Join(reasons...); {
	case errors.Is(joined, unix.EROFS):
		fix = "run outside of the container, or mount /sys/fs/cgroup writable in it"
	case errors.Is(joined, fs.ErrPermission):
		fix = rightsFix
	}
	return fmt.Errorf("limit memory: %s; %s", strings.Join(lines, ", "), fix)
}

// cause leaves the path out: the caller names it in fewer words.
func cause(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// make creates the group. Its limits are those of no group until they are set.
func (g memoryGroup) make() error {
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		err = fmt.Errorf("make cgroup %s: %w", g.dir, cause(err))
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w; %s", err, rightsFix)
		}
		return err
	}
	if _, err := os.Stat(filepath.Join(g.dir, g.files.limit)); err != nil {
		return fmt.Errorf("make cgroup %s: it has no %s: the memory controller is not handed down to it", g.dir, g.files.limit)
	}
	return nil
}

// write gives a file of the group a value. It never creates one: where the
// controller is not handed down there is none.
func (g memoryGroup) write(file, value string) error { return writeGroupFile(g.dir, file, value) }

func writeGroupFile(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write %s to %s of cgroup %s: %w", value, file, dir, cause(err))
	}
	return nil
}

// setLimit sets a limit in bytes and returns what the kernel made of it: it
// rounds down to pages. Version 1 refuses with EBUSY a hard limit under what the
// group holds and cannot reclaim.
func (g memoryGroup) setLimit(file string, bytes int64) (int64, error) {
	err := g.write(file, strconv.FormatInt(bytes, 10))
	if errors.Is(err, unix.EBUSY) {
		usage, _ := g.bytes(g.files.usage)
		return 0, fmt.Errorf("%w: the group holds %s that cannot be reclaimed; give a higher limit", err, formatSize(usage))
	}
	if err != nil {
		return 0, err
	}
	return g.bytes(file)
}

// bytes reads a limit or a usage.
func (g memoryGroup) bytes(file string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0, fmt.Errorf("read %s of cgroup %s: %w", file, g.dir, cause(err))
	}
	return parseLimit(string(text))
}

// keyed reads a flat keyed file; none gives an empty map.
func (g memoryGroup) keyed(file string) (map[string]int64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]int64{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of cgroup %s: %w", file, g.dir, cause(err))
	}
	return parseKeyed(string(text)), nil
}

// memoryReading is what a group says of itself at a moment.
type memoryReading struct {
	Usage     int64 // bytes
	Peak      int64 // the highest usage so far, in bytes
	Hits      int64 // times the limit was reached, and memory reclaimed or refused
	OOMKills  int64 // processes that the OOM killer ended in this group
	UnderOOM  bool  // tasks wait for memory (version 1 with the killer off)
	Stalled   time.Duration
	PSI       bool  // Stalled is known: version 2, with pressure accounting
	MajFaults int64 // page faults that had to wait for a disk
}

// read takes all figures of the group.
func (g memoryGroup) read() (memoryReading, error) {
	usage, err := g.bytes(g.files.usage)
	if err != nil {
		return memoryReading{}, err
	}
	at := memoryReading{Usage: usage, Peak: usage}
	if peak, err := g.bytes(g.files.peak); err == nil { // version 2 has it since Linux 5.19
		at.Peak = max(peak, usage)
	}
	more := g.readV2
	if g.files.version == 1 {
		more = g.readV1
	}
	err = more(&at)
	return at, err
}

func (g memoryGroup) readV1(at *memoryReading) error {
	control, err := g.keyed("memory.oom_control")
	if err != nil {
		return err
	}
	at.OOMKills, at.UnderOOM = control["oom_kill"], control["under_oom"] != 0
	at.Hits, err = g.bytes("memory.failcnt")
	return err
}

func (g memoryGroup) readV2(at *memoryReading) error {
	events, err := g.keyed("memory.events")
	if err != nil {
		return err
	}
	at.OOMKills, at.Hits = events["oom_kill"], events["high"]+events["max"]
	text, err := os.ReadFile(filepath.Join(g.dir, "memory.pressure"))
	if err != nil {
		return nil // a kernel without pressure accounting
	}
	some, _, err := parseStalled(string(text))
	at.Stalled, at.PSI = time.Duration(some)*time.Microsecond, err == nil
	return nil
}

// add moves a process, with all its threads, into the group.
func (g memoryGroup) add(pid int) error { return moveProcess(g.dir, pid) }

// moveProcess moves a process, with all its threads, into a group.
func moveProcess(dir string, pid int) error {
	err := writeGroupFile(dir, "cgroup.procs", strconv.Itoa(pid))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("move process %d: %w; %s", pid, err, rightsFix)
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("move process %d: %w: the group hands controllers down or is threaded, and takes no processes", pid, err)
	}
	return fmt.Errorf("move process %d: %w", pid, err)
}

// members are the processes of a group.
func members(dir string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("read processes of cgroup %s: %w", dir, cause(err))
	}
	return parsePIDs(string(text))
}

// removeWithin is for how long a group is emptied and removed: a process that
// was killed stays in it until the kernel has taken it apart.
const removeWithin = 5 * time.Second

// dissolve takes a group of ours back: its limits, then the group. One that is
// gone is fine.
func (g memoryGroup) dissolve(former string) error {
	there, err := g.ours()
	if err != nil || !there {
		return err
	}
	return g.remove(former, g.lift())
}

// remove empties the group and removes it. Its processes go to the folder former;
// with former "" they are children of ours and are killed. lifted is why the
// limits could not be lifted, which counts only if the group stays.
func (g memoryGroup) remove(former string, lifted error) error {
	wait := time.Millisecond / 4
	for deadline := time.Now().Add(removeWithin); ; {
		emptied := g.empty(former)
		err := unix.Rmdir(g.dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(lifted, emptied, fmt.Errorf("remove cgroup %s: %w; move its processes (cgroup.procs) and rmdir it", g.dir, err))
		}
		time.Sleep(wait)
		wait = min(2*wait, 20*time.Millisecond)
	}
}

// ours tells whether a folder is there. It refuses one that is no group made by
// this package: a name of ours in a cgroup filesystem.
func (g memoryGroup) ours() (there bool, err error) {
	if !strings.HasPrefix(filepath.Base(g.dir), markOf("")) || !filepath.IsAbs(g.dir) || filepath.Clean(g.dir) != g.dir {
		return false, fmt.Errorf("remove cgroup %s: it bears no name of ours", g.dir)
	}
	var at unix.Statfs_t
	if err := unix.Statfs(g.dir, &at); errors.Is(err, unix.ENOENT) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("remove cgroup %s: %w", g.dir, err)
	}
	if !isCgroupFS(at) {
		return true, fmt.Errorf("remove cgroup %s: it is no cgroup", g.dir)
	}
	return true, nil
}

func isCgroupFS(at unix.Statfs_t) bool {
	return at.Type == unix.CGROUP_SUPER_MAGIC || at.Type == unix.CGROUP2_SUPER_MAGIC
}

// left is what the limits of the groups around leave, in bytes; noLimit where
// there are none. What they could reclaim is not counted as left.
func (g memoryGroup) left() int64 {
	left := noLimit
	for dir := filepath.Dir(g.dir); dir != "/"; dir = filepath.Dir(dir) {
		around := memoryGroup{g.files, dir}
		limit, err := around.bytes(g.files.limit)
		usage, usageErr := around.bytes(g.files.usage)
		if err == nil && usageErr == nil && limit != noLimit {
			left = min(left, max(0, limit-usage))
		}
		var at unix.Statfs_t
		if unix.Statfs(dir, &at) != nil || !isCgroupFS(at) {
			break
		}
	}
	return left
}

// lift takes all limits off.
func (g memoryGroup) lift() error {
	err := g.write(g.files.limit, g.files.none)
	if g.files.soft != "" {
		err = errors.Join(err, g.write(g.files.soft, g.files.none))
	}
	if g.files.version == 1 {
		err = errors.Join(err, g.write("memory.oom_control", "0"))
	}
	return err
}

// empty moves all processes out, or kills them.
func (g memoryGroup) empty(former string) error {
	pids, err := members(g.dir)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if pid == 0 { // and to the kernel 0 is whoever writes it
			err = errors.Join(err, fmt.Errorf("empty cgroup %s: a process of another process namespace is in it, which cannot be moved from here", g.dir))
			continue
		}
		if former == "" {
			err = errors.Join(err, killMember(pid))
			continue
		}
		err = errors.Join(err, returnMember(former, pid))
	}
	return err
}

// killMember ends a process of a group in which only children of ours are.
func killMember(pid int) error {
	if pid <= 1 || pid == os.Getpid() {
		return fmt.Errorf("kill process %d of a group of ours: it is no child of ours", pid)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	return nil
}

// returnMember moves a process to its former group. A session manager removes a
// group that has become empty: it is made again.
func returnMember(former string, pid int) error {
	err := moveProcess(former, pid)
	switch {
	case err == nil, errors.Is(err, unix.ESRCH):
		return nil // ESRCH: it has ended meanwhile
	case !errors.Is(err, unix.ENOENT):
		return err
	}
	if made := os.Mkdir(former, 0o755); made != nil && !errors.Is(made, fs.ErrExist) {
		return fmt.Errorf("make the former cgroup %s again: %w", former, cause(made))
	}
	return moveProcess(former, pid)
}
