package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Options says how an injection is kept safe.
type Options struct {
	// Dir is the journal's folder, Dir() where it is empty.
	Dir string
	// Reaper is the command line, without the program, of a hidden command of
	// this program that ends in Reap with one more argument.
	Reaper []string
	// OwnNamespace is true where the caller made the network namespace that this
	// process is in, so that nothing outside can be reached.
	OwnNamespace bool
	// Warn is told, a line each, what was healed or dropped of injections whose
	// process is gone; it may be nil.
	Warn func(string)
}

func (o Options) dir() string {
	if o.Dir != "" {
		return o.Dir
	}
	return Dir()
}

func (o Options) warn(line string) {
	if o.Warn != nil {
		o.Warn(line)
	}
}

// Status is what came of an injection so far.
type Status struct {
	ID string // of the journal's entry
	Spec
	// InjectedAt is when the fault took effect: no later than this, and no
	// earlier than InjectedWithin before. HealedAt and HealedWithin say the same
	// of its end; HealedAt is zero until then.
	InjectedAt, HealedAt         time.Time
	InjectedWithin, HealedWithin time.Duration
	// Verified is whether the fault was seen to bite, by Evidence.
	Verified bool
	Evidence []Fact
	// Via is the way by which it was injected, where the fault has several.
	Via string
}

// work is an injection as its fault sees it: in the process that injects, and
// in another one that heals in its place.
type work struct {
	Entry
	dir    string
	hold   *os.File        // ends with this process and the commands it runs; nil in another process
	live   any             // what the fault holds while it lasts; nil in another process
	others []Entry         // the other live injections in this network namespace, for prepare
	again  []string        // Options.Reaper, for a fault that starts this program once more
	over   <-chan struct{} // closed by the fault once it has ended before its time; nil is never
	missed bool            // set by observe: it was in force, and had no effect
	span   span            // of the last effect
	via    string
}

// span is when a change was made: between the two.
type span struct{ begin, end time.Time }

// effect makes a change, and notes when.
func (w *work) effect(change func() error) error {
	begin := time.Now()
	err := change()
	w.span = span{begin, time.Now()}
	return err
}

// command returns a command that the reaper waits for, so that it never heals
// while the command of a process that was killed is still injecting. Ctrl-C, which
// heals, does not reach it: it would end a command that heals too.
func (w *work) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	if w.hold != nil {
		cmd.ExtraFiles = []*os.File{w.hold}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	return cmd
}

// Injection is a fault that was injected.
type Injection struct {
	fault  Fault
	work   *work
	reaper *reaper

	cancel context.CancelFunc
	done   chan struct{} // closed once it is healed, or healing failed

	heal sync.Mutex // held while healing

	mu     sync.Mutex
	status Status
	err    error
	ended  bool
}

// healLimit bounds how long a process takes to heal its own fault.
const healLimit = 20 * time.Second

// Inject injects a fault. What was left by processes that are gone is healed
// first. When it returns the fault bites, which was seen; where it did not, or
// anything else fails, nothing is left behind. The fault is healed by Heal, when
// its duration is over, when ctx ends, and when this process ends in any way.
//
// Errors of whoever asked are ErrUsage; a fault without effect is ErrNoBite.
func Inject(ctx context.Context, s Spec, o Options) (*Injection, error) {
	if err := Check(s, o); err != nil {
		return nil, err
	}
	if os.Getenv(ReaperVariable) != "" {
		return nil, fmt.Errorf("inject %s: this process is a reaper, which only heals", s.Fault)
	}
	f, err := Find(s.Fault)
	if err != nil {
		return nil, err
	}
	s = s.withDefaults(f)
	if s.Target, err = resolve(s.Target); err != nil {
		return nil, fmt.Errorf("inject %s: %w", s.Fault, err)
	}
	if err := f.Try(ctx, s); err != nil {
		return nil, fmt.Errorf("inject %s: %w", s.Fault, err)
	}
	dir := o.dir()
	if err := openFolder(dir); err != nil {
		return nil, fmt.Errorf("inject %s: %w", s.Fault, err)
	}
	healed, err := HealAll(ctx, dir, HealOptions{})
	for _, h := range healed {
		if !h.Live {
			o.warn(h.String())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("inject %s: %w", s.Fault, err)
	}
	i, err := start(ctx, f, s, dir, o)
	if err != nil {
		return nil, fmt.Errorf("inject %s: %w", s.Fault, err)
	}
	return i, nil
}

// start goes from the reaper over the journal to the fault, in that order.
func start(ctx context.Context, f Fault, s Spec, dir string, o Options) (*Injection, error) {
	entry, err := newEntry(s)
	if err != nil {
		return nil, err
	}
	r, err := startReaper(ctx, o.Reaper, dir, entry.ID)
	if err != nil {
		return nil, err
	}
	entry.Reaper = r.owner()
	w := &work{Entry: entry, dir: dir, hold: r.hold, again: o.Reaper, via: s.Options["via"]}
	if err := w.record(ctx, f); err != nil {
		return nil, errors.Join(err, r.dismiss())
	}
	i := &Injection{fault: f, work: w, reaper: r, done: make(chan struct{})}
	if err := i.injectAndVerify(ctx); err != nil {
		return nil, errors.Join(err, i.Heal(context.WithoutCancel(ctx)))
	}
	watch, cancel := context.WithCancel(ctx)
	i.cancel = cancel
	go i.watch(watch)
	return i, nil
}

// record writes the journal, unless the target has a fault already.
func (w *work) record(ctx context.Context, f Fault) error {
	unlock, err := lock(ctx, w.dir)
	if err != nil {
		return err
	}
	defer unlock()
	entries, _, err := readAll(w.dir)
	if err != nil {
		return err
	}
	for _, other := range entries {
		if !other.ofThisSystem() {
			continue
		}
		if other.overlaps(w.Entry) {
			return usagef("%s: it has a fault already: %s, which mslab chaos heal --all ends", w.Target, other)
		}
		if other.NetNS == w.NetNS {
			w.others = append(w.others, other)
		}
	}
	if err := f.prepare(ctx, w); err != nil {
		return err
	}
	return writeEntry(w.dir, w.Entry)
}

func (i *Injection) injectAndVerify(ctx context.Context) error {
	w := i.work
	if err := i.fault.inject(ctx, w); err != nil {
		return err
	}
	i.status = Status{ID: w.ID, Spec: w.Spec, InjectedAt: w.span.end, InjectedWithin: w.span.end.Sub(w.span.begin), Via: w.via}
	bit, facts, err := i.fault.verify(ctx, w)
	i.status.Verified, i.status.Evidence = bit, facts
	if err == nil && !bit {
		err = fmt.Errorf("%w%s", ErrNoBite, wordsOf(facts))
	}
	return err
}

func wordsOf(facts []Fact) string {
	text := ""
	for _, f := range facts {
		text += ", " + f.Words
	}
	return text
}

// watch heals when the time is over.
func (i *Injection) watch(ctx context.Context) {
	var over <-chan time.Time
	if i.work.Duration > 0 {
		timer := time.NewTimer(i.work.Duration - time.Since(i.status.InjectedAt))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-i.work.over:
	case <-ctx.Done():
	case <-i.done:
		return
	}
	_ = i.Heal(context.WithoutCancel(ctx)) // kept for whoever calls Heal
}

// Status is what came of the injection so far.
func (i *Injection) Status() Status {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.status
}

// Done is closed once the fault is healed, or healing it has failed: Heal tells
// which.
func (i *Injection) Done() <-chan struct{} { return i.done }

// Heal undoes the fault, removes it from the journal and waits for the reaper to
// end. Called again, it returns what came of the first call.
func (i *Injection) Heal(ctx context.Context) error {
	i.heal.Lock()
	defer i.heal.Unlock()
	if i.ended {
		return i.err
	}
	i.ended = true
	defer close(i.done)
	if i.cancel != nil {
		defer i.cancel()
	}
	ctx, cancel := context.WithTimeout(ctx, healLimit)
	defer cancel()
	if err := i.healOnce(ctx); err != nil {
		i.err = fmt.Errorf("%w: %w", ErrNotHealed, err)
		return i.err
	}
	if i.fault.settle != nil && !i.status.InjectedAt.IsZero() {
		facts := i.fault.settle(ctx, i.work)
		i.mu.Lock()
		i.status.Evidence = append(i.status.Evidence, facts...)
		i.mu.Unlock()
	}
	return nil
}

func (i *Injection) healOnce(ctx context.Context) error {
	w := i.work
	// The lock keeps two from healing at once, which is harmless; to leave the
	// fault where it is, because another process hangs, is not.
	if unlock, err := lock(ctx, w.dir); err == nil {
		defer unlock()
	}
	if i.fault.observe != nil && !i.status.InjectedAt.IsZero() {
		facts := i.fault.observe(ctx, w)
		i.mu.Lock()
		i.status.Evidence = append(i.status.Evidence, facts...)
		i.status.Verified = i.status.Verified && !w.missed
		i.mu.Unlock()
	}
	w.span = span{}
	if err := i.fault.undo(ctx, w); err != nil {
		i.reaper.release() // it tries, too
		return fmt.Errorf("heal %s: %w; the journal keeps it for mslab chaos heal", w.Fault, err)
	}
	i.mu.Lock()
	i.status.HealedAt, i.status.HealedWithin = w.span.end, w.span.end.Sub(w.span.begin)
	i.mu.Unlock()
	if err := removeEntry(w.dir, w.ID); err != nil {
		i.reaper.release()
		return fmt.Errorf("heal %s: %w", w.Fault, err)
	}
	return i.reaper.dismiss()
}
