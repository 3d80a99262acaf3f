package server

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// backlogOf is the accept queue's length that the Listen stage asks for. The
// kernel caps it at net.core.somaxconn and lets one connection more wait.
func backlogOf(listen string) int {
	if listen == "backlog1024" {
		return 1024
	}
	return 10
}

// listenRaw binds and listens on a raw socket. Receive and send timeouts are
// set on it, since accepted sockets inherit them: a connection that behaves
// costs no setsockopt of its own.
func listenRaw(address string, backlog int, receive, send time.Duration) (fd int, bound string, err error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return -1, "", fmt.Errorf("resolve address %s: %w; want HOST:PORT", address, err)
	}
	family, socketAddress := rawAddress(resolved)
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("open socket for %s: %w", address, err)
	}
	if err := prepareListener(fd, socketAddress, backlog, receive, send); err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EADDRINUSE) {
			return -1, "", fmt.Errorf("listen on %s: address already in use; stop what listens there or choose another with --addr", address)
		}
		return -1, "", fmt.Errorf("listen on %s: %w", address, err)
	}
	bound, err = boundAddress(fd, resolved)
	if err != nil {
		_ = unix.Close(fd)
		return -1, "", fmt.Errorf("read the address of %s: %w", address, err)
	}
	return fd, bound, nil
}

func rawAddress(address *net.TCPAddr) (family int, socketAddress unix.Sockaddr) {
	if ip4 := address.IP.To4(); ip4 != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(ip4)}
	}
	s := &unix.SockaddrInet6{Port: address.Port}
	copy(s.Addr[:], address.IP.To16()) // the zero address listens on IPv4 too
	return unix.AF_INET6, s
}

func prepareListener(fd int, address unix.Sockaddr, backlog int, receive, send time.Duration) error {
	options := []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	}
	for _, option := range options {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			return fmt.Errorf("set socket option: %w", err)
		}
	}
	if err := setReceiveTimeout(fd, receive); err != nil {
		return err
	}
	if err := setTimeout(fd, unix.SO_SNDTIMEO, send); err != nil {
		return err
	}
	if err := unix.Bind(fd, address); err != nil {
		return err
	}
	return unix.Listen(fd, backlog)
}

func setReceiveTimeout(fd int, d time.Duration) error {
	return setTimeout(fd, unix.SO_RCVTIMEO, d)
}

// setTimeout sets a socket timeout of at least 1 µs: zero would mean none.
func setTimeout(fd, option int, d time.Duration) error {
	value := unix.NsecToTimeval(max(d, time.Microsecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &value); err != nil {
		return fmt.Errorf("set socket timeout: %w", err)
	}
	return nil
}

func boundAddress(fd int, asked *net.TCPAddr) (string, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	port := asked.Port
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		port = a.Port
	case *unix.SockaddrInet6:
		port = a.Port
	}
	host := "127.0.0.1"
	if len(asked.IP) > 0 && !asked.IP.IsUnspecified() {
		host = asked.IP.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}
