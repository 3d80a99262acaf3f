//go:build amd64 || arm64

package ebpf

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// needRoot skips a test that only root can make.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to start a program with other rights or namespaces")
	}
}

// needBPF skips a test where nothing can be traced.
func needBPF(t *testing.T) {
	t.Helper()
	_, err := CheckSyscalls("")
	var missing *Missing
	if errors.As(err, &missing) {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestNamespaces(t *testing.T) {
	needRoot(t)
	needBPF(t)
	for _, c := range []struct {
		name, mount string
		rung        Rung
		flags       uintptr
	}{
		{"pid/tp_btf", "proc", TPBTF, unix.CLONE_NEWPID | unix.CLONE_NEWNS},
		{"pid/raw_tp", "proc", RawTP, unix.CLONE_NEWPID | unix.CLONE_NEWNS},
		{"tracepoint", "tracefs", Tracepoint, unix.CLONE_NEWNS},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", c.mount, string(c.rung))
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: c.flags}
			outer := startCommand(t, "outer", cmd)
			said := strings.Join(outer.ready[1:], " ")
			if strings.HasPrefix(said, "cannot") {
				t.Skip(said)
			}
			if want := fmt.Sprintf("%s 20000 100 0 true", c.rung); said != want {
				t.Errorf("counted %q, want %q", said, want)
			}
		})
	}
	t.Run("seen from outside", func(t *testing.T) {
		cmd := exec.Command("/proc/self/exe", "1", "5000", "0")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
		c := startCommand(t, "calls", cmd)
		tracer := traceOrSkip(t, SyscallOptions{PID: c.pid()})
		c.goOn()
		c.line()
		if n := find(stop(t, tracer), "pwrite64").Calls; n != 5000 {
			t.Errorf("%d writes of a process in a pid namespace, want 5000", n)
		}
	})
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	needRoot(t)
	needBPF(t)
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: true}
	for _, c := range []struct {
		name string
		attr *syscall.SysProcAttr
		want string
	}{
		{"nobody", &syscall.SysProcAttr{Credential: nobody}, "missing root, or the capabilities CAP_BPF and CAP_PERFMON"},
		{"two capabilities", &syscall.SysProcAttr{Credential: nobody, AmbientCaps: []uintptr{capBPF, capPerfmon}}, "tp_btf <nil>"},
		{"root of a user namespace", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}}, "the root of a user namespace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.SysProcAttr = c.attr
			said := strings.Join(startCommand(t, "check", cmd).ready, " ")
			if !strings.Contains(said, c.want) || strings.Contains(said, "MEMLOCK") {
				t.Errorf("says %q, want %q", said, c.want)
			}
		})
	}
}

// kernelObjects lists the programs, maps and links that a process holds.
func kernelObjects(t *testing.T, pid int) map[string][]uint32 {
	t.Helper()
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string][]uint32{}
	for _, info := range infos {
		f, err := os.Open(info)
		if err != nil {
			continue // closed since
		}
		fields := map[string]uint64{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ":")
			if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32); err == nil {
				fields[name] = n
			}
		}
		_ = f.Close()
		for _, kind := range []string{"link_id", "map_id", "prog_id"} { // a link names its program too
			if id, ok := fields[kind]; ok {
				objects[kind] = append(objects[kind], uint32(id))
				break
			}
		}
	}
	return objects
}

// alive lists those of the objects that the kernel still has.
func alive(objects map[string][]uint32) []string {
	var left []string
	for kind, ids := range objects {
		for _, id := range ids {
			if object, err := openObject(kind, id); err == nil {
				left = append(left, fmt.Sprintf("%s %d", kind, id))
				_ = object.Close()
			}
		}
	}
	return left
}

func openObject(kind string, id uint32) (interface{ Close() error }, error) {
	switch kind {
	case "prog_id":
		return ebpf.NewProgramFromID(ebpf.ProgramID(id))
	case "map_id":
		return ebpf.NewMapFromID(ebpf.MapID(id))
	}
	return link.NewFromID(link.ID(id))
}

func TestNothingIsLeftWhenTheTracerIsKilled(t *testing.T) {
	needRoot(t)
	needBPF(t)
	for _, rung := range []Rung{TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			target := startHelper(t, "calls", "1", "0", "0")
			tracer := startHelper(t, "tracer", strconv.Itoa(target.pid()), string(rung))
			objects := kernelObjects(t, tracer.pid())
			if len(objects["prog_id"]) < 4 || len(objects["map_id"]) < 5 {
				t.Fatalf("the tracer holds %v", objects)
			}
			if left := alive(objects); len(left) < 9 {
				t.Fatalf("of %v only %v can be found: the test would see nothing", objects, left)
			}
			if err := tracer.cmd.Process.Signal(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = tracer.cmd.Wait()
			left := alive(objects)
			for deadline := time.Now().Add(2 * time.Second); len(left) > 0 && time.Now().Before(deadline); left = alive(objects) {
				time.Sleep(10 * time.Millisecond)
			}
			if len(left) > 0 {
				t.Errorf("2 s after the kill there are %v", left)
			}
		})
	}
}

func TestNothingIsLeftAfterStop(t *testing.T) {
	needRoot(t)
	c := startHelper(t, "calls", "1", "0", "0")
	before := kernelObjects(t, os.Getpid())
	tracer := traceOrSkip(t, SyscallOptions{PID: c.pid()})
	during := kernelObjects(t, os.Getpid())
	stop(t, tracer)
	after := kernelObjects(t, os.Getpid())
	if len(during["prog_id"]) <= len(before["prog_id"]) || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("before %v, while it runs %v, after %v", before, during, after)
	}
}
