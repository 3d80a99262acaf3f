package results

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

func TestCaptureEnvironmentEqualsTheKernels(t *testing.T) {
	env := CaptureEnvironment()
	read := func(file string) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Skipf("cannot read %s: %v", file, err)
		}
		return strings.Join(strings.Fields(string(data)), " ")
	}
	if want := "Linux " + read("/proc/sys/kernel/osrelease"); env.Kernel != want {
		t.Errorf("kernel %q, want %q", env.Kernel, want)
	}
	for name, file := range map[string]string{
		"net.core.somaxconn":           "/proc/sys/net/core/somaxconn",
		"net.ipv4.tcp_rmem":            "/proc/sys/net/ipv4/tcp_rmem",
		"net.ipv4.ip_local_port_range": "/proc/sys/net/ipv4/ip_local_port_range",
	} {
		if got, want := env.Sysctls[name], read(file); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if env.Cores != runtime.NumCPU() || env.Go != runtime.Version() || env.CPU == "" || env.Governor == "" || env.Cgroup == "" || env.Lockdown == "" {
		t.Errorf("%+v has gaps", env)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCgroupLimits(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a", "cpu.max"), "150000 100000\n")
	write(t, filepath.Join(dir, "a", "b", "cpu.max"), "max 100000\n")
	write(t, filepath.Join(dir, "a", "b", "pids.max"), "512\n")
	got := cgroupLimits(dir, []procfs.Cgroup{{HierarchyID: 0, Path: "/a/b"}})
	if want := "/a/b cpu.max=150000 100000 pids.max=512"; got != want {
		t.Errorf("%q, want %q: the limit above counts where the own one is max", got, want)
	}
	write(t, filepath.Join(dir, "cpu", "c", "cpu.cfs_quota_us"), "50000\n")
	write(t, filepath.Join(dir, "cpu", "c", "cpu.cfs_period_us"), "100000\n")
	write(t, filepath.Join(dir, "pids", "pids.max"), "max\n")
	got = cgroupLimits(dir, []procfs.Cgroup{{HierarchyID: 2, Controllers: []string{"cpu", "cpuacct"}, Path: "/c"}, {HierarchyID: 3, Controllers: []string{"pids"}, Path: "/"}})
	if want := "/ cpu.max=50000 100000 pids.max=none"; got != want {
		t.Errorf("version 1: %q, want %q", got, want)
	}
}

func TestGovernorAndLockdown(t *testing.T) {
	dir := t.TempDir()
	if got := governor(dir); got != "none" {
		t.Errorf("governor %q without cpufreq, want none", got)
	}
	write(t, filepath.Join(dir, "cpu0", "cpufreq", "scaling_governor"), "performance\n")
	write(t, filepath.Join(dir, "cpu1", "cpufreq", "scaling_governor"), "powersave\n")
	if got := governor(dir); got != "performance, powersave" {
		t.Errorf("governor %q, want both", got)
	}
	file := filepath.Join(dir, "lockdown")
	if got := lockdown(file); got != unreadable {
		t.Errorf("lockdown %q without the file, want %q", got, unreadable)
	}
	write(t, file, "none [integrity] confidentiality\n")
	if got := lockdown(file); got != "integrity" {
		t.Errorf("lockdown %q, want integrity", got)
	}
}

func TestCalibrate(t *testing.T) {
	begin := time.Now()
	ns := Calibrate()
	took := time.Since(begin)
	t.Logf("%.0f ns a round, %v in all", ns, took)
	if ns < 100 || ns > 1e6 {
		t.Errorf("%g ns for a write and a read of 800 bytes", ns)
	}
	if took > 50*time.Millisecond { // 5 ms on a machine that is not busy
		t.Errorf("the calibration took %v", took)
	}
}
