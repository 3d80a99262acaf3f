package loadgen

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	wakeTag = -1 // Fd of an event that wakes the loop
	timeTag = -2 // Fd of the fallback timer's event
)

// poller is an epoll instance that waits to the nanosecond and can be woken
// from other threads.
type poller struct {
	epfd, wakefd int
	timerfd      int           // -1 unless the kernel lacks epoll_pwait2 (before 5.11)
	timeout      unix.Timespec // here, since what a system call is handed would be allocated
	events       [256]unix.EpollEvent
}

func newPoller() (p *poller, err error) {
	p = &poller{epfd: -1, wakefd: -1, timerfd: -1}
	defer func() {
		if err != nil {
			p.close()
			p, err = nil, fmt.Errorf("set up the event loop: %w", err)
		}
	}()
	if p.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return p, err
	}
	if p.wakefd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return p, err
	}
	if err = p.add(p.wakefd, wakeTag, 0, unix.EPOLLIN); err != nil {
		return p, err
	}
	if errno := p.pwait2(0); errno == unix.ENOSYS {
		err = p.useTimerfd()
	}
	return p, err
}

func (p *poller) useTimerfd() (err error) {
	if p.timerfd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	return p.add(p.timerfd, timeTag, 0, unix.EPOLLIN|unix.EPOLLET)
}

func (p *poller) close() {
	for _, fd := range []int{p.epfd, p.wakefd, p.timerfd} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// wake makes a wait return at once; safe from any thread until close.
func (p *poller) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(p.wakefd, one[:])
}

// add registers fd under id; generation tells a descriptor's events from those
// of an earlier one with the same number.
func (p *poller) add(fd int, id, generation int32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: id, Pad: generation}
	return unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, fd, &ev)
}

func (p *poller) modify(fd int, id, generation int32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: id, Pad: generation}
	return unix.EpollCtl(p.epfd, unix.EPOLL_CTL_MOD, fd, &ev)
}

// ready returns the events that are there now, without waiting. Unlike wait it
// never gives up the thread's P, which is what makes it cheap.
func (p *poller) ready() (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	return result(n, errno)
}

// wait returns events, after at most d.
func (p *poller) wait(d time.Duration) (int, error) {
	if p.timerfd >= 0 {
		return p.waitTimerfd(d)
	}
	p.timeout = unix.NsecToTimespec(int64(d))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epfd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(unsafe.Pointer(&p.timeout)), 0, 0)
	return result(n, errno)
}

func (p *poller) waitTimerfd(d time.Duration) (int, error) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))}
	if err := unix.TimerfdSettime(p.timerfd, 0, &spec, nil); err != nil {
		return 0, err
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), ^uintptr(0), 0, 0)
	return result(n, errno)
}

// pwait2 probes for the system call.
func (p *poller) pwait2(ns int64) unix.Errno {
	ts := unix.NsecToTimespec(ns)
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epfd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	return errno
}

func result(n uintptr, errno unix.Errno) (int, error) {
	switch {
	case errno == 0:
		return int(n), nil
	case errors.Is(errno, unix.EINTR):
		return 0, nil
	}
	return 0, fmt.Errorf("wait for events: %w", errno)
}

// send and receive never block: the sockets are non-blocking, so a raw system
// call, which does not tell the scheduler, is safe.
func send(fd int, b []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

func receive(fd int, b []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
