package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WholeFile is a file that appears under its name only once it is whole. Until
// Commit it has no name where the file system allows that (Linux, O_TMPFILE), so
// that nothing is left of it however the process ends; elsewhere it has a
// temporary one in the same folder.
type WholeFile struct {
	*os.File
	path      string
	temporary string // "" while it has no name
}

// CreateWhole opens a file that Commit gives the name path. It fails at once where
// the folder cannot be written. The caller ends it with Commit or Abort.
func CreateWhole(path string) (*WholeFile, error) {
	if file, err := openNameless(filepath.Dir(path)); err == nil {
		return &WholeFile{File: file, path: path}, nil
	}
	file, err := createTemporary(path)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, cause(err))
	}
	return &WholeFile{File: file, path: path, temporary: file.Name()}, nil
}

func createTemporary(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
}

// Commit makes what was written last and appear under its name, in place of what
// was there. After an error nothing of it is left.
func (f *WholeFile) Commit() error {
	if f.File == nil {
		return fmt.Errorf("write %s: %w", f.path, os.ErrClosed)
	}
	err := errors.Join(f.Chmod(0o644), f.Sync())
	if err == nil && f.temporary == "" {
		err = f.giveName()
	}
	err = errors.Join(err, f.Close())
	f.File = nil
	if err == nil && f.temporary != "" {
		err = os.Rename(f.temporary, f.path)
	}
	if err != nil {
		f.remove()
		return fmt.Errorf("write %s: %w", f.path, cause(err))
	}
	return syncDir(filepath.Dir(f.path))
}

// giveName gives the file its own name where that is free; where it is not, a
// temporary one, since only a rename replaces what is there.
func (f *WholeFile) giveName() error {
	err := linkNameless(f.File, f.path)
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	place, err := createTemporary(f.path) // for a name that nobody else takes
	if err != nil {
		return err
	}
	f.temporary = place.Name()
	return errors.Join(place.Close(), os.Remove(f.temporary), linkNameless(f.File, f.temporary))
}

// Abort takes back what was written. It does nothing after Commit, so that it can
// be deferred.
func (f *WholeFile) Abort() {
	if f.File == nil {
		return
	}
	_ = f.Close() // it is thrown away
	f.File = nil
	f.remove()
}

func (f *WholeFile) remove() {
	if f.temporary != "" {
		_ = os.Remove(f.temporary)
	}
}

// syncDir makes a new name last. Not every file system can sync a folder; the
// file itself is on disk by then.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	_ = d.Sync()
	return d.Close()
}
