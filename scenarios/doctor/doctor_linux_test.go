package doctor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mslab/results"
)

// traces is what checks could leave behind, each as the kernel shows it.
type traces struct {
	mounts, overflow string
	files, affinity  []string
	tables           []string // of netfilter, of this namespace
	groups           []string // cgroups named as ours are
	children         []string
}

func readTraces(t *testing.T) traces {
	t.Helper()
	var at traces
	at.mounts, at.overflow = readWord("/proc/self/mountinfo"), readWord("/proc/sys/net/ipv4/tcp_abort_on_overflow")
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, err := os.Readlink("/proc/self/fd/" + fd.Name())
		// The runtime opens its own poller when it first needs it.
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasPrefix(target, "/proc/") {
			at.files = append(at.files, target)
		}
	}
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		at.children = append(at.children, strings.Fields(readWord(task+"/children"))...)
		for line := range strings.Lines(readWord(task + "/status")) {
			if strings.HasPrefix(line, "Cpus_allowed_list") && !slices.Contains(at.affinity, line) {
				at.affinity = append(at.affinity, line)
			}
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "mslab-doctor-") {
			at.groups = append(at.groups, path)
		}
		return nil
	})
	at.tables = ownTables(t)
	return at
}

// ownTables asks netfilter for the tables of this namespace and returns those
// that bear our name.
func ownTables(t *testing.T) []string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Logf("the rules cannot be compared: %v", err)
		return nil
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(int64(time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		t.Fatal(err)
	}
	request := netfilterMessage(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETTABLE, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, 1, unix.AF_UNSPEC, 0, nil)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	if bytes.Contains(buf[:n], []byte(ownTable)) {
		tables = append(tables, ownTable)
	}
	return tables
}

func TestChecksLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	before := readTraces(t)
	begin := time.Now()
	made := Run(t.Context(), Checks(testOptions(dir)))
	if took := time.Since(begin); took > limitAll+limitEach {
		t.Errorf("took %s", took)
	}
	after := readTraces(t)
	for _, c := range made {
		t.Logf("%-16s %-5v %s | %s", c.Name, c.OK, c.Why, c.Fix)
		if c.Why == "" || (c.Fix == "") != c.OK {
			t.Errorf("%+v", c)
		}
		if strings.Contains(c.Why, "the check itself broke") {
			t.Errorf("%s: %s", c.Name, c.Why)
		}
	}
	if before.mounts != after.mounts || before.overflow != after.overflow {
		t.Errorf("mounts or settings changed: %+v, then %+v", before, after)
	}
	slices.Sort(before.files)
	slices.Sort(after.files)
	if !slices.Equal(before.files, after.files) {
		t.Errorf("open before: %v, after: %v", before.files, after.files)
	}
	if !slices.Equal(before.affinity, after.affinity) {
		t.Errorf("cores before: %v, after: %v", before.affinity, after.affinity)
	}
	if len(after.tables)+len(after.groups)+len(after.children) > 0 {
		t.Errorf("left behind: %v %v %v", after.tables, after.groups, after.children)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestTrialsInANamespaceWork holds that the steps inside are not refused for a
// reason of our own, where a namespace can be made at all.
func TestTrialsInANamespaceWork(t *testing.T) {
	m := &machine{again: []string{insideWord}}
	enter := m.inNet
	if os.Geteuid() != 0 {
		enter = m.inUser
	}
	steps, err := enter(t.Context())
	if err != nil {
		t.Skipf("no namespace to try in: %v", err)
	}
	for _, name := range []string{stepLoopback, stepSysctl, stepMount} {
		if s := steps[name]; s.Failed != "" || s.Said == "" {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := steps[stepNftables]; s.Failed != "" {
		t.Logf("nftables: %s", s.Failed)
	}
}

func TestInsideRefusesAUsedNamespace(t *testing.T) {
	own, err := netns()
	if err != nil {
		t.Skip(err)
	}
	for _, outer := range []string{own, "", "net:[1]", "nonsense"} {
		var out bytes.Buffer
		err := Inside(t.Context(), &out, Options{}, outer)
		if err == nil || !strings.Contains(err.Error(), "nothing is tried") || out.Len() > 0 {
			t.Errorf("%q: %v, %s", outer, err, &out)
		}
	}
}

func TestAcceptQueueSeesItsCap(t *testing.T) {
	caps, err := sysctlInts("net.core.somaxconn")
	if err != nil {
		t.Skip(err)
	}
	if f := acceptQueue(t.Context()); f.OK != (caps[0] >= wantBacklog) {
		t.Errorf("%+v at a somaxconn of %d", f, caps[0])
	}
}

func TestOpenFilesSeesALowLimit(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = min(limit.Cur, 512)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }()
	if f := openFiles(t.Context()); f.OK || f.Fix == "" || !strings.Contains(f.Why, "512") {
		t.Errorf("%+v", f)
	}
}

// typesOf lays out BTF with the given typedefs behind a structure of one member.
func typesOf(names ...string) []byte {
	order, text := binary.NativeEndian, []byte{0}
	var types []byte
	add := func(fields ...uint32) {
		for _, f := range fields {
			types = order.AppendUint32(types, f)
		}
	}
	add(0, 4<<24|1, 8, 0, 0, 0)
	for _, name := range names {
		add(uint32(len(text)), kindTypedef<<24, 0)
		text = append(append(text, name...), 0)
	}
	head := order.AppendUint16(nil, btfMagic)
	head = append(head, 1, 0)
	for _, f := range []uint32{btfHeader, 0, uint32(len(types)), uint32(len(types)), uint32(len(text))} {
		head = order.AppendUint32(head, f)
	}
	return append(append(head, types...), text...)
}

func TestFindTypedef(t *testing.T) {
	data := typesOf("other", "btf_trace_sys_enter_not", "btf_trace_sys_enter")
	if id, err := findTypedef(data, "btf_trace_sys_enter"); err != nil || id != 4 {
		t.Errorf("type %d, %v; want 4", id, err)
	}
	if _, err := findTypedef(data, "missing"); err == nil || !strings.Contains(err.Error(), "no type missing") {
		t.Errorf("a missing name: %v", err)
	}
	for n := range data {
		if id, err := findTypedef(data[:n], "missing"); err == nil {
			t.Errorf("found type %d in the first %d bytes", id, n)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		broken := bytes.Clone(data)
		for range 1 + random.IntN(4) {
			broken[random.IntN(len(broken))] = byte(random.Uint32())
		}
		_, _ = findTypedef(broken, "btf_trace_sys_enter") // must not panic
	}
}

func TestKernelsTypesAreRead(t *testing.T) {
	id, err := sysEnterType()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Skip(err)
	}
	if err != nil || id == 0 {
		t.Errorf("type %d, %v", id, err)
	}
}

// TestFullFolder tries a file system without room, mounted where only one thread
// sees it.
func TestFullFolder(t *testing.T) {
	dir := t.TempDir()
	var found results.Finding
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its mounts
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8k")
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 8<<10), 0o600)
		}
		if err == nil {
			found = Folder{"x", dir, 1 << 20}.try(context.Background())
		}
		done <- err
	}()
	if err := <-done; errors.Is(err, unix.EPERM) {
		t.Skip("needs root to mount a file system without room")
	} else if err != nil {
		t.Fatal(err)
	}
	if found.OK || !strings.HasSuffix(found.Why, dir+": no space left on device") || !strings.HasPrefix(found.Fix, "make room") {
		t.Errorf("%+v", found)
	}
}
