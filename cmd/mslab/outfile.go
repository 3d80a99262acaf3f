package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mslab/results/record"
)

// outFile is a file that appears under its name only once it is whole, by Commit.
// What is not a regular file, such as /dev/stdout or a named pipe, is written to
// directly.
type outFile struct {
	*bufio.Writer
	name  string
	whole *record.WholeFile // nil where it is written directly
	file  *os.File          // that, else nil
	ended bool
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
		return &outFile{Writer: bufio.NewWriter(file), name: name, file: file}, nil
	case err == nil:
		// A link keeps pointing where it did.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, cause(err))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("write %s: %w", name, cause(err))
	}
	whole, err := record.CreateWhole(name)
	if err != nil {
		return nil, fmt.Errorf("%w; give a folder that exists and can be written", err)
	}
	return &outFile{Writer: bufio.NewWriter(whole), name: name, whole: whole}, nil
}

// target is the file as the user named it.
func (o *outFile) target() string { return o.name }

// Commit makes the file appear under its name. After an error nothing of it is
// left.
func (o *outFile) Commit() error {
	err := o.Flush()
	switch {
	case o.whole == nil:
		err = errors.Join(err, o.file.Close())
	case err == nil:
		o.ended = true
		return o.whole.Commit()
	default:
		o.whole.Abort()
	}
	o.ended = true
	if err != nil {
		return fmt.Errorf("write %s: %w", o.name, cause(err))
	}
	return nil
}

// Abort removes what was written. It does nothing after Commit, so that it can
// be deferred; a nil outFile has nothing to remove.
func (o *outFile) Abort() {
	if o == nil || o.ended {
		return
	}
	o.ended = true
	if o.whole == nil {
		o.file.Close()
		return
	}
	o.whole.Abort()
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
