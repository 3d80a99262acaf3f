package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mslab/ebpf"
	"mslab/loadgen"
	"mslab/results"
)

// trace plays the traced trials of an arm, a fresh server for each subject. What
// cannot be traced is noted and ends nothing: the measured trials stand without.
func (r *runner) trace(ctx context.Context, arm *armPlay) error {
	before := len(r.run.Traced)
	for _, p := range arm.subjects {
		if r.untraced != "" {
			break
		}
		if r.run.TracedAlready(arm.name, p.subject.Name) {
			continue // before the run was resumed
		}
		r.progress.traced(arm, p.subject.Name)
		traced, err := r.tracedTrial(ctx, arm, p)
		var missing *ebpf.Missing
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &missing), errors.Is(err, errors.ErrUnsupported):
			r.untraced = err.Error()
			r.note("Syscalls per request were not counted: " + r.untraced + ".")
		case err != nil:
			r.note(fmt.Sprintf("Arm %s: the syscalls of %s were not counted: %v.", arm.name, p.subject.Name, err))
		default:
			r.run.Traced = append(r.run.Traced, *traced)
		}
	}
	r.progress.allTraced(arm, len(r.run.Traced)-before, r.untraced)
	return r.store.WriteRun(r.run)
}

// tracedTrial starts a server, warms it, and counts its syscalls while it is
// loaded in slices.
func (r *runner) tracedTrial(ctx context.Context, arm *armPlay, p player) (_ *results.TracedSyscalls, err error) {
	child, err := r.startSubject(ctx, p)
	if err != nil {
		return nil, err
	}
	c := &cell{player: p, child: child}
	defer func() { err = errors.Join(err, child.stop()) }()
	load := arm.loads[0]
	load.Slice = tracedSlice
	if err := r.warm(ctx, c, load); err != nil {
		return nil, err
	}
	if child.failed != "" {
		return nil, errors.New(child.failed)
	}
	if err := child.oneProcess(); err != nil {
		return nil, err
	}
	tracer, err := ebpf.TraceSyscalls(ebpf.SyscallOptions{PID: child.pid})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tracer.Close()) }()
	t := &results.TracedSyscalls{Arm: arm.name, Subject: p.subject.Name, Started: time.Now().UTC()}
	return t, countSyscalls(ctx, child, p, load, tracer, t)
}

// oneProcess says why the syscalls of a child cannot be counted: a tracer sees
// one process, and to count some of a tree's would be to guess the others.
func (c *child) oneProcess() error {
	if c.foreign == nil {
		return nil
	}
	if c.foreign.unread != "" {
		return errors.New(c.foreign.unread)
	}
	list := c.foreign.tree.processes()
	if len(list) != 1 {
		return fmt.Errorf("it has %s, and one can be traced", count(len(list), "process"))
	}
	c.pid = list[0].pid
	return nil
}

// countSyscalls loads a traced server slice by slice and reads the tracer where
// nothing is in flight. The server's own work for its counters, a few calls a
// slice, is in the counts.
func countSyscalls(ctx context.Context, c *child, p player, load Load, tracer *ebpf.SyscallTracer, t *results.TracedSyscalls) error {
	cpu, err := readCPU(c.pid)
	if err != nil {
		return err
	}
	before, err := tracer.Read()
	if err != nil {
		return err
	}
	counters, err := c.counters(ctx)
	if err != nil {
		return err
	}
	tally := newTally(before)
	for slice := range tracedSlices {
		part, err := loadgen.Run(ctx, p.offer(load, c.url))
		if err != nil {
			return fmt.Errorf("load %s: %w", c.name, err)
		}
		if counters, err = drain(ctx, c, counters["batches_processed"]+part.Counts.OK); err != nil {
			return err
		}
		read := tracer.Read
		if slice == tracedSlices-1 {
			read = tracer.Stop
		}
		at, err := read()
		if err != nil {
			return err
		}
		tally.add(at)
		t.Requests = append(t.Requests, part.Counts.OK)
		t.Self = costOf(at.Self)
	}
	end, err := readCPU(c.pid)
	if err != nil {
		return err
	}
	t.CPUNS, t.Syscalls = int64(end-cpu), tally.counts()
	if requests := slices.Max(t.Requests); requests == 0 {
		return errors.New("no request was answered")
	}
	return nil
}

// tally turns the totals that a tracer reads into counts by slice.
type tally struct {
	last   map[string]total
	calls  map[string][]int64
	errors map[string][]int64
	ns     map[string]int64
	slices int
}

type total struct{ calls, errors, ns int64 }

func newTally(before ebpf.Syscalls) *tally {
	return &tally{last: totals(before), calls: map[string][]int64{}, errors: map[string][]int64{}, ns: map[string]int64{}}
}

// totals sums the rows of each name, with the calls in which a thread ended: an
// exit never returns, and is made all the same.
func totals(s ebpf.Syscalls) map[string]total {
	sums := map[string]total{}
	for _, c := range s.Calls {
		t := sums[c.Name]
		sums[c.Name] = total{t.calls + int64(c.Calls), t.errors + int64(c.Errors), t.ns + int64(c.Total)}
	}
	for name, n := range s.Ended {
		t := sums[name]
		t.calls += int64(n)
		sums[name] = t
	}
	return sums
}

// add ends a slice.
func (y *tally) add(at ebpf.Syscalls) {
	now := totals(at)
	y.slices++
	for name, t := range now {
		y.calls[name] = y.pad(y.calls[name], t.calls-y.last[name].calls)
		y.errors[name] = y.pad(y.errors[name], t.errors-y.last[name].errors)
		y.ns[name] += t.ns - y.last[name].ns
	}
	y.last = now
}

// pad puts a slice's count at its place behind slices without a call.
func (y *tally) pad(counts []int64, n int64) []int64 {
	for len(counts) < y.slices-1 {
		counts = append(counts, 0)
	}
	return append(counts, n)
}

// counts are the syscalls that were made at all, by name.
func (y *tally) counts() []results.SyscallCount {
	out := []results.SyscallCount{}
	for _, name := range sortedKeys(y.calls) {
		c := results.SyscallCount{Name: name, Calls: y.calls[name], TotalNS: y.ns[name]}
		if slices.Max(c.Calls) == 0 {
			continue
		}
		if errs := y.errors[name]; slices.Max(errs) > 0 {
			c.Errors = errs
		}
		out = append(out, c)
	}
	return out
}

func costOf(c ebpf.Cost) results.TracerCost {
	out := results.TracerCost{Rung: string(c.Rung), CPUNS: int64(c.CPU), MachineNS: int64(c.Machine), Runs: int64(c.Runs),
		PerCallNS: int64(c.PerCall), FloorNS: int64(c.Floor)}
	for reason, n := range c.Drops {
		if out.Drops == nil {
			out.Drops = map[string]int64{}
		}
		out.Drops[reason] = int64(n)
	}
	return out
}
