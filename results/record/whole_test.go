package record

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestWholeFile wants a file to appear whole, in place of what was there, with and
// without a temporary name meanwhile, and nothing of one that was taken back.
func TestWholeFile(t *testing.T) {
	for name, create := range map[string]func(string) (*WholeFile, error){
		"as here": CreateWhole,
		"with a temporary name": func(path string) (*WholeFile, error) {
			file, err := createTemporary(path)
			if err != nil {
				return nil, err
			}
			return &WholeFile{File: file, path: path, temporary: file.Name()}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			for _, text := range []string{"first", "second"} {
				f, err := create(path)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteString(text); err != nil {
					t.Fatal(err)
				}
				if found, _ := os.ReadFile(path); string(found) == text {
					t.Error("it is there before it is whole")
				}
				if err := f.Commit(); err != nil {
					t.Fatal(err)
				}
				f.Abort()
				if err := f.Commit(); !errors.Is(err, os.ErrClosed) {
					t.Errorf("a second commit: %v", err)
				}
				info, err := os.Stat(path)
				if found, _ := os.ReadFile(path); err != nil || string(found) != text || info.Mode() != 0o644 {
					t.Errorf("%q, %v, %v; want %q that all may read", found, info, err, text)
				}
			}
			f, err := create(path)
			if err != nil {
				t.Fatal(err)
			}
			f.Abort()
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

// TestWholeFileWithoutAFolder wants an error at once, that names the file and not
// a temporary one.
func TestWholeFileWithoutAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "file")
	_, err := CreateWhole(path)
	if want := "write " + path + ": no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestWholeFileIntoAFolderThatWent wants an error and no panic where the name
// cannot be given in the end.
func TestWholeFileIntoAFolderThatWent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := CreateWhole(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want that the folder is not there", err)
	}
}
