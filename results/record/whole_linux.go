package record

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openNameless opens a file in a folder that goes with its last descriptor, until
// linkNameless names it (open(2), O_TMPFILE).
func openNameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), dir)
	// Without proc(5) it could not be named.
	if _, err := os.Stat(nameless(file)); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// linkNameless names the file; fs.ErrExist where the name is taken.
func linkNameless(file *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, nameless(file), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

func nameless(file *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", file.Fd()) }
