package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// outFile is a file that appears under its name only once it is whole: it is
// written under a temporary name beside it and renamed by Commit. What is not a
// regular file, such as /dev/stdout or a named pipe, is written to directly.
type outFile struct {
	*bufio.Writer
	file *os.File
	name string // "" where it is written directly
}

// createOut opens name for writing. It fails at once where the folder cannot be
// written, so that no measurement is made for nothing.
func createOut(name string) (*outFile, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("write %s: it is a directory; give the name of a file", name)
	case err == nil && !info.Mode().IsRegular():
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", name, cause(err))
		}
		return &outFile{bufio.NewWriter(file), file, ""}, nil
	case err == nil:
		// A link keeps pointing where it did.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, cause(err))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("write %s: %w", name, cause(err))
	}
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.tmp")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w; give a folder that exists and can be written", name, cause(err))
	}
	return &outFile{bufio.NewWriter(file), file, name}, nil
}

// target is the file as the user named it.
func (o *outFile) target() string { return cmp.Or(o.name, o.file.Name()) }

// Commit makes the file appear under its name. After an error nothing of it is
// left.
func (o *outFile) Commit() error {
	name, temporary := o.name, o.file.Name()
	err := o.Flush()
	if name != "" {
		err = errors.Join(err, o.file.Chmod(0o644), o.file.Sync())
	}
	err = errors.Join(err, o.file.Close())
	if err == nil && name != "" {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		if name == "" {
			name = temporary
		} else {
			os.Remove(temporary)
		}
		return fmt.Errorf("write %s: %w", name, cause(err))
	}
	o.file = nil
	return nil
}

// Abort removes what was written. It does nothing after Commit, so that it can
// be deferred; a nil outFile has nothing to remove.
func (o *outFile) Abort() {
	if o == nil || o.file == nil {
		return
	}
	o.file.Close()
	if o.name != "" {
		os.Remove(o.file.Name())
	}
	o.file = nil
}

// cause is the error without the operation and the path, which the message
// names itself.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
