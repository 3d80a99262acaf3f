package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Outcome is what became of an entry of the journal.
type Outcome struct {
	Entry
	// Live is true where the process that injected it lives, and so does the
	// fault.
	Live bool
	// Said is what was done, or why nothing was.
	Said string
	// Err is why it could not be healed; the entry stays.
	Err error
}

// String tells it in a line.
func (o Outcome) String() string {
	switch {
	case o.Fault == "" && o.Err != nil:
		return o.Err.Error()
	case o.Fault == "":
		return o.Said
	case o.Err != nil:
		return fmt.Sprintf("%s: not healed: %v", o.Entry, o.Err)
	}
	return fmt.Sprintf("%s: %s", o.Entry, o.Said)
}

// HealOptions says how far HealAll goes.
type HealOptions struct {
	// Stop ends processes that hold a fault, by SIGTERM, and waits until they
	// have healed it; without it they are left alone.
	Stop bool
	// Clear also removes files from the journal that are no entries of this
	// version, after what bears their name was looked for and undone.
	Clear bool
}

// Active is an injection that the journal holds.
type Active struct {
	Entry
	Live bool // its process lives
	Left time.Duration
	// Foreign is why it is none of this network namespace or boot, "" where it is.
	Foreign string
}

// List returns what the journal in dir holds, and a line for each file that is
// no entry. A missing folder is an empty journal.
func List(dir string) (active []Active, bad []string, err error) {
	entries, damaged, err := readAll(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range damaged {
		bad = append(bad, d.err.Error())
	}
	own, _ := ownNetNS()
	for _, e := range entries {
		a := Active{Entry: e, Live: e.ofThisSystem() && alive(e.Owner)}
		if e.Duration > 0 {
			a.Left = max(0, time.Until(e.Created.Add(e.Duration)))
		}
		switch {
		case !e.ofThisSystem():
			a.Foreign = "an earlier boot"
		case e.NetNS != own:
			a.Foreign = "another network namespace"
		}
		active = append(active, a)
	}
	return active, bad, nil
}

// HealAll heals what the journal in dir holds and nobody else will: injections
// whose process is gone. Entries of an earlier boot are dropped, since nothing
// that is injected survives one. Each entry has an Outcome; the error is of the
// journal itself.
func HealAll(ctx context.Context, dir string, o HealOptions) ([]Outcome, error) {
	entries, bad, err := readAll(dir)
	if err != nil {
		return nil, err
	}
	var outcomes []Outcome
	for _, e := range entries {
		if outcome, there := healEntry(ctx, dir, e, o.Stop); there {
			outcomes = append(outcomes, outcome)
		}
	}
	for _, d := range bad {
		outcomes = append(outcomes, healDamaged(ctx, dir, d, o.Clear))
	}
	return outcomes, removeUnfinished(dir)
}

// removeUnfinished removes what was left of writing entries by processes that are
// gone, and their reapers with them: nothing was injected by then.
func removeUnfinished(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("read the journal: %w", err)
	}
	for _, file := range files {
		id, ok := unfinishedID(file.Name())
		if owner, named := ownerOf(id); !ok || !named || alive(owner) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, file.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an entry of the journal that was never complete: %w", err)
		}
	}
	return nil
}

// healEntry heals an entry; there is false where somebody else just did.
func healEntry(ctx context.Context, dir string, e Entry, stop bool) (o Outcome, there bool) {
	o = Outcome{Entry: e}
	live := e.ofThisSystem() && alive(e.Owner)
	if live && !stop {
		o.Live, o.Said = true, fmt.Sprintf("left to process %d, which lives and heals it", e.Owner.PID)
		return o, true
	}
	if live {
		o.Said = fmt.Sprintf("healed by process %d, which was told to stop", e.Owner.PID)
		o.Err = stopOwner(ctx, dir, e)
		return o, true
	}
	if e.ofThisSystem() {
		awaitReaper(ctx, dir, e)
	}
	unlock, err := lock(ctx, dir)
	if err != nil {
		o.Err = err
		return o, true
	}
	defer unlock()
	if _, err := readEntry(dir, e.ID); errors.Is(err, fs.ErrNotExist) {
		return o, false // its reaper was faster
	}
	if !e.ofThisSystem() {
		o.Said, o.Err = "dropped: it is of an earlier boot, which nothing survives", removeEntry(dir, e.ID)
		return o, true
	}
	o.Said, o.Err = "healed: its process is gone", undoEntry(ctx, dir, e)
	return o, true
}

// reaperLimit is what a reaper gets before others heal in its place.
const reaperLimit = 5 * time.Second

// awaitReaper lets the reaper of a process that is gone heal first: it alone
// knows when the last command of that process has ended.
func awaitReaper(ctx context.Context, dir string, e Entry) {
	for limit := time.Now().Add(reaperLimit); alive(e.Reaper) && time.Now().Before(limit) && ctx.Err() == nil; {
		if _, err := readEntry(dir, e.ID); errors.Is(err, fs.ErrNotExist) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// undoEntry undoes an injection by the journal alone. The caller has the lock.
func undoEntry(ctx context.Context, dir string, e Entry) error {
	f, err := Find(e.Fault)
	if err != nil {
		return err
	}
	own, err := ownNetNS()
	if err != nil {
		return err
	}
	if e.NetNS != own && !f.System {
		where, lives := namespaceHolder(e.NetNS)
		if lives {
			return fmt.Errorf("it is in another network namespace; run mslab chaos heal there (%s)", where)
		}
		return removeEntry(dir, e.ID) // it died with its namespace
	}
	if err := f.undo(ctx, &work{Entry: e, dir: dir, via: e.Options["via"]}); err != nil {
		return err
	}
	return removeEntry(dir, e.ID)
}

// stopLimit is what a process gets to heal after SIGTERM.
const stopLimit = healLimit + 5*time.Second

// stopOwner ends the process that holds a fault, and waits until it is healed.
func stopOwner(ctx context.Context, dir string, e Entry) error {
	if err := terminate(e.Owner); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	for {
		if _, err := readEntry(dir, e.ID); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !alive(e.Owner) {
			o, there := healEntry(ctx, dir, e, false)
			if !there {
				return nil
			}
			return o.Err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d did not heal after SIGTERM: %w", e.Owner.PID, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// healDamaged deals with a file that is no entry. Entries appear under their
// name only once they are whole, so something else has written or cut it: what it
// says is not acted upon. But what was injected bears the name of the entry, and
// by that it is found.
func healDamaged(ctx context.Context, dir string, d damaged, clear bool) Outcome {
	o := Outcome{Entry: Entry{ID: d.ID}, Err: d.err}
	owner, named := ownerOf(d.ID)
	switch {
	case named && alive(owner):
		o.Live = true
		return o
	case !clear:
		o.Err = fmt.Errorf("%w; mslab chaos heal removes it", d.err)
		return o
	}
	unlock, err := lock(ctx, dir)
	if err != nil {
		o.Err = err
		return o
	}
	defer unlock()
	if named {
		for _, f := range Faults() {
			if f.sweep == nil {
				continue
			}
			if err := f.sweep(ctx, d.ID); err != nil {
				o.Err = fmt.Errorf("look for what %s has injected: %w", d.ID, err)
				return o
			}
		}
	}
	if err := os.Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.Err = err
		return o
	}
	o.Said, o.Err = fmt.Sprintf("removed %v; nothing that bears its name is left", d.err), nil
	return o
}
