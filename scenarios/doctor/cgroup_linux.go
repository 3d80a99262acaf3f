package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"mslab/results"
)

// hierarchy is a mounted cgroup hierarchy and the folder of this process' group
// in it.
type hierarchy struct{ mount, group string }

// findHierarchy looks for the hierarchy of a controller of version 1, or, with
// "", for version 2.
func findHierarchy(controller string) (hierarchy, error) {
	mounts, err := procfs.GetMounts()
	if err != nil {
		return hierarchy{}, err
	}
	self, err := procfs.Self()
	if err != nil {
		return hierarchy{}, err
	}
	groups, err := self.Cgroups()
	if err != nil {
		return hierarchy{}, err
	}
	kind := "cgroup2"
	if controller != "" {
		kind = "cgroup"
	}
	for _, m := range mounts {
		if _, has := m.SuperOptions[controller]; m.FSType != kind || controller != "" && !has {
			continue
		}
		for _, g := range groups {
			if (controller == "") != (g.HierarchyID == 0) || controller != "" && !slices.Contains(g.Controllers, controller) {
				continue
			}
			// What is mounted may be a group further down.
			below, err := filepath.Rel(m.Root, g.Path)
			if err != nil || strings.HasPrefix(below, "..") {
				continue
			}
			return hierarchy{m.MountPoint, filepath.Join(m.MountPoint, below)}, nil
		}
	}
	return hierarchy{}, fmt.Errorf("no %s hierarchy is mounted that shows this process' group", strings.TrimSpace(kind+" "+controller))
}

// inChild makes a group below this process' own, hands it over, and removes it.
func (h hierarchy) inChild(use func(dir string) error) error {
	dir := filepath.Join(h.group, fmt.Sprintf("mslab-doctor-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make a group below this process' own in %s: %w", h.mount, cause(err))
	}
	err := use(dir)
	if gone := unix.Rmdir(dir); gone != nil {
		err = errors.Join(err, fmt.Errorf("remove %s: %w", dir, gone))
	}
	return err
}

// ownGroup says how to get a group that this user may divide.
const ownGroup = "run mslab with sudo, or by systemd-run --user --scope -p Delegate=yes"

func cgroupFix(err error) string {
	if errors.Is(err, unix.EROFS) {
		return "run outside of the container, or mount /sys/fs/cgroup writable in it"
	}
	return ownGroup
}

// cgroupV2 makes and removes a group.
func cgroupV2(context.Context) results.Finding {
	h, err := findHierarchy("")
	if err != nil {
		return results.Fails("mount -t cgroup2 none /sys/fs/cgroup/unified", "%v", err)
	}
	var controllers string
	err = h.inChild(func(dir string) error {
		controllers = readWord(filepath.Join(dir, "cgroup.controllers"))
		return nil
	})
	if err != nil {
		return results.Fails(cgroupFix(err), "%v", err)
	}
	if controllers == "" {
		controllers = "none"
	}
	return results.Works("made and removed a group below this process' own in %s; controllers in it: %s", h.mount, controllers)
}

// limitTried is what memoryLimit writes; nothing runs in that group.
const limitTried = 64 << 20

// memoryLimit limits the memory of a group with nobody in it: version 2 where
// its controller is, else version 1.
func memoryLimit(context.Context) results.Finding {
	var refused error
	for _, version := range []struct{ controller, file string }{{"", "memory.max"}, {"memory", "memory.limit_in_bytes"}} {
		h, err := findHierarchy(version.controller)
		if err == nil {
			err = h.inChild(func(dir string) error { return writeLimit(filepath.Join(dir, version.file)) })
		}
		if err == nil {
			return results.Works("made a group in %s, set %s to %s there, and removed it", h.mount, version.file, sizeText(limitTried))
		}
		refused = errors.Join(refused, err)
	}
	fix := "hand the memory controller to this process' group (cgroup.subtree_control), or use a kernel with CONFIG_MEMCG"
	if errors.Is(refused, fs.ErrPermission) || errors.Is(refused, unix.EROFS) {
		fix = cgroupFix(refused)
	}
	return results.Fails(fix, "%s", strings.ReplaceAll(refused.Error(), "\n", "; "))
}

// writeLimit does not create the file: where the controller is not handed down
// there is none.
func writeLimit(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("groups below have no %s: %w", filepath.Base(file), unix.ENOENT)
	}
	if err == nil {
		_, err = f.WriteString(strconv.Itoa(limitTried))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(file), cause(err))
	}
	return nil
}

// memoryLeft is what the memory limits of this process' group and those around
// it leave, in bytes; math.MaxInt64 where there are none.
func memoryLeft() int64 {
	left := int64(math.MaxInt64)
	for _, version := range []struct{ controller, limit, usage string }{
		{"", "memory.max", "memory.current"},
		{"memory", "memory.limit_in_bytes", "memory.usage_in_bytes"},
	} {
		h, err := findHierarchy(version.controller)
		if err != nil {
			continue
		}
		for dir := h.group; ; dir = filepath.Dir(dir) {
			limit, err := strconv.ParseInt(readWord(filepath.Join(dir, version.limit)), 10, 64)
			usage, usageErr := strconv.ParseInt(readWord(filepath.Join(dir, version.usage)), 10, 64)
			if err == nil && usageErr == nil {
				left = min(left, max(0, limit-usage))
			}
			if dir == h.mount || dir == "/" {
				break
			}
		}
	}
	return left
}
