package scenarios

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"mslab/results/record"
)

// environmentSysctls are the kernel settings on which a network figure depends.
var environmentSysctls = []string{
	"net.core.somaxconn", "net.core.rmem_max", "net.core.wmem_max",
	"net.ipv4.tcp_abort_on_overflow", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_syncookies",
	"net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_max_tw_buckets", "net.ipv4.ip_local_port_range",
	"net.ipv4.tcp_congestion_control",
}

// readEnvironment describes the machine. What cannot be read stays empty.
func readEnvironment(c cores) *record.Environment {
	e := &record.Environment{
		Cores: len(c.all), Pinning: c.String(), Sandbox: "none", Sysctls: map[string]string{},
		Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		Governor: readWord("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		Lockdown: selected(readWord("/sys/kernel/security/lockdown")),
	}
	if Inside() {
		e.Sandbox = "network and mount namespace"
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		e.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if info, err := fs.CPUInfo(); err == nil && len(info) > 0 {
			e.CPU = info[0].ModelName
		}
	}
	if self, err := procfs.Self(); err == nil {
		if groups, err := self.Cgroups(); err == nil {
			i := slices.IndexFunc(groups, func(g procfs.Cgroup) bool { return g.HierarchyID == 0 })
			if i >= 0 {
				e.Cgroup = groups[i].Path
			}
		}
	}
	for _, name := range environmentSysctls {
		if value := readWord(sysctlPath(name)); value != "" {
			e.Sysctls[name] = value
		}
	}
	return e
}

func sysctlPath(name string) string {
	return "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
}

func readWord(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(data)), " ")
}

// selected is the choice in brackets of a list such as "[none] integrity".
func selected(list string) string {
	if _, rest, ok := strings.Cut(list, "["); ok {
		choice, _, _ := strings.Cut(rest, "]")
		return choice
	}
	return list
}

// setSysctls writes settings of this network namespace and returns what undoes
// them.
func setSysctls(settings map[string]string) (restore func() error, err error) {
	before := map[string]string{}
	restore = func() error {
		for _, name := range sortedKeys(before) {
			if err := os.WriteFile(sysctlPath(name), []byte(before[name]), 0); err != nil {
				return fmt.Errorf("set %s back to %s: %w", name, before[name], err)
			}
		}
		return nil
	}
	for _, name := range sortedKeys(settings) {
		old, err := os.ReadFile(sysctlPath(name))
		if err == nil {
			before[name] = strings.TrimSpace(string(old))
			err = os.WriteFile(sysctlPath(name), []byte(settings[name]), 0)
		}
		if err != nil {
			_ = restore()
			return nil, fmt.Errorf("set %s to %s in the run's network namespace: %w", name, settings[name], err)
		}
	}
	return restore, nil
}

// calibrationRounds take about 3 ms: short against a slice, and long against
// the clock.
const calibrationRounds = 1500

// calibrate times a fixed piece of socket work, a write and a read of one byte
// over a socket pair, in ns a round. Machines change their speed for socket
// work while their arithmetic stays as fast as it was; the figure tags each
// slice with the speed at which it was played.
func calibrate() (float64, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("calibrate: make a socket pair: %w", err)
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	buf := []byte{0}
	start := time.Now()
	for range calibrationRounds {
		if err := ignoreEINTR(func() error { _, err := unix.Write(pair[0], buf); return err }); err != nil {
			return 0, fmt.Errorf("calibrate: write: %w", err)
		}
		if err := ignoreEINTR(func() error { _, err := unix.Read(pair[1], buf); return err }); err != nil {
			return 0, fmt.Errorf("calibrate: read: %w", err)
		}
	}
	return float64(time.Since(start)) / calibrationRounds, nil
}

func ignoreEINTR(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
