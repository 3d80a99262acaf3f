//go:build amd64 || arm64

package ebpf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cleanError takes the library's advice about RLIMIT_MEMLOCK off an error: kernels
// since 5.11 do not count against it, and what is missing is another thing.
func cleanError(err error) error {
	text := err.Error()
	from := strings.Index(text, " (MEMLOCK may be too low")
	if from < 0 {
		return err
	}
	rest := text[from+1:]
	_, rest, _ = strings.Cut(rest, ")")
	return &reworded{text[:from] + rest, err}
}

type reworded struct {
	text string
	err  error
}

func (r *reworded) Error() string { return r.text }
func (r *reworded) Unwrap() error { return r.err }

// diagnose says what is missing, from what every rung ended with and what this
// process may do. needsBTF names an option that does not work without BTF.
func diagnose(tried []Attempt, needsBTF string) *Missing {
	m := &Missing{Tried: tried}
	denied, absent := false, false
	for _, a := range tried {
		denied = denied || errors.Is(a.Err, unix.EPERM)
		absent = absent || errors.Is(a.Err, unix.ENOSYS)
	}
	switch {
	case absent:
		m.What, m.Fix = "the system call bpf", "use a kernel with CONFIG_BPF_SYSCALL"
	case lockdown() == "confidentiality":
		m.What, m.Fix = "the right to read the kernel's memory (lockdown=confidentiality)", "boot with lockdown=integrity or none"
	case denied && !inFirstUserNamespace():
		m.What, m.Fix = "the machine's own root: this is the root of a user namespace", "run it outside of the container or sandbox"
	case !mayTrace():
		m.What, m.Fix = "root, or the capabilities CAP_BPF and CAP_PERFMON", "run it with sudo"
	case denied:
		m.What, m.Fix = "permission to call bpf although the capabilities are there", "look at the seccomp filter of the container"
	case noBTF() && needsBTF != "":
		m.What, m.Fix = "the kernel's BTF, which "+needsBTF+" needs", "use a kernel with CONFIG_DEBUG_INFO_BTF"
	case noBTF() && len(tried) == 1 && tried[0].Rung == TPBTF:
		m.What, m.Fix = "the kernel's BTF, which tp_btf needs", "use raw_tp, or a kernel with CONFIG_DEBUG_INFO_BTF"
	case len(tried) == 1 && tried[0].Rung == Tracepoint && !hasTracefs():
		m.What, m.Fix = "tracefs, which plain tracepoints need", "mount -t tracefs tracefs /sys/kernel/tracing"
	default:
		m.What = "a kernel that takes these probes"
		if len(tried) > 0 {
			m.What = fmt.Sprintf("%s (%s: %v)", m.What, tried[0].Rung, tried[0].Err)
		}
		m.Fix = newerKernel
	}
	return m
}

const newerKernel = "use Linux 5.12 or newer with CONFIG_BPF_EVENTS and CONFIG_FTRACE_SYSCALLS"

// capabilities by their bits (include/uapi/linux/capability.h).
const (
	capSysAdmin = 21
	capPerfmon  = 38
	capBPF      = 39
)

// mayTrace tells whether this process has the capabilities for tracing.
func mayTrace() bool {
	bits, err := strconv.ParseUint(statusField("CapEff"), 16, 64)
	if err != nil {
		return os.Geteuid() == 0
	}
	has := func(c uint) bool { return bits>>c&1 == 1 }
	return has(capSysAdmin) || has(capBPF) && has(capPerfmon)
}

// statusField gives a field of /proc/self/status.
func statusField(name string) string {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// inFirstUserNamespace tells whether ids here are the machine's own.
func inFirstUserNamespace() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return true
	}
	return strings.Join(strings.Fields(string(data)), " ") == "0 0 4294967295"
}

// lockdown gives the kernel's lockdown mode, "" where it does not say.
func lockdown() string {
	data, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(data), "[")
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}

func hasTracefs() bool {
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(dir + "/events"); err == nil {
			return true
		}
	}
	return false
}
