package scenarios

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// process is a line of the process table.
type process struct {
	pid, parent int
	state       string
	started     uint64 // clock ticks since boot; tells a process from a later one of the same id
	// At the kernel's tick, 10 ms: of the process' own threads, and of the
	// children that it has waited for.
	user, system, waitedUser, waitedSystem time.Duration

	threads, rss int64
}

// processTable reads all processes. One that ends meanwhile is left out.
func processTable() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close()
	if err != nil {
		return nil
	}
	var table []process
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, err := readProcess(pid); err == nil {
				table = append(table, p)
			}
		}
	}
	return table
}

// readProcess reads what a tree is made of. It is not left to procfs, which
// reads every field and logs; a walk meets hundreds of processes.
func readProcess(pid int) (process, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	// The name is in parentheses and may hold any character.
	end := strings.LastIndexByte(string(data), ')')
	fields := strings.Fields(string(data[end+1:]))
	if end < 0 || len(fields) < 22 {
		return process{}, errors.New("a line of the process table is cut short")
	}
	number := func(i int) int64 { // proc(5) counts from the id, which is 1, and the state is 3
		v, _ := strconv.ParseInt(fields[i-3], 10, 64)
		return v
	}
	ticks := func(i int) time.Duration { return time.Duration(number(i)) * tick }
	return process{pid: pid, parent: int(number(4)), state: fields[0], started: uint64(number(22)),
		user: ticks(14), system: ticks(15), waitedUser: ticks(16), waitedSystem: ticks(17),
		threads: number(20), rss: number(24) * int64(os.Getpagesize())}, nil
}

// waitedFor is the CPU time of the children that the process has waited for.
func (p process) waitedFor() time.Duration { return p.waitedUser + p.waitedSystem }

// descendantsOf are the processes below pid, itself apart, zombies included.
func descendantsOf(pid int) []process { return below(processTable(), pid) }

// below finds all that descends from the given processes, themselves apart.
func below(table []process, roots ...int) []process {
	children := map[int][]process{}
	for _, p := range table {
		children[p.parent] = append(children[p.parent], p)
	}
	var found []process
	seen := map[int]bool{}
	for _, root := range roots {
		seen[root] = true
	}
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		for _, p := range children[queue[0]] {
			if !seen[p.pid] {
				seen[p.pid] = true
				found = append(found, p)
				queue = append(queue[:len(queue):len(queue)], p.pid)
			}
		}
	}
	return found
}

// tree is whose cost a foreign subject's is.
type tree struct {
	// keeper is the process whose descendants they are; 0 for a server that
	// runs already.
	keeper int
	// holders are the processes that hold a running server's listening socket;
	// they and their descendants are meant.
	holders []int
}

// processes are those of the tree at this moment.
func (t *tree) processes() []process {
	table := processTable()
	if t.keeper != 0 {
		return below(table, t.keeper)
	}
	var own []process
	for _, p := range table {
		for _, pid := range t.holders {
			if p.pid == pid {
				own = append(own, p)
			}
		}
	}
	return append(own, below(table, t.holders...)...)
}

// nearby are the processes of the tree by a walk that is cheap enough to be made
// while a load runs. It follows what the first threads of each process have
// forked.
func (t *tree) nearby() []int {
	queue := append([]int(nil), t.holders...)
	if t.keeper != 0 {
		queue = childrenOfThreads(t.keeper)
	}
	seen := map[int]bool{}
	var found []int
	for ; len(queue) > 0; queue = queue[1:] {
		if pid := queue[0]; !seen[pid] {
			seen[pid] = true
			found = append(found, pid)
			queue = append(queue, childrenOfThreads(pid)...)
		}
	}
	return found
}

// maxThreadsWalked bounds the work of nearby for a process of many threads.
const maxThreadsWalked = 16

func childrenOfThreads(pid int) []int {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	folder, err := os.Open(dir)
	if err != nil {
		return nil
	}
	tids, _ := folder.Readdirnames(maxThreadsWalked)
	_ = folder.Close()
	var children []int
	for _, tid := range tids {
		data, err := os.ReadFile(dir + "/" + tid + "/children")
		if err != nil {
			continue
		}
		for word := range strings.FieldsSeq(string(data)) {
			if child, err := strconv.Atoi(word); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// listener is a listening TCP socket.
type listener struct {
	address string // HOST:PORT at which it can be reached from here
	port    int
	inode   uint64
}

const stateListen = 0x0A // TCP_LISTEN, include/net/tcp_states.h

// listeners are the listening sockets of this network namespace.
func listeners() []listener {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil
	}
	var found []listener
	// Deprecated for its speed among many connections, where netlink is faster;
	// this is read before the first one.
	lines, _ := fs.NetTCP() //nolint:staticcheck // see above
	six, _ := fs.NetTCP6()  //nolint:staticcheck // see above
	for _, line := range append(lines, six...) {
		if line.St != stateListen {
			continue
		}
		host := line.LocalAddr.String()
		if line.LocalAddr.IsUnspecified() {
			host = "127.0.0.1"
		}
		found = append(found, listener{address: joinHostPort(host, int(line.LocalPort)), port: int(line.LocalPort), inode: line.Inode})
	}
	return found
}

// socketsOf are the inodes of the sockets that a process holds. The error says
// that this user may not look.
func socketsOf(pid int) (map[uint64]bool, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := folder.Readdirnames(-1)
	_ = folder.Close()
	if err != nil {
		return nil, err
	}
	found := map[uint64]bool{}
	for _, name := range names {
		target, err := os.Readlink(dir + "/" + name)
		if err != nil {
			continue
		}
		if text, ok := strings.CutPrefix(target, "socket:["); ok {
			if inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64); err == nil {
				found[inode] = true
			}
		}
	}
	return found, nil
}

// listening are the sockets at which a tree listens.
func (t *tree) listening() []listener {
	held := map[uint64]bool{}
	for _, p := range t.processes() {
		sockets, err := socketsOf(p.pid)
		if err != nil {
			continue
		}
		for inode := range sockets {
			held[inode] = true
		}
	}
	var own []listener
	for _, l := range listeners() {
		if held[l.inode] {
			own = append(own, l)
		}
	}
	return own
}

// holdersOf are the processes that hold a listening socket of a port, as far as
// this user may look.
func holdersOf(port int) []int {
	inodes := map[uint64]bool{}
	for _, l := range listeners() {
		if l.port == port {
			inodes[l.inode] = true
		}
	}
	if len(inodes) == 0 {
		return nil
	}
	var pids []int
	for _, p := range processTable() {
		sockets, err := socketsOf(p.pid)
		if err != nil {
			continue
		}
		for inode := range sockets {
			if inodes[inode] {
				pids = append(pids, p.pid)
				break
			}
		}
	}
	return pids
}

// withoutAncestors leaves out the processes that pid descends from, and itself:
// a service manager holds the sockets of the services that it activates, and
// the whole machine, the generator too, is below it.
func withoutAncestors(holders []int, table []process, pid int) []int {
	parents := make(map[int]int, len(table))
	for _, p := range table {
		parents[p.pid] = p.parent
	}
	above := map[int]bool{}
	for ; pid != 0 && !above[pid]; pid = parents[pid] {
		above[pid] = true
	}
	return slices.DeleteFunc(slices.Clone(holders), func(holder int) bool { return above[holder] })
}
