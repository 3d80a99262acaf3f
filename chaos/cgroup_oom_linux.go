package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// oomWatch is told by the kernel when a group runs out of memory: by an eventfd
// in version 1 (memory.oom_control, cgroup.event_control), by a change of
// memory.events in version 2.
type oomWatch struct {
	first  chan time.Time // the moment of the first event
	events atomic.Int64
	wake   *os.File
	done   chan struct{}
}

// watchOOM begins to watch. Close it before the group is removed: the kernel
// signals the end of a group of version 1 in the same way.
func (g memoryGroup) watchOOM() (*oomWatch, error) {
	open, await := g.openEventsV2, g.awaitV2
	if g.files.version == 1 {
		open, await = g.openEventfd, awaitV1
	}
	wake, err := open()
	if err != nil {
		return nil, fmt.Errorf("watch cgroup %s for OOM events: %w", g.dir, err)
	}
	w := &oomWatch{first: make(chan time.Time, 1), wake: wake, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			n, err := await(wake)
			if err != nil {
				return // closed
			}
			if n > 0 && w.events.Add(n) == n {
				w.first <- time.Now()
			}
		}
	}()
	return w, nil
}

// Close stops watching and waits until nothing of it runs any more.
func (w *oomWatch) Close() error {
	err := w.wake.Close()
	<-w.done
	return err
}

func (g memoryGroup) openEventfd() (*os.File, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	wake := os.NewFile(uintptr(fd), "eventfd")
	control, err := os.Open(filepath.Join(g.dir, "memory.oom_control"))
	if err == nil {
		err = g.write("cgroup.event_control", fmt.Sprintf("%d %d", fd, control.Fd()))
		err = errors.Join(err, control.Close())
	}
	if err != nil {
		return nil, errors.Join(err, wake.Close())
	}
	return wake, nil
}

func awaitV1(wake *os.File) (int64, error) {
	var counter [8]byte
	if _, err := wake.Read(counter[:]); err != nil {
		return 0, err
	}
	return int64(binary.NativeEndian.Uint64(counter[:])), nil
}

func (g memoryGroup) openEventsV2() (*os.File, error) { return watchChanges(g.dir, "memory.events") }

// watchChanges returns a file that can be read whenever a file of the group has
// changed.
func watchChanges(dir, file string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make inotify instance: %w", err)
	}
	wake := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, filepath.Join(dir, file), unix.IN_MODIFY); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", file, err), wake.Close())
	}
	return wake, nil
}

// awaitV2 waits for a change and tells 1 once the group is out of memory: the
// file counts other events too.
func (g memoryGroup) awaitV2(wake *os.File) (int64, error) {
	buffer := make([]byte, 16*unix.SizeofInotifyEvent)
	if _, err := wake.Read(buffer); err != nil {
		return 0, err
	}
	events, err := g.keyed("memory.events")
	if err != nil || events["oom"]+events["oom_kill"] == 0 {
		return 0, nil // the group may have just gone; the next read ends by Close
	}
	return 1, nil
}
