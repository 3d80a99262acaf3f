package server

import (
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptor owns the listening socket and the table of open connections; the
// blocking Execs share it.
type acceptor struct {
	server *Server
	fd     int
	bound  string
	conns  *connTable
	// initialTimeout is the receive timeout that accepted sockets inherit.
	initialTimeout time.Duration
	sessions       sync.Pool
}

func newAcceptor(s *Server) (*acceptor, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("read the open-file limit: %w", err)
	}
	descriptors := int(min(limit.Cur, 1<<20))
	if s.config.MaxConnections == 0 {
		s.config.MaxConnections = max(1, min(65536, descriptors-100))
	}
	a := &acceptor{server: s, conns: newConnTable(descriptors), initialTimeout: s.config.ReadTimeout}
	if s.config.Recipe.Conn == "keep" {
		a.initialTimeout = s.config.IdleTimeout
	}
	a.sessions.New = func() any { return newSession(s.handler) }
	var err error
	a.fd, a.bound, err = listenRaw(s.config.Address, backlogOf(s.config.Recipe.Listen), a.initialTimeout, s.config.WriteTimeout)
	return a, err
}

func (a *acceptor) address() string { return a.bound }

// accept blocks until a connection comes. Connections beyond the limit are
// closed at once and counted.
func (a *acceptor) accept() (fd int, err error) {
	for {
		// Not x/sys' Accept4, which asks for the socket's protocol each time: a
		// getsockopt(2) a connection that no phase means to make.
		fd, _, err := syscall.Accept4(a.fd, syscall.SOCK_CLOEXEC)
		if a.server.stopping.Load() {
			if err == nil {
				_ = unix.Close(fd)
			}
			return -1, errStopped
		}
		switch err {
		case nil:
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			// The connection waits in the accept queue for better times.
			a.server.logf("accept connection: %v", err)
			time.Sleep(10 * time.Millisecond)
			continue
		case unix.EINTR, unix.EAGAIN, unix.ECONNABORTED, unix.EPROTO, unix.EPERM,
			unix.ENETDOWN, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENOPROTOOPT, unix.ENONET, unix.EOPNOTSUPP:
			// What befell the connection, not the listener: accept(2), "Error handling".
			continue
		default:
			return -1, fmt.Errorf("accept connection: %w", err)
		}
		counters := &a.server.counters
		if counters.active.Load() >= int64(a.server.config.MaxConnections) || !a.conns.open(fd) {
			counters.refused.Add(1)
			_ = unix.Close(fd)
			continue
		}
		counters.accepted.Add(1)
		counters.active.Add(1)
		return fd, nil
	}
}

// close ends a connection that accept returned.
func (a *acceptor) close(fd int) {
	a.conns.close(fd)
	a.server.counters.active.Add(-1)
}

// refuse closes a connection for which there is no thread.
func (a *acceptor) refuse(fd int) {
	a.server.counters.refused.Add(1)
	a.close(fd)
}

// wake lets the thread that blocks in accept return.
func (a *acceptor) wake() { _ = unix.Shutdown(a.fd, unix.SHUT_RD) }

// wakeReaders lets reads return: idle connections end, answers under way go on.
func (a *acceptor) wakeReaders() { a.conns.shutdown(unix.SHUT_RD) }

// abort ends every connection.
func (a *acceptor) abort() { a.conns.shutdown(unix.SHUT_RDWR) }

// release closes the listening socket, after run has returned.
func (a *acceptor) release() { _ = unix.Close(a.fd) }
