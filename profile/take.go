package profile

import (
	"context"
	"fmt"
	"time"

	"github.com/google/pprof/profile"
)

// Options say how a profile is taken.
type Options struct {
	// Duration is the time profiled. It is not used by kinds of one moment.
	Duration time.Duration
	// Steady says that the load stays the same, so that short stretches with
	// and without the profiler can take turns and be compared. Otherwise the
	// profile is taken in one piece.
	Steady bool
}

// Taken is a profile and what is known of its making.
type Taken struct {
	Kind    Kind
	Started time.Time
	Profile *profile.Profile
	// Growth is how what is in use changed in the window; nil for other kinds
	// than heap.
	Growth *profile.Profile
	Window Window // of the profiled time alone
	Cost   Cost
	// Kernel is set where the profile was sampled by the kernel.
	Kernel *Kernel
	// Answer is the longest that the server took to make a profile of one
	// moment.
	Answer time.Duration
}

// A stretch with or without the profiler. Delta profiles are made for whole
// seconds.
const (
	shortTurn = 500 * time.Millisecond
	wholeTurn = time.Second
)

// Take takes one profile. When ctx ends or the server does, there is none.
func Take(ctx context.Context, a *Admin, kind Kind, o Options) (*Taken, error) {
	t := &Taken{Kind: kind, Started: time.Now()}
	var err error
	switch {
	case kind.how == once:
		err = t.moment(ctx, a)
	case kind.how == twice:
		err = t.growth(ctx, a, o.Duration)
	case kind.costly() && o.Steady:
		err = t.turns(ctx, a, o.Duration)
	case kind.costly():
		err = t.between(ctx, a, o.Duration)
	default:
		t.Profile, t.Window, err = a.fetch(ctx, kind.path, o.Duration)
	}
	if err != nil {
		return nil, fmt.Errorf("take %s profile of %s: %w", kind.Name, a.url, err)
	}
	return t, nil
}

// moment takes a profile of one moment.
func (t *Taken) moment(ctx context.Context, a *Admin) error {
	asked := time.Now()
	var err error
	t.Profile, _, err = a.fetch(ctx, t.Kind.path, 0)
	t.Answer = time.Since(asked)
	return err
}

// growth takes a profile at both ends, each after a garbage collection, so that
// what is dead and not yet freed is in neither.
func (t *Taken) growth(ctx context.Context, a *Admin, d time.Duration) error {
	asked := time.Now()
	before, _, err := a.fetch(ctx, t.Kind.path+"?gc=1", 0)
	if err != nil {
		return err
	}
	t.Answer = time.Since(asked)
	if t.Window, err = a.watch(ctx, d); err != nil {
		return err
	}
	asked = time.Now()
	if t.Profile, _, err = a.fetch(ctx, t.Kind.path+"?gc=1", 0); err != nil {
		return err
	}
	t.Answer = max(t.Answer, time.Since(asked))
	before.Scale(-1)
	if t.Growth, err = profile.Merge([]*profile.Profile{t.Profile, before}); err != nil {
		return fmt.Errorf("take the difference of two profiles: %w", err)
	}
	return nil
}

// between takes a profile in one piece, with a second before and one after it.
func (t *Taken) between(ctx context.Context, a *Admin, d time.Duration) error {
	before, err := a.watch(ctx, min(d, wholeTurn))
	if err != nil {
		return err
	}
	if t.Profile, t.Window, err = a.fetch(ctx, t.Kind.path, d); err != nil {
		return err
	}
	after, err := a.watch(ctx, min(d, wholeTurn))
	if err != nil {
		return err
	}
	t.Cost.add(before.add(after), t.Window)
	return nil
}

// turns takes a profile in short stretches, each next to one without the
// profiler; which of the two comes first changes, so that a steady drift of the
// machine's speed cancels.
func (t *Taken) turns(ctx context.Context, a *Admin, d time.Duration) error {
	turn := shortTurn
	if t.Kind.WholeSeconds() {
		turn = wholeTurn
	}
	var parts []*profile.Profile
	for n := 0; d > 0; n++ {
		length := min(turn, d)
		d -= length
		var plain, profiled Window
		for i := range 2 {
			var err error
			if i == n%2 {
				plain, err = a.watch(ctx, length)
			} else {
				var part *profile.Profile
				part, profiled, err = a.fetch(ctx, t.Kind.path, length)
				parts = append(parts, part)
			}
			if err != nil {
				return err
			}
		}
		t.Window = t.Window.add(profiled)
		t.Cost.add(plain, profiled)
	}
	var err error
	if t.Profile, err = profile.Merge(parts); err != nil {
		return fmt.Errorf("put %d stretches together: %w", len(parts), err)
	}
	return nil
}
