package chaos

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
)

func TestParseLimit(t *testing.T) {
	for text, want := range map[string]int64{
		"max\n":                 noLimit,
		"9223372036854771712\n": noLimit, // version 1, pages of 4 KiB
		"9223372036854710272\n": noLimit, // version 1, pages of 64 KiB
		"0\n":                   0,
		"4194304\n":             4 << 20,
	} {
		if got, err := parseLimit(text); err != nil || got != want {
			t.Errorf("parseLimit(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "maximum", "-1", "4M", "99999999999999999999"} {
		if got, err := parseLimit(text); err == nil {
			t.Errorf("parseLimit(%q) = %d, want an error", text, got)
		}
	}
}

func TestParseKeyed(t *testing.T) {
	got := parseKeyed("oom_kill_disable 1\nunder_oom 0\noom_kill 3\nper node N0=4\nlone\n 7\nbig 99999999999999999999\nlast -1")
	want := map[string]int64{"oom_kill_disable": 1, "under_oom": 0, "oom_kill": 3, "last": -1}
	if len(got) != len(want) {
		t.Errorf("parseKeyed gave %v, want %v", got, want)
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s = %d, want %d", key, got[key], value)
		}
	}
}

func TestParseStalled(t *testing.T) {
	some, full, err := parseStalled("some avg10=0.06 avg60=0.21 avg300=0.99 total=8537362\nfull avg10=0.00 avg60=0.13 avg300=0.96 total=8183134\n")
	if err != nil || some != 8537362 || full != 8183134 {
		t.Errorf("parseStalled gave %d, %d, %v", some, full, err)
	}
	for _, text := range []string{"", "full avg10=0.00 total=1\n", "some total=much\n"} {
		if _, _, err := parseStalled(text); err == nil {
			t.Errorf("parseStalled(%q) gave no error", text)
		}
	}
}

func TestParsePIDs(t *testing.T) {
	if got, err := parsePIDs("12\n7\n12\n0\n"); err != nil || !slices.Equal(got, []int{12, 7, 0}) {
		t.Errorf("parsePIDs gave %v, %v", got, err)
	}
	for _, text := range []string{"x", "-1\n", "12 y"} {
		if got, err := parsePIDs(text); err == nil {
			t.Errorf("parsePIDs(%q) = %v, want an error", text, got)
		}
	}
}

func mountOf(kind, root, point string, options ...string) *procfs.MountInfo {
	super := map[string]string{}
	for _, o := range options {
		super[o] = ""
	}
	return &procfs.MountInfo{FSType: kind, Root: root, MountPoint: point, SuperOptions: super}
}

func TestHierarchies(t *testing.T) {
	v1 := procfs.Cgroup{HierarchyID: 4, Controllers: []string{"memory"}, Path: "/a/b"}
	v2 := procfs.Cgroup{HierarchyID: 0, Path: "/user.slice/s.scope"}
	cpu := mountOf("cgroup", "/", "/sys/fs/cgroup/cpu", "rw", "cpu")
	for _, c := range []struct {
		name   string
		mounts []*procfs.MountInfo
		groups []procfs.Cgroup
		want   []hierarchy
		reason string
	}{
		{"only v2", []*procfs.MountInfo{mountOf("cgroup2", "/", "/sys/fs/cgroup")}, []procfs.Cgroup{v2},
			[]hierarchy{{memoryV2, "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/s.scope"}}, "cgroup v1: the kernel has no such"},
		{"both, v2 first", []*procfs.MountInfo{cpu, mountOf("cgroup", "/", "/c/memory", "memory"), mountOf("cgroup2", "/", "/c/unified")}, []procfs.Cgroup{v1, {HierarchyID: 0, Path: "/"}},
			[]hierarchy{{memoryV2, "/c/unified", "/c/unified"}, {memoryV1, "/c/memory", "/c/memory/a/b"}}, ""},
		{"a group further down is mounted", []*procfs.MountInfo{mountOf("cgroup", "/a", "/c/memory", "memory")}, []procfs.Cgroup{v1},
			[]hierarchy{{memoryV1, "/c/memory", "/c/memory/b"}}, ""},
		{"another branch is mounted", []*procfs.MountInfo{mountOf("cgroup", "/x", "/c/memory", "memory")}, []procfs.Cgroup{v1}, nil, "is not in what is mounted here"},
		{"not mounted", []*procfs.MountInfo{cpu}, []procfs.Cgroup{v1}, nil, "no hierarchy with the memory controller is mounted"},
		{"mounted outside of the namespace", []*procfs.MountInfo{mountOf("cgroup", "/../..", "/c/memory", "memory")}, []procfs.Cgroup{{HierarchyID: 4, Controllers: []string{"memory"}, Path: "/"}}, nil, "was mounted outside of this cgroup namespace"},
		{"outside of the namespace", []*procfs.MountInfo{mountOf("cgroup2", "/", "/sys/fs/cgroup")}, []procfs.Cgroup{{HierarchyID: 0, Path: "/../system.slice"}}, nil, "outside of this cgroup namespace"},
	} {
		got, reasons := hierarchiesOf(c.mounts, c.groups)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		var text []string
		for _, r := range reasons {
			text = append(text, r.Error())
		}
		if !strings.Contains(strings.Join(text, "; "), c.reason) {
			t.Errorf("%s: reasons %q do not tell %q", c.name, text, c.reason)
		}
	}
}

func TestParents(t *testing.T) {
	for _, c := range []struct {
		h    hierarchy
		want []string
	}{
		{hierarchy{memoryV1, "/c", "/c/a"}, []string{"/c/a"}},
		{hierarchy{memoryV2, "/c", "/c/a/b"}, []string{"/c/a/b", "/c/a"}},
		{hierarchy{memoryV2, "/c", "/c"}, []string{"/c"}},
	} {
		if got := c.h.parents(); !slices.Equal(got, c.want) {
			t.Errorf("parents of %v: %q, want %q", c.h, got, c.want)
		}
	}
	if !handsDown("cpu memory pids\n") || handsDown("cpu memoryx") || handsDown("") {
		t.Error("handsDown misreads cgroup.subtree_control")
	}
}

func FuzzParsers(f *testing.F) {
	f.Add("max\n")
	f.Add("low 0\nhigh 12\nmax 3\noom 1\noom_kill 1\n")
	f.Add("some avg10=0.06 avg60=0.21 avg300=0.99 total=8537362\n")
	f.Add("1\n0\n2\n")
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := parseLimit(text); err == nil && v < 0 {
			t.Errorf("parseLimit(%q) = %d", text, v)
		}
		for key := range parseKeyed(text) {
			if key == "" || !strings.Contains(text, key+" ") {
				t.Errorf("parseKeyed(%q) has the key %q", text, key)
			}
		}
		if _, _, err := parseStalled(text); err == nil && !strings.Contains(text, "some") {
			t.Errorf("parseStalled(%q) gave no error", text)
		}
		pids, err := parsePIDs(text)
		if err == nil && slices.ContainsFunc(pids, func(pid int) bool { return pid < 0 }) {
			t.Errorf("parsePIDs(%q) = %v", text, pids)
		}
	})
}
