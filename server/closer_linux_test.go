package server

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCloserIsBounded refuses more connections than may linger: each gets the
// answer, those beyond the bound are closed at once, the others once their
// clients close.
func TestCloserIsBounded(t *testing.T) {
	const refused = 3 * closerCapacity
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 2*refused+200 {
		t.Skipf("needs %d open files, RLIMIT_NOFILE allows %d (%v)", 2*refused+200, limit.Cur, err)
	}
	a := &acceptor{server: &Server{}, conns: newConnTable(int(min(limit.Cur, 1<<20)))}
	c := startCloser(a)
	clients := make([]int, 0, refused)
	closeClients := func() {
		for _, fd := range clients {
			_ = unix.Close(fd)
		}
		clients = nil
	}
	defer closeClients()
	for i := range refused {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, pair[1])
		a.conns.open(pair[0])
		a.server.counters.active.Add(1)
		c.answerOverloaded(pair[0])
		if i%100 == 0 {
			time.Sleep(time.Millisecond) // lets the closer take them
		}
	}
	// As many may still wait to be taken.
	if open := a.server.counters.active.Load(); open > 2*closerCapacity || open == 0 {
		t.Errorf("%d connections linger, want at most %d and as many in its queue", open, closerCapacity)
	}
	answer := make([]byte, 2*len(c.answer))
	for _, fd := range clients {
		if n, err := unix.Read(fd, answer); err != nil || string(answer[:n]) != string(c.answer) {
			t.Fatalf("client read %q, %v", answer[:max(n, 0)], err)
		}
	}
	closeClients()
	c.stop()
	if open := a.server.counters.active.Load(); open != 0 {
		t.Errorf("%d connections open after the stop", open)
	}
}
