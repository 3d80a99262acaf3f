package scenarios

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	scratchPrefix = "mslab-run-"
	// scratchGrace protects a folder whose run has not locked it yet.
	scratchGrace = time.Minute
)

// scratch is a run's temporary folder, which holds its servers' data. It is
// locked as long as the run lives, so that the folder of one that was killed
// can be told from the others.
type scratch struct {
	dir  string
	lock *os.File
}

// newScratch makes the folder and clears away those of killed runs.
func newScratch() (*scratch, error) {
	sweepScratch(os.TempDir(), time.Now().Add(-scratchGrace))
	dir, err := os.MkdirTemp("", scratchPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder for the servers' data: %w", err)
	}
	s := &scratch{dir: dir}
	if s.lock, err = lockFolder(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the folder for the servers' data: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

// remove takes the folder away, whatever is in it.
func (s *scratch) remove() error {
	return errors.Join(os.RemoveAll(s.dir), s.lock.Close())
}

// lockFolder fails where another process holds the lock. The kernel gives it
// back when the process ends, however it ends.
func lockFolder(dir string) (*os.File, error) {
	folder, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = folder.Close()
		return nil, err
	}
	return folder, nil
}

// sweepScratch removes this user's folders under root that no run holds and
// that are older than before. What cannot be removed stays: it is no matter of
// the run that begins.
func sweepScratch(root string, before time.Time) {
	dirs, _ := filepath.Glob(filepath.Join(root, scratchPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !info.ModTime().Before(before) {
			continue
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
			continue
		}
		if lock, err := lockFolder(dir); err == nil {
			_ = os.RemoveAll(dir)
			_ = lock.Close()
		}
	}
}
