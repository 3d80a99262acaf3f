package chaos

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// noLimit is the limit of a group that has none.
const noLimit = int64(math.MaxInt64)

// memoryFiles names the files in which one version of the memory controller
// takes limits and shows figures, as in the kernel's
// Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst. A file that a
// version does not have is "".
type memoryFiles struct {
	version int
	limit   string // hard limit: reclaim, then the OOM killer
	soft    string // limit that reclaims and throttles, and never kills
	usage   string
	peak    string
	none    string // what lifts a limit
}

var (
	memoryV1 = memoryFiles{version: 1, limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", peak: "memory.max_usage_in_bytes", none: "-1"}
	memoryV2 = memoryFiles{version: 2, limit: "memory.max", soft: "memory.high", usage: "memory.current", peak: "memory.peak", none: "max"}
)

// parseLimit reads a limit or a usage in bytes: a number, or "max" of version 2.
// Version 1 says that there is no limit by the largest multiple of the page size
// that it can count to.
func parseLimit(text string) (int64, error) {
	word := strings.TrimSpace(text)
	if word == "max" {
		return noLimit, nil
	}
	bytes, err := strconv.ParseInt(word, 10, 64)
	if err != nil || bytes < 0 {
		return 0, fmt.Errorf("read memory figure: %q is no number of bytes", word)
	}
	if bytes >= noLimit-1<<20 { // page sizes go to 64 KiB
		return noLimit, nil
	}
	return bytes, nil
}

// parseKeyed reads a flat keyed file, a line "KEY NUMBER" each: memory.events,
// memory.stat, memory.oom_control. Lines of another shape are skipped, as the
// kernel adds to these files.
func parseKeyed(text string) map[string]int64 {
	values := map[string]int64{}
	for line := range strings.Lines(text) {
		key, number, found := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !found || key == "" {
			continue
		}
		if value, err := strconv.ParseInt(number, 10, 64); err == nil {
			values[key] = value
		}
	}
	return values
}

// parseStalled reads a pressure file and returns for how many microseconds some
// task, and all tasks at once, have waited for memory.
func parseStalled(text string) (some, full int64, err error) {
	found := false
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, number, has := strings.Cut(rest, "total=")
		if !has {
			continue
		}
		total, bad := strconv.ParseInt(number, 10, 64)
		if bad != nil {
			return 0, 0, fmt.Errorf("read memory pressure: %q is no number of microseconds", number)
		}
		switch kind {
		case "some":
			some, found = total, true
		case "full":
			full = total
		}
	}
	if !found {
		return 0, 0, errors.New("read memory pressure: there is no line of some tasks")
	}
	return some, full, nil
}

// parsePIDs reads cgroup.procs. A process of another process namespace shows as
// 0, and cannot be moved from here.
func parsePIDs(text string) ([]int, error) {
	var pids []int
	for word := range strings.FieldsSeq(text) {
		pid, err := strconv.Atoi(word)
		if err != nil || pid < 0 {
			return nil, fmt.Errorf("read processes of a group: %q is no process id", word)
		}
		if !slices.Contains(pids, pid) { // the kernel may repeat one
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// hierarchy is a mounted hierarchy of groups with the memory controller in it or,
// in version 2, possibly so.
type hierarchy struct {
	files memoryFiles
	mount string // where it is mounted
	group string // the folder of the process asked for
}

// hierarchiesOf finds where the memory of a process is accounted, version 2
// first, from the mounts seen here and the process' own groups. The reasons say
// why a version is not among them.
func hierarchiesOf(mounts []*procfs.MountInfo, groups []procfs.Cgroup) (found []hierarchy, reasons []error) {
	for _, files := range []memoryFiles{memoryV2, memoryV1} {
		h, err := hierarchyOf(files, mounts, groups)
		if err != nil {
			reasons = append(reasons, err)
			continue
		}
		found = append(found, h)
	}
	return found, reasons
}

func hierarchyOf(files memoryFiles, mounts []*procfs.MountInfo, groups []procfs.Cgroup) (hierarchy, error) {
	path, member := "", false
	for _, g := range groups {
		unified := g.HierarchyID == 0
		if unified == (files.version == 2) && (unified || slices.Contains(g.Controllers, "memory")) {
			path, member = g.Path, true
		}
	}
	if !member {
		return hierarchy{}, fmt.Errorf("cgroup v%d: the kernel has no such memory controller", files.version)
	}
	if leaves(path) {
		return hierarchy{}, fmt.Errorf("cgroup v%d: the process' group is outside of this cgroup namespace", files.version)
	}
	mounted := false
	for _, m := range mounts {
		_, memory := m.SuperOptions["memory"]
		if files.version == 2 && m.FSType != "cgroup2" || files.version == 1 && (m.FSType != "cgroup" || !memory) {
			continue
		}
		mounted = true
		if leaves(m.Root) {
			return hierarchy{}, fmt.Errorf("cgroup v%d: %s was mounted outside of this cgroup namespace; mount it again in here", files.version, m.MountPoint)
		}
		// What is mounted may be a group further down.
		below, err := filepath.Rel(m.Root, path)
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			continue
		}
		return hierarchy{files, m.MountPoint, filepath.Join(m.MountPoint, below)}, nil
	}
	if mounted {
		return hierarchy{}, fmt.Errorf("cgroup v%d: the process' group %s is not in what is mounted here", files.version, path)
	}
	return hierarchy{}, fmt.Errorf("cgroup v%d: no hierarchy with the memory controller is mounted", files.version)
}

// leaves tells whether a path goes beyond the root of this cgroup namespace: it
// begins with /.. then (cgroup_namespaces(7)).
func leaves(path string) bool { return path == "/.." || strings.HasPrefix(path, "/../") }

// parents are the folders below which a group of ours may come, best first: the
// process' own, so that the limits around it hold on. A group of version 2 that
// has processes hands no controller down, unless it is the root, so that a place
// beside it is the next best.
func (h hierarchy) parents() []string {
	if h.files.version == 1 || h.group == h.mount {
		return []string{h.group}
	}
	return []string{h.group, filepath.Dir(h.group)}
}

// handsDown tells whether a cgroup.subtree_control gives the memory controller to
// the groups below.
func handsDown(subtreeControl string) bool {
	return slices.Contains(strings.Fields(subtreeControl), "memory")
}
