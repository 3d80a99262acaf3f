package results

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"mslab/results/record"
)

// unreadable stands for what exists or may exist and could not be read.
const unreadable = "unreadable"

// capturedSysctls are the kernel's settings that figures of a TCP server hang
// on.
var capturedSysctls = []string{
	"kernel.sched_autogroup_enabled", "kernel.threads-max", "kernel.pid_max",
	"net.core.rmem_max", "net.core.somaxconn", "net.core.wmem_max",
	"net.ipv4.ip_local_port_range", "net.ipv4.tcp_abort_on_overflow", "net.ipv4.tcp_congestion_control",
	"net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_max_tw_buckets",
	"net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_wmem",
	"vm.overcommit_memory",
}

// CaptureEnvironment reads what figures depend on besides code. What cannot be
// read is "unreadable", what does not exist "none" or empty; nothing is
// guessed. Sysctls below net belong to the caller's network namespace. Pinning,
// Sandbox and CalibrationNS are the caller's to fill in.
func CaptureEnvironment() record.Environment {
	env := record.Environment{
		Kernel: unreadable, CPU: unreadable, Cores: runtime.NumCPU(),
		Sysctls: map[string]string{}, Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		Governor: governor("/sys/devices/system/cpu"),
		Cgroup:   unreadable,
		Lockdown: lockdown("/sys/kernel/security/lockdown"),
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return env
	}
	if release, err := proc.SysctlStrings("kernel.osrelease"); err == nil {
		env.Kernel = "Linux " + strings.Join(release, " ")
	}
	if cpus, err := proc.CPUInfo(); err == nil && len(cpus) > 0 {
		env.CPU = cpus[0].ModelName
	}
	for _, name := range capturedSysctls {
		switch fields, err := proc.SysctlStrings(name); {
		case err == nil:
			env.Sysctls[name] = strings.Join(fields, " ")
		case !errors.Is(err, fs.ErrNotExist):
			env.Sysctls[name] = unreadable
		}
	}
	if self, err := proc.Self(); err == nil {
		if groups, err := self.Cgroups(); err == nil {
			env.Cgroup = cgroupLimits("/sys/fs/cgroup", groups)
		}
	}
	return env
}

// governor gives the frequency governors in use, "none" where the kernel has no
// say in the frequency, as in most virtual machines.
func governor(root string) string {
	files, err := filepath.Glob(filepath.Join(root, "cpu[0-9]*", "cpufreq", "scaling_governor"))
	if err != nil || len(files) == 0 {
		return "none"
	}
	seen := map[string]bool{}
	for _, f := range files {
		seen[readWord(f)] = true
	}
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// lockdown gives the chosen one of "[none] integrity confidentiality".
func lockdown(file string) string {
	word := readWord(file)
	if _, rest, ok := strings.Cut(word, "["); ok {
		word, _, _ = strings.Cut(rest, "]")
	}
	return word
}

func readWord(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return unreadable
	}
	return strings.TrimSpace(string(data))
}

// cgroupLimits gives the caller's group and the nearest limits on CPU and
// tasks, in version 2 or, where the controllers live there, version 1.
func cgroupLimits(mount string, groups []procfs.Cgroup) string {
	cpu, pids, own := "none", "none", "/"
	for _, g := range groups {
		controllers := " " + strings.Join(g.Controllers, " ") + " "
		switch {
		case g.HierarchyID == 0:
			own = g.Path
			for _, root := range []string{mount, filepath.Join(mount, "unified")} {
				cpu = firstLimit(cpu, nearest(root, g.Path, "cpu.max"))
				pids = firstLimit(pids, nearest(root, g.Path, "pids.max"))
			}
		case strings.Contains(controllers, " cpu "):
			root := filepath.Join(mount, "cpu")
			if quota := nearest(root, g.Path, "cpu.cfs_quota_us"); quota != "none" && quota != "-1" {
				cpu = firstLimit(cpu, quota+" "+nearest(root, g.Path, "cpu.cfs_period_us"))
			}
		case strings.Contains(controllers, " pids "):
			pids = firstLimit(pids, nearest(filepath.Join(mount, "pids"), g.Path, "pids.max"))
		}
	}
	return own + " cpu.max=" + cpu + " pids.max=" + pids
}

func firstLimit(known, found string) string {
	if known == "none" {
		return found
	}
	return known
}

// nearest reads a limit from the group or the closest one above it that sets
// one; the root of the tree has none.
func nearest(root, group, file string) string {
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(root, dir, file))
		if value := strings.TrimSpace(string(data)); err == nil && !strings.HasPrefix(value, "max") && value != "-1" {
			return value
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unreadable
		}
		if dir == "/" {
			return "none"
		}
	}
}

const (
	calibrationBytes  = 800 // about the size of the seed's request
	calibrationRounds = 100
	calibrationRuns   = 15
	calibrationBudget = 4 * time.Millisecond
)

// Calibrate times a fixed piece of socket work, a write and a read of 800 bytes
// over a socket pair, and returns ns a round: the median of up to 15 batches of
// 100 rounds, within 5 ms in all. A slice is tagged with it, since machines
// change the speed of socket work by 17-30 % while arithmetic stays the same. 0
// means that it could not be measured.
func Calibrate() float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer syscall.Close(pair[0])
	defer syscall.Close(pair[1])
	var batches []float64
	// One batch is timed in any case: this thread may have waited for a core.
	for begin := time.Now(); len(batches) == 0 || len(batches) < calibrationRuns && time.Since(begin) < calibrationBudget; {
		ns, err := timeRounds(pair, calibrationRounds)
		if err != nil {
			return 0
		}
		batches = append(batches, ns)
	}
	sort.Float64s(batches)
	return batches[len(batches)/2]
}

func timeRounds(pair [2]int, rounds int) (float64, error) {
	var buf [calibrationBytes]byte
	begin := time.Now()
	for range rounds {
		if _, err := syscall.Write(pair[0], buf[:]); err != nil {
			return 0, err
		}
		// A stream may hand over a part; what was written is all there is.
		for left := len(buf); left > 0; {
			n, err := syscall.Read(pair[1], buf[:left])
			if err != nil {
				return 0, err
			}
			left -= n
		}
	}
	return float64(time.Since(begin)) / float64(rounds), nil
}
