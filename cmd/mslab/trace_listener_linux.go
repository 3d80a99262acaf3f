package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// listenerOf finds the process that listens at an address of this machine, by
// its socket.
func listenerOf(address string) (int, error) {
	base, err := url.Parse(address)
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(base.Port(), 10, 16)
	if err != nil {
		return 0, fmt.Errorf("it names no port: %w", err)
	}
	sockets, err := listening(base.Hostname(), uint16(port))
	if err != nil {
		return 0, err
	}
	procs, err := procfs.AllProcs()
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, proc := range procs {
		targets, err := proc.FileDescriptorTargets()
		if err != nil {
			continue // another user's, or it has just ended
		}
		if slices.ContainsFunc(targets, func(t string) bool { return slices.Contains(sockets, t) }) {
			return proc.PID, nil
		}
	}
	return 0, errors.New("no process that you may look at listens there; trace it as its own user, on its own machine and in its own network namespace, or give --pid")
}

// listening names the sockets that listen on a port, as /proc/PID/fd does. It
// asks the kernel for listeners alone: /proc/net/tcp has every connection, which
// takes seconds after a load of new ones.
func listening(host string, port uint16) ([]string, error) {
	addresses, err := net.LookupIP(host)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		found, err := listeners(family)
		if err != nil {
			return nil, fmt.Errorf("list listening sockets by sock_diag: %w", err)
		}
		for _, l := range found {
			here := l.address.Addr().IsUnspecified() || slices.ContainsFunc(addresses, func(ip net.IP) bool {
				a, _ := netip.AddrFromSlice(ip)
				return a.Unmap() == l.address.Addr()
			})
			if here && l.address.Port() == port {
				names = append(names, fmt.Sprintf("socket:[%d]", l.inode))
			}
		}
	}
	return names, nil
}

// listener is a listening TCP socket.
type listener struct {
	address netip.AddrPort
	inode   uint32
}

// Of include/uapi/linux/inet_diag.h and sock_diag.h.
const (
	sockDiagByFamily = 20
	inetDiagReqV2    = 56 // sizes in bytes
	inetDiagMsg      = 72
	inetDiagPort     = 4 // offsets in inetDiagMsg
	inetDiagAddress  = 8
	inetDiagInode    = 68
	tcpListen        = 10 // include/net/tcp_states.h
)

// listeners asks for the listening sockets of one family by sock_diag(7).
func listeners(family uint8) ([]listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	request := make([]byte, unix.SizeofNlMsghdr+inetDiagReqV2)
	native := binary.NativeEndian
	native.PutUint32(request[0:], uint32(len(request)))
	native.PutUint16(request[4:], sockDiagByFamily)
	native.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := request[unix.SizeofNlMsghdr:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	native.PutUint32(body[4:], 1<<tcpListen)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var found []listener
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		some, done, err := parseListeners(buffer[:n])
		found = append(found, some...)
		if err != nil || done {
			return found, err
		}
	}
}

// parseListeners reads the messages of one answer; done says that no more comes.
func parseListeners(data []byte) (found []listener, done bool, err error) {
	native := binary.NativeEndian
	for len(data) >= unix.SizeofNlMsghdr {
		length, kind := int(native.Uint32(data)), native.Uint16(data[4:])
		if length < unix.SizeofNlMsghdr || length > len(data) {
			return found, false, errors.New("the answer is cut")
		}
		body := data[unix.SizeofNlMsghdr:length]
		switch {
		case kind == unix.NLMSG_DONE:
			return found, true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			return found, true, syscall.Errno(-int32(native.Uint32(body)))
		case kind == sockDiagByFamily && len(body) >= inetDiagMsg:
			size := 4
			if body[0] == unix.AF_INET6 {
				size = 16
			}
			address, _ := netip.AddrFromSlice(body[inetDiagAddress : inetDiagAddress+size])
			port := binary.BigEndian.Uint16(body[inetDiagPort:])
			found = append(found, listener{netip.AddrPortFrom(address.Unmap(), port), native.Uint32(body[inetDiagInode:])})
		}
		data = data[min((length+3)&^3, len(data)):] // NLMSG_ALIGN
	}
	return found, false, nil
}
