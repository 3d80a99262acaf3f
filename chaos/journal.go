package chaos

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// journalSchema is the format of the journal's entries.
const journalSchema = "mslab.chaos-journal/v1"

// Entry is what the journal knows of an injection: enough to undo it without
// the process that made it.
type Entry struct {
	Schema string `json:"schema"`
	// ID is the entry's name, and part of the name of whatever is injected. It
	// names the process that injects: PID-STARTTICKS-RANDOM.
	ID string `json:"id"`
	Spec
	BootID string `json:"boot_id"`       // the kernel's, of the boot it belongs to
	NetNS  uint64 `json:"net_namespace"` // inode of the network namespace
	Owner  Owner  `json:"owner"`
	Reaper Owner  `json:"reaper"`
	// Created is when the entry was written, right before the injection.
	Created time.Time `json:"created"`
	// State is what the fault needs to undo it: old values.
	State map[string]string `json:"state,omitempty"`
}

// Owner is a process that will heal a fault: the one that injected it, and the
// reaper after it.
type Owner struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"` // clock ticks since boot; 0 where the system does not tell
}

// String names the injection in a line.
func (e Entry) String() string {
	return fmt.Sprintf("%s of %s by process %d since %s", e.Fault, e.Target, e.Owner.PID, e.Created.Local().Format(time.TimeOnly))
}

func newEntry(s Spec) (Entry, error) {
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return Entry{}, fmt.Errorf("make an id: %w", err)
	}
	ticks, err := startTicks(os.Getpid())
	if err != nil {
		return Entry{}, err
	}
	netns, err := ownNetNS()
	if err != nil {
		return Entry{}, err
	}
	owner := Owner{os.Getpid(), ticks}
	return Entry{
		Schema: journalSchema,
		ID:     fmt.Sprintf("%d-%d-%s", owner.PID, owner.StartTicks, hex.EncodeToString(random)),
		Spec:   s, BootID: bootID(), NetNS: netns, Owner: owner,
		Created: time.Now().UTC(), State: map[string]string{},
	}, nil
}

var validID = regexp.MustCompile(`^[1-9][0-9]{0,9}-[0-9]{1,20}-[0-9a-f]{8}$`)

// ownerOf is the process that an entry's name names.
func ownerOf(id string) (owner Owner, ok bool) {
	if !validID.MatchString(id) {
		return owner, false
	}
	_, err := fmt.Sscanf(id, "%d-%d-", &owner.PID, &owner.StartTicks)
	return owner, err == nil
}

// ofThisSystem tells whether the entry is of this boot of this system.
func (e Entry) ofThisSystem() bool { return e.BootID == bootID() }

// overlaps tells whether two injections have the same target.
func (e Entry) overlaps(o Entry) bool {
	a, b := e.Target, o.Target
	if a.PID != 0 && a.PID == b.PID {
		return true
	}
	return a.Port != 0 && a.Port == b.Port && e.NetNS == o.NetNS
}

// Dir is the journal's folder of this user: below $XDG_RUNTIME_DIR/mslab, else in
// the temporary folder. The user is the one outside of all user namespaces, since
// everybody is root in one's own.
func Dir() string {
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" {
		return filepath.Join(runtime, "mslab", "chaos")
	}
	return filepath.Join(os.TempDir(), "mslab-"+strconv.FormatUint(uint64(outerUID()), 10), "chaos")
}

// openFolder makes the journal's folder, and refuses one that others could have
// laid out or can write to: what it holds is undone with this user's rights.
func openFolder(dir string) error {
	for _, folder := range foldersOf(dir) {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("make the journal's folder: %w; set XDG_RUNTIME_DIR to a folder that can be written", err)
		}
		// Before anything is made below it: it may be a link of somebody else's.
		if err := checkPrivate(folder); err != nil {
			return err
		}
	}
	return nil
}

// foldersOf are the folders that must be this user's alone, outer one first.
func foldersOf(dir string) []string { return []string{filepath.Dir(dir), dir} }

func checkFolder(dir string) error {
	for _, folder := range foldersOf(dir) {
		if err := checkPrivate(folder); err != nil {
			return err
		}
	}
	return nil
}

func checkPrivate(folder string) error {
	info, err := os.Lstat(folder)
	if err != nil {
		return fmt.Errorf("look at the journal's folder: %w", err)
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir() || ok && int(status.Uid) != os.Getuid():
		return fmt.Errorf("keep a journal in %s: it is no folder of this user's; remove it or set XDG_RUNTIME_DIR", folder)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("keep a journal in %s: others can write to it; run chmod 700 on it", folder)
	}
	return nil
}

// CheckJournal tells why nothing can be written to the journal in dir ("" is
// Dir), without which nothing is injected. It leaves at most the folder.
func CheckJournal(dir string) error {
	dir = Options{Dir: dir}.dir()
	if err := openFolder(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".try-*.tmp") // begins with a dot: is no entry
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// entryLimit is far above the size of any entry, in bytes.
const entryLimit = 64 << 10

// writeEntry has the entry on disk when it returns; after an error nothing of it
// is left.
func writeEntry(dir string, e Entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode the journal's entry: %w", err)
	}
	temporary := temporaryName(dir, e.ID)
	err = writeSynced(temporary, append(text, '\n'))
	if err == nil {
		err = os.Rename(temporary, entryName(dir, e.ID))
	}
	if err == nil {
		err = syncFolder(dir)
	}
	if err != nil {
		_ = os.Remove(temporary)
		_ = os.Remove(entryName(dir, e.ID))
		return fmt.Errorf("write the journal, without which nothing is injected: %w", err)
	}
	return nil
}

func entryName(dir, id string) string { return filepath.Join(dir, id+".json") }

// A name that begins with a dot is no entry.
func temporaryName(dir, id string) string { return filepath.Join(dir, "."+id+".tmp") }

// unfinishedID is the id in a temporary name.
func unfinishedID(file string) (id string, ok bool) {
	rest, dot := strings.CutPrefix(file, ".")
	id, tmp := strings.CutSuffix(rest, ".tmp")
	return id, dot && tmp
}

func writeSynced(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeEntry takes an entry out of the journal, and what was left of writing it.
func removeEntry(dir, id string) error {
	for _, name := range []string{entryName(dir, id), temporaryName(dir, id)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("take the entry out of the journal: %w", err)
		}
	}
	return nil
}

// damaged is a file in the journal that is no entry to act upon.
type damaged struct {
	ID   string // "" where the name is none either
	path string
	err  error
}

// readAll reads the journal. A missing folder is an empty journal.
func readAll(dir string) (entries []Entry, bad []damaged, err error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the journal: %w", err)
	}
	if err := checkFolder(dir); err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		id, ok := strings.CutSuffix(file.Name(), ".json")
		if !ok {
			continue
		}
		e, err := readEntry(dir, id)
		switch {
		case errors.Is(err, fs.ErrNotExist): // healed just now
		case err != nil:
			if !validID.MatchString(id) {
				id = ""
			}
			path := filepath.Join(dir, file.Name())
			bad = append(bad, damaged{id, path, fmt.Errorf("%s: %w", path, err)})
		default:
			entries = append(entries, e)
		}
	}
	return entries, bad, nil
}

// readEntry reads an entry strictly, and only what this user wrote.
func readEntry(dir, id string) (Entry, error) {
	if !validID.MatchString(id) {
		return Entry{}, errors.New("the name is none of an entry")
	}
	f, err := os.OpenFile(entryName(dir, id), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return Entry{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return Entry{}, err
	}
	if status, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || ok && int(status.Uid) != os.Getuid() {
		return Entry{}, errors.New("it is no file of this user's")
	}
	text, err := io.ReadAll(io.LimitReader(f, entryLimit+1))
	if err != nil {
		return Entry{}, err
	}
	return decodeEntry(text, id)
}

func decodeEntry(text []byte, id string) (Entry, error) {
	var e Entry
	if len(text) > entryLimit {
		return e, errors.New("it is too long for an entry")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return e, fmt.Errorf("it is cut short or no entry: %w", err)
	}
	switch {
	case e.Schema != journalSchema:
		return e, fmt.Errorf("it has the schema %q, not %q: another version of mslab wrote it", e.Schema, journalSchema)
	case e.ID != id || !strings.HasPrefix(id, fmt.Sprintf("%d-%d-", e.Owner.PID, e.Owner.StartTicks)):
		return e, errors.New("it is not the entry that its name says")
	}
	// What may be injected at all may be undone; the caller's namespace is not
	// known here.
	if err := Check(e.Spec, Options{OwnNamespace: true}); err != nil {
		return e, err
	}
	return e, nil
}

// lock waits for the journal's lock, which keeps injections and their healing
// apart. It ends with the process that has it.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the journal: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock the journal: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock the journal in %s, which another mslab holds: %w", dir, ctx.Err()), f.Close())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// lockLimit is above what any injection or healing takes that holds the lock.
const lockLimit = 10 * time.Second
