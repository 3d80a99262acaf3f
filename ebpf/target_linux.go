//go:build amd64 || arm64

package ebpf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// enum kind and enum role of syscalls.h.
const (
	kindNone = iota
	kindNotOpen
	kindFile
	kindPipe
	kindAnon
	kindTCP4
	kindTCP6
	kindUDP4
	kindUDP6
	kindUnix
	kindSocket
)

const (
	roleNone = iota
	roleListening
	roleAccepted
	roleConnected
	roleBound
)

// namer says what targets are, with the names that the probes noted.
type namer struct {
	lookup func(syscallsTarget) (*syscallsName, error)
}

func (t *SyscallTracer) newNamer() *namer {
	names := t.probes.coll.Maps[syscallsMapNames]
	return &namer{lookup: func(target syscallsTarget) (*syscallsName, error) {
		var name syscallsName
		return &name, names.Lookup(target, &name)
	}}
}

// text names a target: "" for a call that takes no descriptor.
func (n *namer) text(t syscallsTarget) string {
	switch t.Kind {
	case kindNone:
		return ""
	case kindNotOpen:
		return "not open"
	case kindFile:
		return n.file(t)
	case kindPipe:
		return fmt.Sprintf("pipe [%d]", t.Id)
	case kindAnon:
		return n.anonymous(t)
	case kindTCP4, kindTCP6, kindUDP4, kindUDP6:
		return internet(t)
	case kindUnix:
		return n.unix(t)
	}
	return otherSocket(t)
}

// file names what has a place in a file system.
func (n *namer) file(t syscallsTarget) string {
	name, err := n.lookup(t)
	if err != nil {
		return fmt.Sprintf("file (inode %d on device %d:%d)", t.Id, t.Dev>>20, t.Dev&0xfffff)
	}
	kind := "file"
	switch name.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		kind = "directory"
	case unix.S_IFCHR, unix.S_IFBLK:
		kind = "device"
	case unix.S_IFIFO:
		kind = "fifo"
	}
	path := name.path()
	if name.Deleted != 0 {
		path += " (deleted)"
	}
	return kind + " " + path
}

// path puts the parts of a path in order, which came last first.
func (name *syscallsName) path() string {
	parts := strings.Split(strings.TrimSuffix(string(name.bytes()), "\x00"), "\x00")
	slices.Reverse(parts)
	path := "/" + strings.Join(parts, "/")
	if name.Cut != 0 {
		path = "…" + path
	}
	return path
}

// bytes gives the text as the kernel has it.
func (name *syscallsName) bytes() []byte {
	n := min(int(name.Len), len(name.Text))
	b := make([]byte, n)
	for i, c := range name.Text[:n] {
		b[i] = byte(c)
	}
	return b
}

// anonymous names an inode without a place: "[eventfd]" becomes "eventfd".
func (n *namer) anonymous(t syscallsTarget) string {
	name, err := n.lookup(t)
	if err != nil {
		return "anonymous inode (not named)"
	}
	return strings.Trim(strings.TrimPrefix(name.path(), "/"), "[]")
}

// internet names TCP and UDP sockets by the end that many of them share.
func internet(t syscallsTarget) string {
	protocol := "tcp"
	if t.Kind == kindUDP4 || t.Kind == kindUDP6 {
		protocol = "udp"
	}
	addr := netip.AddrFrom16(t.Addr).Unmap()
	if t.Kind == kindTCP4 || t.Kind == kindUDP4 {
		addr = netip.AddrFrom4([4]byte(t.Addr[:4]))
	}
	end := netip.AddrPortFrom(addr, t.Port).String()
	switch t.Role {
	case roleListening:
		return protocol + " " + end + " (listening)"
	case roleAccepted:
		return protocol + " " + end + " (accepted)"
	case roleConnected:
		return protocol + " to " + end
	case roleBound:
		return protocol + " " + end
	}
	return protocol + " (not bound)"
}

// unix names a Unix socket by its address: "@" begins an abstract one.
func (n *namer) unix(t syscallsTarget) string {
	if t.Id == 0 {
		return "unix socket (pair or not bound)"
	}
	text := "unix "
	if t.Role == roleConnected {
		text += "to "
	}
	name, err := n.lookup(t)
	switch {
	case err != nil:
		text += "(address not read)"
	case name.Len <= 2:
		text += "(no address)"
	default:
		path := name.bytes()[2:] // after the family
		if path[0] == 0 {
			text += "@" + strings.TrimRight(string(path[1:]), "\x00")
		} else {
			text += strings.TrimRight(string(path), "\x00")
		}
	}
	if t.Role == roleListening {
		text += " (listening)"
	}
	return text
}

// families names those that have a word of their own (include/linux/socket.h).
var families = map[uint32]string{
	unix.AF_NETLINK: "netlink", unix.AF_PACKET: "packet", unix.AF_VSOCK: "vsock", unix.AF_ALG: "alg",
	unix.AF_INET: "ip", unix.AF_INET6: "ip6", unix.AF_XDP: "xdp", unix.AF_BLUETOOTH: "bluetooth",
}

func otherSocket(t syscallsTarget) string {
	if name, ok := families[t.Dev]; ok {
		return fmt.Sprintf("%s socket (protocol %d)", name, t.Port)
	}
	return fmt.Sprintf("socket of family %d (protocol %d)", t.Dev, t.Port)
}

// noteListeners tells the probes on which ports the sockets of a process listen, by
// its id in the first pid namespace: connections from there were accepted.
func (t *SyscallTracer) noteListeners(process uint32) error {
	if err := t.set("listener", process); err != nil {
		return err
	}
	return iterate(t.probes.coll.Programs[syscallsProgNoteListeners], func(uint8) {})
}
