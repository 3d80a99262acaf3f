package scenarios

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mslab/results"
)

// open makes the run's folder, or opens that of the run to finish, and holds it
// against other processes until release is called.
func (r *runner) open() (release func() error, err error) {
	if r.plan.rest != nil {
		return r.reopen()
	}
	r.run = &results.Run{Tool: r.play.Tool, Plan: r.plan.Record, Started: time.Now().UTC(), Incomplete: true,
		Environment: environment(r.plan.cores), Notes: slices.Clone(r.plan.Notes), Predictions: slices.Clone(r.play.Predictions)}
	if r.store, err = r.play.newStore(r.plan.Record.Scenario, r.run.Started); err != nil {
		return nil, err
	}
	r.run.Dir = r.store.Dir()
	if release, err = holdFolder(r.run.Dir); err != nil {
		return nil, err
	}
	if err := r.store.WriteRun(r.run); err != nil {
		return nil, errors.Join(err, release(), r.store.Discard())
	}
	return release, nil
}

// reopen takes up an interrupted run where its last whole block ended. It is
// read anew, since another process may have played on since it was planned.
func (r *runner) reopen() (release func() error, err error) {
	dir := r.plan.rest.Dir
	if release, err = holdFolder(dir); err != nil {
		return nil, err
	}
	fail := func(err error) (func() error, error) {
		return nil, errors.Join(fmt.Errorf("resume %s: %w", dir, err), release())
	}
	if r.run, err = results.OpenRun(dir); err != nil {
		return fail(err)
	}
	if !r.run.Incomplete {
		return fail(errors.New("the run is complete by now"))
	}
	if err := sameProgram(r.run, r.play.Tool, environment(r.plan.cores)); err != nil {
		return fail(err)
	}
	if r.store, err = results.ReopenStore(dir); err != nil {
		return fail(err)
	}
	dropped, trials := r.run.CutShort()
	r.note(r.plan.Notes...)
	note := fmt.Sprintf("Resumed at %s, after %s.", time.Now().UTC().Format(time.DateTime+" UTC"), count(len(r.run.Order), "block"))
	if len(dropped) > 0 {
		note += fmt.Sprintf(" What was cut short is played anew: block %d of arm %s.", dropped[0].Block, dropped[0].Arm)
	}
	r.note(note)
	// The order first: a trial without its block is taken out by the next to
	// resume, a block without its trials would be missed by nobody.
	if err := errors.Join(r.store.WriteRun(r.run), r.store.RemoveTrials(trials)); err != nil {
		return fail(err)
	}
	return release, nil
}

// holdFolder takes the lock of a run folder, which ends with the process at the
// latest, so that no two play into one folder.
func holdFolder(dir string) (release func() error, err error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("hold the run folder: %w", err)
	}
	switch err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == nil, errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOLCK):
		return folder.Close, nil // some network file systems know no locks
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("run folder %s: another mslab run is playing into it; wait for its end", dir), folder.Close())
	default:
		return nil, errors.Join(fmt.Errorf("hold the run folder %s: %w", dir, err), folder.Close())
	}
}
