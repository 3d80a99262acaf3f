// Package registry is where live servers write down how to reach them, so that
// the commands that look at a server find it without being told. An entry is a
// file named after the process; one whose process is gone, or whose id another
// process has got since, is removed when the registry is read.
package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Entry is one live server.
type Entry struct {
	PID int `json:"pid"`
	// StartTicks is when the process started, in clock ticks since boot
	// (/proc/PID/stat field 22): with PID it names a process for good. 0 where
	// the system does not tell.
	StartTicks uint64 `json:"start_ticks"`
	// PIDNamespace is where PID counts (/proc/self/ns/pid); elsewhere that id is
	// another process, or none. "" where the system has no such thing.
	PIDNamespace string `json:"pid_namespace,omitempty"`
	URL          string `json:"url"`
	Admin        string `json:"admin,omitempty"`
	Phase        int    `json:"phase"`
	Name         string `json:"name"`
}

// Dir is the registry's folder: $XDG_RUNTIME_DIR/mslab, or one of this user's
// in the temporary folder.
func Dir() string {
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" {
		return filepath.Join(runtime, "mslab")
	}
	uidMap, _ := os.ReadFile("/proc/self/uid_map") // Linux has it
	return filepath.Join(os.TempDir(), "mslab-"+strconv.FormatInt(outsideID(int64(os.Getuid()), string(uidMap)), 10))
}

// outsideID is the id that a user has outside of the user namespace whose map
// (user_namespaces(7)) is given, so that its folder has one name wherever it is
// looked for: the root of a sandbox is not the host's.
func outsideID(id int64, uidMap string) int64 {
	for line := range strings.Lines(uidMap) {
		var inside, outside, count int64
		if n, _ := fmt.Sscan(line, &inside, &outside, &count); n == 3 && id >= inside && id < inside+count {
			return outside + id - inside
		}
	}
	return id
}

// Register writes an entry for this process, filling in PID and StartTicks.
// remove takes it back and may be called more than once.
func Register(dir string, entry Entry) (remove func() error, err error) {
	entry.PID = os.Getpid()
	_, entry.StartTicks, _ = readStat(entry.PID)
	entry.PIDNamespace = pidNamespace()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create registry %s: %w", dir, err)
	}
	if err := checkOwner(dir); err != nil {
		return nil, err
	}
	text, err := json.Marshal(entry)
	if err != nil {
		return nil, fmt.Errorf("encode registry entry: %w", err)
	}
	path := filepath.Join(dir, strconv.Itoa(entry.PID)+".json")
	// A dot name is no entry, so that a reader never sees half of one.
	temporary := filepath.Join(dir, "."+strconv.Itoa(entry.PID)+".tmp")
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write registry entry: %w", err), removeFile(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return nil, errors.Join(fmt.Errorf("write registry entry: %w", err), removeFile(temporary))
	}
	return func() error { return removeFile(path) }, nil
}

// pidNamespace names this process' pid namespace; "" where there is none.
func pidNamespace() string {
	name, _ := os.Readlink("/proc/self/ns/pid") // Linux has it
	return name
}

// List reads the entries of live servers, oldest process id first, and removes
// stale ones. Those of another pid namespace, such as a container's, are left to
// those who live there. A missing registry is an empty one.
func List(dir string) ([]Entry, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	if err := checkOwner(dir); err != nil {
		return nil, err
	}
	var live []Entry
	here := pidNamespace()
	for _, file := range files {
		if strings.HasPrefix(file.Name(), ".") || filepath.Ext(file.Name()) != ".json" {
			continue
		}
		path := filepath.Join(dir, file.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			continue // its server has just ended
		}
		var entry Entry
		err = json.Unmarshal(text, &entry)
		if err == nil && entry.PIDNamespace != "" && entry.PIDNamespace != here {
			continue
		}
		if err != nil || !alive(entry) {
			if err := removeFile(path); err != nil {
				return nil, err
			}
			continue
		}
		live = append(live, entry)
	}
	slices.SortFunc(live, func(a, b Entry) int { return a.PID - b.PID })
	return live, nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove registry entry: %w", err)
	}
	return nil
}

// alive tells whether the entry's process still runs and is the same. One that
// has ended keeps its id until its parent asks how (state Z), which not every
// parent does.
func alive(entry Entry) bool {
	if entry.PID <= 0 || !Running(entry.PID) {
		return false
	}
	state, ticks, err := readStat(entry.PID)
	return err != nil || ticks == entry.StartTicks && state != "Z" && state != "X"
}

// readStat reads the state and the start in ticks, fields 3 and 22 of
// /proc/PID/stat. The second field may hold spaces and parentheses, so fields
// are counted from the last parenthesis.
func readStat(pid int) (state string, ticks uint64, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", 0, fmt.Errorf("read start of process %d: %w", pid, err)
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return "", 0, fmt.Errorf("read start of process %d: unknown format", pid)
	}
	ticks, err = strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("read start of process %d: %w", pid, err)
	}
	return string(fields[0]), ticks, nil
}
