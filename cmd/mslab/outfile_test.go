package main

import (
	"os"
	"path/filepath"
	"testing"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestOutFileAppearsWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := createOut(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteString("after"); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "before" {
		t.Errorf("before Commit the file reads %q", text)
	}
	if err := out.Commit(); err != nil {
		t.Fatal(err)
	}
	out.Abort()
	if text, _ := os.ReadFile(path); string(text) != "after" {
		t.Errorf("after Commit the file reads %q", text)
	}
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOutFileAborted(t *testing.T) {
	dir := t.TempDir()
	out, err := createOut(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	out.Abort()
	out.Abort()
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	var none *outFile
	none.Abort()
}

func TestOutFileFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	out, err := createOut(link)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = out.WriteString("text")
	if err := out.Commit(); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(target); string(text) != "text" {
		t.Errorf("the link's target reads %q", text)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
}
