package doctor

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"mslab/results"
	"mslab/server"
)

// wantFiles is 10,000 connections and what a process has open beside them.
const wantFiles = 10_200

// openFiles asks for a descriptor with the number of the last one wanted.
func openFiles(context.Context) results.Finding {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return results.Fails("give this process a /dev/null", "open /dev/null: %v", err)
	}
	defer func() { _ = unix.Close(fd) }()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return results.Fails("allow getrlimit, which a seccomp filter may forbid", "read the open-file limit: %v", err)
	}
	// EINVAL is a number beyond the limit (fcntl(2)).
	last, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, wantFiles-1)
	if err != nil {
		return results.Fails("raise the hard limit: ulimit -n 65536 as root, or nofile in /etc/security/limits.conf",
			"asked for %d open files, for 10,000 connections: %v (the limit is %d)", wantFiles, err, limit.Cur)
	}
	_ = unix.Close(last)
	return results.Works("got a descriptor numbered %d; the limit is %d", last, limit.Cur)
}

// threads holds what each limit leaves against the default budget of a server,
// which takes no more than half of it.
func threads(context.Context) results.Finding {
	const wanted = 2 * server.DefaultMaxThreads
	least := server.ThreadLimit{Left: 1 << 30}
	for _, l := range server.ThreadLimits() {
		if l.Left < least.Left {
			least = l
		}
	}
	switch {
	case least.Name == "":
		return results.Works("threads-max, pids.max and RLIMIT_NPROC set no limit")
	case least.Left < wanted:
		return results.Fails(fmt.Sprintf("raise %s, or live with a server that refuses connections beyond %d threads", least.Name, max(1, least.Left/2)),
			"%s leaves %d more threads; the default budget of %d wants twice that", least.Name, max(0, least.Left), server.DefaultMaxThreads)
	}
	return results.Works("%s, the nearest limit, leaves %d more", least.Name, least.Left)
}

// wantBacklog is that of the phases from 7 on.
const wantBacklog = 1024

// acceptQueue asks for a backlog and reads what the listener got: in state
// LISTEN tcpi_sacked holds it (tcp_get_info in the kernel's net/ipv4/tcp.c).
func acceptQueue(context.Context) results.Finding {
	const fix = "sysctl -w net.core.somaxconn=4096"
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return results.Fails("allow TCP sockets", "make a TCP socket: %v", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return results.Fails("bring up the loopback device", "bind to 127.0.0.1: %v", err)
	}
	if err := unix.Listen(fd, wantBacklog); err != nil {
		return results.Fails("allow listening sockets", "listen on 127.0.0.1: %v", err)
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return results.Fails(fix, "ask a listener for its backlog: %v", err)
	}
	if info.Sacked < wantBacklog {
		return results.Fails(fix, "a listener that asked for a backlog of %d got %d: somaxconn caps it", wantBacklog, info.Sacked)
	}
	return results.Works("a listener that asked for a backlog of %d got %d", wantBacklog, info.Sacked)
}

// wantPorts is the size of the range that is set aside for this, 49152 to 65535
// (RFC 6335, section 6).
const wantPorts = 16_384

func portRange(context.Context) results.Finding {
	const fix = "sysctl -w net.ipv4.ip_local_port_range='32768 60999'"
	values, err := sysctlInts("net.ipv4.ip_local_port_range")
	if err != nil || len(values) != 2 {
		return results.Fails("mount /proc/sys", "read net.ipv4.ip_local_port_range: %v", err)
	}
	if n := values[1] - values[0] + 1; n < wantPorts {
		return results.Fails(fix, "%d to %d is %d ports: new connections to one address run out of them", values[0], values[1], n)
	}
	return results.Works("%d to %d: %d ports for new connections to one address", values[0], values[1], values[1]-values[0]+1)
}

func timeWaitReuse(context.Context) results.Finding {
	values, err := sysctlInts("net.ipv4.tcp_tw_reuse")
	switch {
	case err != nil || len(values) != 1:
		return results.Fails("mount /proc/sys", "read net.ipv4.tcp_tw_reuse: %v", err)
	case values[0] == 0:
		return results.Fails("sysctl -w net.ipv4.tcp_tw_reuse=2", "tcp_tw_reuse is 0: a port waits for 60 s before it serves a new connection")
	}
	return results.Works("tcp_tw_reuse is %d: ports in TIME_WAIT serve new connections over loopback", values[0])
}

func sysctlInts(name string) ([]int, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}
	return fs.SysctlInts(name)
}
