//go:build amd64 || arm64

package ebpf

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// makeCalls makes writes of one byte, and opens of a file that is not there.
func makeCalls(fd int, missing *byte, writes, opens int) error {
	b := []byte{'x'}
	for range writes {
		// pwritev2 and the like are the runtime's never: the count is ours alone.
		if n, _, errno := unix.Syscall6(unix.SYS_PWRITE64, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1, 0, 0, 0); n != 1 {
			return fmt.Errorf("write: %w", errno)
		}
	}
	at := unix.AT_FDCWD
	for range opens {
		if _, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(missing)), 0, 0, 0, 0); errno != unix.ENOENT {
			return fmt.Errorf("open: %w", errno)
		}
	}
	return nil
}

// helpFiles writes to two files by one descriptor number, one after the other, and
// to a file that is gone at once.
func helpFiles(args []string) error {
	dir := args[0]
	if err := announce(); err != nil {
		return err
	}
	for i, name := range []string{"first", "second", "gone"} {
		fd, err := unix.Open(filepath.Join(dir, name), unix.O_WRONLY|unix.O_CREAT, 0o600)
		if err != nil {
			return err
		}
		if name == "gone" {
			if err := unix.Unlink(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		if err := unix.Dup2(fd, 100); err != nil {
			return err
		}
		for range 100 * (i + 1) {
			if _, err := unix.Write(100, []byte("x")); err != nil {
				return err
			}
		}
		if err := errors.Join(unix.Close(fd), unix.Close(100)); err != nil {
			return err
		}
	}
	for range 7 {
		if _, err := unix.Write(100, []byte("x")); !errors.Is(err, unix.EBADF) {
			return fmt.Errorf("write to a closed descriptor: %w", err)
		}
	}
	if err := otherDescriptors(); err != nil {
		return err
	}
	return announce()
}

// otherDescriptors uses what has no place in a file system.
func otherDescriptors() error {
	event, err := unix.Eventfd(0, 0)
	if err != nil {
		return err
	}
	for range 11 {
		if _, err := unix.Write(event, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
			return err
		}
	}
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		return err
	}
	for range 13 {
		if _, err := unix.Write(pipe[1], []byte("x")); err != nil {
			return err
		}
	}
	return errors.Join(unix.Close(event), unix.Close(pipe[0]), unix.Close(pipe[1]))
}

// helpNetwork serves and makes connections: so many, one after the other, each with
// one message and one answer.
func helpNetwork(args []string) error {
	connections, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	path := args[1]
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	local, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := announce(tcp.Addr().String()); err != nil {
		return err
	}
	for _, l := range []net.Listener{tcp, local} {
		if err := exchange(l, connections); err != nil {
			return err
		}
	}
	return announce()
}

func exchange(l net.Listener, connections int) error {
	served := make(chan error, 1)
	go func() {
		for range connections {
			c, err := l.Accept()
			if err != nil {
				served <- err
				return
			}
			b := make([]byte, 1)
			_, err = c.Read(b)
			_, err2 := c.Write(b)
			if err := errors.Join(err, err2, c.Close()); err != nil {
				served <- err
				return
			}
		}
		served <- nil
	}()
	for i := range connections {
		c, err := dialer(l.Addr(), i).Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			return err
		}
		_, err = c.Write([]byte("x"))
		b := make([]byte, 1)
		_, err2 := c.Read(b)
		if err := errors.Join(err, err2, c.Close()); err != nil {
			return err
		}
	}
	return <-served
}

// dialer makes the i-th connection from an address of its own, as a generator of
// load does whose ports would run out.
func dialer(to net.Addr, i int) *net.Dialer {
	if to.Network() != "tcp" {
		return &net.Dialer{}
	}
	return &net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%250))},
		Control: func(_, _ string, c syscall.RawConn) error {
			var optionErr error
			err := c.Control(func(fd uintptr) {
				optionErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			})
			return errors.Join(err, optionErr)
		},
	}
}

// helpChildren starts children one after the other, each of which makes so many
// writes, and some children of its own where there is a depth left.
func helpChildren(args []string) error {
	if err := announce(); err != nil {
		return err
	}
	if err := spawn(args); err != nil {
		return err
	}
	return announce()
}

func spawn(args []string) error {
	children, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range children {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), helperVariable+"=quickcalls")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("child: %w: %s", err, out)
		}
	}
	return nil
}

// helpQuickCalls makes calls without waiting to be told.
func helpQuickCalls([]string) error {
	null, err := unix.Open("/dev/null", unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return makeCalls(null, nil, 1000, 0)
}

// helpExecs replaces its program from a thread that is not the first one.
func helpExecs([]string) error {
	if err := announce(); err != nil {
		return err
	}
	failed := make(chan error)
	var execute func()
	execute = func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			go execute() // on another thread: this one is held
			select {}
		}
		if err := os.Setenv(helperVariable, "calls"); err != nil {
			failed <- err
			return
		}
		failed <- unix.Exec("/proc/self/exe", []string{"helper", "1", "10", "0"}, os.Environ())
	}
	go execute()
	return <-failed
}

// helpEnds starts threads that block in a call and ends the process meanwhile.
func helpEnds([]string) error {
	for range 3 {
		var pipe [2]int
		if err := unix.Pipe(pipe[:]); err != nil {
			return err
		}
		go func() {
			runtime.LockOSThread()
			b := make([]byte, 1)
			_, _, _ = unix.Syscall6(unix.SYS_PREAD64, uintptr(pipe[0]), uintptr(unsafe.Pointer(&b[0])), 1, 0, 0, 0)
			_, _, _ = unix.Syscall6(unix.SYS_READ, uintptr(pipe[0]), uintptr(unsafe.Pointer(&b[0])), 1, 0, 0, 0)
		}()
	}
	if err := announce(); err != nil {
		return err
	}
	return nil
}

// helpBlocked blocks in a call that began before it announced itself, and in
// another one that begins when it is told to.
func helpBlocked([]string) error {
	var before, after [2]int
	if err := errors.Join(unix.Pipe(before[:]), unix.Pipe(after[:])); err != nil {
		return err
	}
	started := make(chan int, 2)
	block := func(fd int) {
		runtime.LockOSThread()
		// A signal of the runtime's would make the kernel begin the call once more.
		signals := unix.Sigset_t{}
		for i := range signals.Val {
			signals.Val[i] = ^uint64(0)
		}
		_ = unix.PthreadSigmask(unix.SIG_BLOCK, &signals, nil)
		b := make([]byte, 1)
		started <- unix.Gettid()
		_, _, _ = unix.Syscall6(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(&unix.Iovec{Base: &b[0], Len: 1})), 1, 0, 0, 0)
	}
	go block(before[0])
	if err := waitUntilIn(unix.SYS_READV, <-started); err != nil {
		return err
	}
	if err := announce(); err != nil {
		return err
	}
	go block(after[0])
	thread := <-started
	// The call that was in progress when the tracer came returns: it is no call.
	if _, err := unix.Write(before[1], []byte("x")); err != nil {
		return err
	}
	if err := waitUntilIn(unix.SYS_READV, thread); err != nil {
		return err
	}
	time.Sleep(50 * time.Millisecond) // the least that the call is then told to have taken
	return announce(thread)
}

// waitUntilIn waits until a thread of this process is blocked in a system call.
func waitUntilIn(number, thread int) error {
	path := fmt.Sprintf("/proc/self/task/%d/syscall", thread)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(text), strconv.Itoa(number)+" ") { // "running" while it runs
			return nil
		}
	}
	return fmt.Errorf("thread %d does not get into system call %d", thread, number)
}

// helpTracer traces a process until it is killed.
func helpTracer(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	tracer, err := TraceSyscalls(SyscallOptions{PID: pid, Follow: true, ByFD: true, Rung: Rung(args[1])})
	if err != nil {
		return err
	}
	defer tracer.Close()
	return announce()
}

// helpCheck says what rung works for it.
func helpCheck([]string) error {
	rung, err := CheckSyscalls("")
	fmt.Println("ready", rung, err)
	return nil
}

// helpOuter traces a helper of its own, in the namespaces that it was started in,
// and says what it counted. It mounts what they need: "proc", "tracefs" or "-".
func helpOuter(args []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	switch args[0] {
	case "proc":
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return err
		}
	case "tracefs":
		if err := unix.Mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, ""); err != nil {
			fmt.Println("ready cannot mount tracefs:", err)
			return nil
		}
	}
	cmd := exec.Command("/proc/self/exe", "2", "20000", "100")
	if err := os.Setenv(helperVariable, "calls"); err != nil {
		return err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		return err
	}
	tracer, err := TraceSyscalls(SyscallOptions{PID: cmd.Process.Pid, Rung: Rung(args[1]), ByFD: true, Follow: true})
	if err != nil {
		return err
	}
	defer tracer.Close()
	if _, err := fmt.Fprintln(in, "go"); err != nil {
		return err
	}
	if _, err := lines.ReadString('\n'); err != nil {
		return err
	}
	// The helper has said that it is done; soon it waits in a read.
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		now, err := tracer.Read()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(now.Unfinished, func(u UnfinishedCall) bool { return u.Name == "read" }) {
			break
		}
	}
	result, err := tracer.Stop()
	if err != nil {
		return err
	}
	process := int32(0)
	for _, u := range result.Unfinished {
		process = u.Process
	}
	fmt.Println("ready", result.Self.Rung, find(result, "pwrite64").Calls, find(result, "openat").Errnos["ENOENT"],
		result.Self.Lost(), process == int32(cmd.Process.Pid))
	return nil
}
