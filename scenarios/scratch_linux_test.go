package scenarios

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestScratchOfKilledRunsIsSwept(t *testing.T) {
	root := t.TempDir()
	t.Setenv("TMPDIR", root)
	held, err := newScratch()
	if err != nil {
		t.Fatal(err)
	}
	hourAgo := time.Now().Add(-time.Hour)
	folder := func(name string, at time.Time) string {
		dir := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Join(dir, "data-1"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, at, at); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	folder(scratchPrefix+"killed", hourAgo)
	young, foreign := folder(scratchPrefix+"young", time.Now()), folder("other-1", hourAgo)
	if err := os.Symlink(foreign, filepath.Join(root, scratchPrefix+"link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(held.dir, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	second, err := newScratch()
	if err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(root, "*"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{held.dir, second.dir, young, foreign, filepath.Join(root, scratchPrefix+"link")}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left\n%v\nwant\n%v", left, want)
	}
	for _, s := range []*scratch{held, second} {
		if err := s.remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", s.dir, err)
		}
	}
}
