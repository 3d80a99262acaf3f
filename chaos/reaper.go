package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ReaperVariable is set for this program when it is started as a reaper. Test
// binaries refuse to test with it, and nothing is injected with it: a reaper that
// injected would start reapers without end.
const ReaperVariable = "MSLAB_CHAOS_REAPER"

// The descriptors that a reaper is started with, beside the standard ones.
const (
	reaperWatch = 3 // ends with the process that injects
	reaperReady = 4 // takes a byte once the reaper watches
)

// dismissed is what the reaper reads when there is nothing to heal.
const dismissed = 'd'

// reaper is the process that heals where this one cannot any more.
type reaper struct {
	cmd  *exec.Cmd
	hold *os.File // the reaper wakes when this end of the pipe is closed everywhere
}

// owner names the reaper in the journal.
func (r *reaper) owner() Owner {
	ticks, _ := startTicks(r.cmd.Process.Pid) // without them it passes for gone
	return Owner{r.cmd.Process.Pid, ticks}
}

// readyLimit is for the start of a program on a machine that is very busy.
const readyLimit = 10 * time.Second

// startReaper starts this program once more, in a session of its own, and
// returns when it watches.
func startReaper(ctx context.Context, command []string, dir, id string) (*reaper, error) {
	fail := func(err error) error {
		return fmt.Errorf("start the reaper, without which nothing is injected: %w", err)
	}
	if len(command) == 0 {
		return nil, fail(errors.New("no command line was given for it"))
	}
	watch, hold, err := os.Pipe()
	if err != nil {
		return nil, fail(err)
	}
	defer func() { _ = watch.Close() }()
	hear, ready, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fail(err), hold.Close())
	}
	defer func() { _ = hear.Close() }()
	cmd := exec.Command(ownProgram(), append(append([]string{}, command...), entryName(dir, id))...)
	cmd.Args[0] = os.Args[0] // a program may go by the name that it was called by
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), ReaperVariable+"=1")
	cmd.ExtraFiles = []*os.File{watch, ready}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = ready.Close()
	if err != nil {
		return nil, errors.Join(fail(err), hold.Close())
	}
	r := &reaper{cmd, hold}
	limit := time.Now().Add(readyLimit)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		limit = d
	}
	_ = hear.SetReadDeadline(limit) // a pipe has deadlines
	if _, err := io.ReadFull(hear, make([]byte, 1)); err != nil {
		_ = cmd.Process.Kill()
		return nil, errors.Join(fail(fmt.Errorf("it did not answer: %w", err)), r.dismiss())
	}
	return r, nil
}

// dismissLimit is for a reaper that was stopped or swapped out; there is nothing
// left for it to do.
const dismissLimit = 5 * time.Second

// dismiss ends the reaper, which heals nothing, and waits for it.
func (r *reaper) dismiss() error {
	_, _ = r.hold.Write([]byte{dismissed}) // it may have been killed
	_ = r.hold.Close()
	hung := time.AfterFunc(dismissLimit, func() { _ = r.cmd.Process.Kill() })
	defer hung.Stop()
	var exit *exec.ExitError
	if err := r.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("end the reaper: %w", err)
	}
	return nil
}

// release lets the reaper heal. It ends by itself.
func (r *reaper) release() {
	_ = r.hold.Close()
	go func() { _ = r.cmd.Wait() }() // no child is left unwaited for while this process lives
}

// retries is how often a reaper tries to heal, every retryAfter.
const (
	retries    = 60
	retryAfter = 500 * time.Millisecond
)

// Reap is the reaper: it waits until the process that started it, and all
// commands that it runs, have ended, then heals the injection of the journal's
// entry, if there still is one, and returns. It is the other end of
// Options.Reaper and refuses to run by itself. Other children that a fault starts
// of this program come by the same way, each with an argument of its own.
func Reap(name string) error {
	if os.Getenv(ReaperVariable) != "" && strings.HasPrefix(name, hogPrefix) {
		return hogMain(name, os.Stdin, os.Stdout)
	}
	dir, file := filepath.Split(filepath.Clean(name))
	id, ok := strings.CutSuffix(file, ".json")
	if os.Getenv(ReaperVariable) == "" || !ok || !validID.MatchString(id) {
		return errors.New("this command is for mslab itself: it heals a fault whose process was killed")
	}
	// What ends the tool must not end its reaper, which ends right after it.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	watch, ready := os.NewFile(reaperWatch, "watch"), os.NewFile(reaperReady, "ready")
	if _, err := ready.Write([]byte{'r'}); err != nil {
		return fmt.Errorf("say that the reaper watches: %w", err)
	}
	_ = ready.Close()
	heard := make([]byte, 1)
	if n, err := watch.Read(heard); n == 1 && heard[0] == dismissed {
		return nil
	} else if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("watch the process that injects: %w", err)
	}
	var err error
	for range retries {
		if err = reapOnce(filepath.Clean(dir), id); err == nil {
			return nil
		}
		time.Sleep(retryAfter)
	}
	return err
}

func reapOnce(dir, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), healLimit)
	defer cancel()
	unlock, err := lock(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the whole folder is gone
	}
	if err != nil {
		return err
	}
	defer unlock()
	e, err := readEntry(dir, id)
	if errors.Is(err, fs.ErrNotExist) {
		return removeEntry(dir, id) // what was left of writing it
	}
	if err != nil {
		return err
	}
	return undoEntry(ctx, dir, e)
}
