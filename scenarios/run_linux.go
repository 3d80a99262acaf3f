package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mslab/results"
	"mslab/results/record"
)

// runner plays one plan.
type runner struct {
	plan     *Plan
	play     Play
	exe      string
	scratch  string // the servers' data folders
	spawner  *spawner
	store    *results.Store
	run      *results.Run
	progress *progress
	proc     bool // the probe is on
	netstat  bool
	untraced string            // why syscalls are not traced; "" while they can be
	sysctls  map[string]string // read once an arm
}

// Run plays a plan, or the rest of one (see PlanRest), and returns its folder and
// what it holds. Every trial is
// written as soon as its block is over. When ctx ends, the servers are stopped,
// what was measured is kept and marked incomplete, and the error is that of
// ctx; the folder and the run are returned with it. In a sandbox (see
// Sandbox.Run) it first makes the sandbox fit for it; outside of one a plan that
// wants a namespace of its own is refused.
func Run(ctx context.Context, plan *Plan, play Play) (dir string, run *results.Run, err error) {
	sandbox := Inside()
	if plan.namespace && sandbox == NoSandbox {
		return "", nil, fmt.Errorf("run %s: it wants a network namespace of its own", plan.Record.Scenario)
	}
	for _, p := range play.Predictions {
		if err := p.Check(&plan.Record); err != nil {
			return "", nil, fmt.Errorf("run %s: %w", plan.Record.Scenario, err)
		}
	}
	r := &runner{plan: plan, play: play,
		proc: slices.Contains(plan.probes, probeProc), netstat: slices.Contains(plan.probes, probeNetstat)}
	if r.exe, err = play.executable(); err != nil {
		return "", nil, err
	}
	var amiss []string
	if sandbox != NoSandbox {
		if amiss, err = furnish(play.paths(r.exe)...); err != nil {
			return "", nil, fmt.Errorf("run %s: %w", plan.Record.Scenario, err)
		}
	}
	if err := plan.tryFaults(ctx); err != nil {
		return "", nil, fmt.Errorf("run %s: %w", plan.Record.Scenario, err)
	}
	release, err := r.claimCores()
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	data, err := newScratch()
	if err != nil {
		return "", nil, fmt.Errorf("run %s: %w", plan.Record.Scenario, err)
	}
	defer func() { err = errors.Join(err, data.remove()) }()
	r.scratch = data.dir

	letGo, err := r.open()
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, letGo()) }()
	r.note(r.caveats()...)
	r.note(amiss...)
	r.progress = newProgress(play, plan)
	err = r.arms(ctx)
	r.progress.tell(RunEnded{Complete: err == nil})
	return r.run.Dir, r.run, errors.Join(err, r.finish(err == nil))
}

// caveats are what readers of the tables must know about this run.
func (r *runner) caveats() []string {
	var notes []string
	if !r.plan.cores.pinned() {
		notes = append(notes, "Server and generator share one core: RPS and latency tell of both.")
	}
	if r.netstat && Inside() == NoSandbox {
		notes = append(notes, "Accept queue and SYN counts are those of the host's network namespace: other programs' connections are in them.")
	}
	if !r.proc {
		notes = append(notes, "The probe proc was off: context switches, threads and memory were not measured and read 0.")
	}
	if !r.netstat {
		notes = append(notes, "The probe netstat was off: accept queue overflows and SYN retransmits were not measured and read 0.")
	}
	return notes
}

func (r *runner) note(notes ...string) {
	for _, n := range notes {
		if !slices.Contains(r.run.Notes, n) {
			r.run.Notes = append(r.run.Notes, n)
			r.progress.tell(Noted{n})
		}
	}
}

// finish writes the end of the run and its tables.
func (r *runner) finish(complete bool) error {
	r.run.Ended = time.Now().UTC()
	r.run.Incomplete = !complete
	r.run.Environment.CalibrationNS = meanCalibration(r.run.Trials)
	r.run.Environment.Steal = meanSteal(r.run.Trials)
	if complete {
		var err error
		if r.run.Asserted, err = results.Assert(r.run); err != nil {
			return err
		}
	}
	if err := r.store.WriteRun(r.run); err != nil {
		return err
	}
	tables, err := results.Tables(r.run, r.run.Plan.MinEffect)
	if err != nil {
		return fmt.Errorf("draw the tables of %s: %w", r.run.Dir, err)
	}
	return r.store.WriteTable(tables)
}

// claimCores pins this process and makes the thread that starts servers. What
// it returns undoes both.
func (r *runner) claimCores() (release func() error, err error) {
	c := r.plan.cores
	if r.spawner, err = newSpawner(c.server); err != nil {
		return nil, err
	}
	if !c.pinned() {
		return func() error { r.spawner.close(); return nil }, nil
	}
	release = func() error {
		r.spawner.close()
		return pinThreads(c.all, 0)
	}
	if err := pinThreads(c.generator, r.spawner.tid); err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

func (r *runner) arms(ctx context.Context) error {
	for i := range r.plan.arms {
		if err := r.arm(ctx, &r.plan.arms[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) arm(ctx context.Context, arm *armPlay) (err error) {
	restore, err := setSysctls(arm.sysctls)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	if arm.steer && !r.plan.cores.pinned() {
		r.note(fmt.Sprintf("Arm %s: there is no core of the server's own to steer packets to.", arm.name))
	} else if arm.steer {
		unsteer, steerErr := steerReceive(r.plan.cores.server)
		if steerErr == nil {
			defer func() { err = errors.Join(err, unsteer()) }()
		} else {
			r.note(fmt.Sprintf("Arm %s: packets were not steered, so that few handshakes overlap: %v. It takes root.", arm.name, steerErr))
		}
	}
	r.sysctls = environment(r.plan.cores).Sysctls
	if err := r.blocks(ctx, arm); err != nil {
		return err
	}
	if arm.traced {
		return r.trace(ctx, arm)
	}
	return nil
}

// cell is one subject in one block: its server, and the slices played so far.
type cell struct {
	player player
	child  *child
	parts  []*record.Record
	faults []string // why the trial is invalid besides what its parts say

	timeline *timeline // nil where the arm has no faults, and before it plays
	felled   bool      // its server ended under a fault that bit

	taken     disturbance // by others, during the slices
	machine   machineLoad // what the kernel says of them
	warmth    warmth
	underLoad time.Duration
}

// block starts all subjects, plays their slices in turn and stops them.
func (r *runner) block(ctx context.Context, arm *armPlay, block, load int) error {
	r.progress.block(arm, block, load)
	began := time.Now()
	cells, err := r.start(ctx, arm)
	if err != nil {
		return err
	}
	turns := order(orderSource(r.plan.Record.Seed, arm.name, block, load), len(cells), arm.slices)
	played, err := r.slices(ctx, arm, cells, turns, arm.loads[load], block)
	children := childrenOf(cells)
	if stopErr := endAll(children); stopErr != nil {
		r.note(fmt.Sprintf("Arm %s, block %d: %v.", arm.name, block, stopErr))
	}
	err = errors.Join(err, r.settle(cells))
	for _, c := range children {
		c.remove()
	}
	entry := results.Played{Arm: arm.name, Block: block, Load: load}
	for _, i := range turns[:played] {
		entry.Order = append(entry.Order, cells[i].player.subject.Name)
	}
	entry.TookS = time.Since(began).Seconds()
	return errors.Join(err, r.keep(arm, cells, entry))
}

// start starts a server for each subject, all before the first is loaded.
func (r *runner) start(ctx context.Context, arm *armPlay) ([]*cell, error) {
	cells := make([]*cell, 0, len(arm.subjects))
	for _, p := range arm.subjects {
		c, err := r.startSubject(ctx, p)
		if err == nil {
			cells = append(cells, &cell{player: p, child: c})
			if err = r.greet(c); err == nil {
				continue
			}
		}
		if p.spec.Foreign() && len(r.run.Trials) > 0 && ctx.Err() == nil {
			cells = r.absent(cells, p, err)
			continue
		}
		return nil, errors.Join(err, stopAll(childrenOf(cells)))
	}
	return cells, nil
}

func childrenOf(cells []*cell) []*child {
	children := make([]*child, 0, len(cells))
	for _, c := range cells {
		children = append(children, c.child)
	}
	return children
}

// slices warms each server, plays the slices in their order and returns how
// many had their turn.
func (r *runner) slices(ctx context.Context, arm *armPlay, cells []*cell, turns []int, load Load, block int) (played int, err error) {
	for _, c := range cells {
		if c.timeline, err = r.newTimeline(arm.faults); err != nil {
			return 0, err
		}
		r.progress.warming(c, load)
		if err := r.warm(ctx, c, load); err != nil {
			return 0, err
		}
	}
	for n, i := range turns {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		c := cells[i]
		if c.child.failed != "" {
			continue
		}
		r.progress.slice(arm, c, load)
		part, err := r.stretch(ctx, c, load, n)
		r.progress.sliceEnded(c, part)
		if err != nil {
			return n, err
		}
		if part != nil {
			if len(c.parts) == 0 {
				part.Load.WarmupS = c.warmth.played.Seconds() // once, before the first slice
			}
			part.Scenario, part.Arm, part.Block, part.Subject = r.plan.Record.Scenario, arm.name, block, c.player.subject
			c.parts = append(c.parts, part)
		}
	}
	return len(turns), ctx.Err()
}

// keep merges the slices of each subject and writes its trial, and that the
// block was played once all of them are written: a block that is not in the
// run's order is played anew when the run is resumed.
func (r *runner) keep(arm *armPlay, cells []*cell, entry results.Played) error {
	block := entry.Block
	for _, c := range cells {
		if len(c.parts) == 0 {
			if c.child.failed != "" {
				r.note(fmt.Sprintf("Arm %s, block %d: nothing was measured of %s: %s.", arm.name, block, c.player.subject.Name, c.child.failed))
			}
			continue
		}
		trial, err := record.Merge(c.parts...)
		if err != nil {
			return fmt.Errorf("keep the trial of %s: %w", c.player.subject.Name, err)
		}
		r.complete(trial, arm, c)
		if err := r.store.WriteTrial(trial); err != nil {
			return err
		}
		r.run.Trials = append(r.run.Trials, trial)
		r.progress.kept(trial)
	}
	r.run.Order = append(r.run.Order, entry)
	return r.store.WriteRun(r.run)
}

// complete adds what a trial has and its slices do not.
func (r *runner) complete(trial *record.Record, arm *armPlay, c *cell) {
	trial.Tool = r.play.Tool
	trial.Incomplete = trial.Incomplete || len(c.parts) < arm.slices && c.child.failed == ""
	switch {
	case c.felled:
		trial.Verdict.Comparable = false
		trial.Verdict.Reasons = append(trial.Verdict.Reasons, c.child.failed)
	case c.child.failed != "":
		c.faults = append(c.faults, c.child.failed)
	}
	// A single stretch has been asked by the generator.
	if err := trial.CheckLittle(); err != nil && len(c.parts) > 1 {
		c.faults = append(c.faults, err.Error())
	}
	for _, fault := range c.faults {
		invalidate(trial, fault)
	}
	judgeWarmup(trial, &c.warmth)
	judgeDisturbance(trial, c.taken, c.underLoad, len(r.plan.cores.all))
	env := *r.run.Environment
	env.Sysctls = r.sysctls
	if cores := len(r.plan.cores.all); c.underLoad > 0 && cores > 0 {
		env.Steal = c.taken.steal / (c.underLoad.Seconds() * float64(cores))
	}
	env.CalibrationNS = meanCalibration([]*record.Record{trial})
	trial.Environment = &env
	judgeBottleneck(trial, r.plan.cores, c.machine)
}

func meanSteal(trials []*record.Record) float64 {
	if len(trials) == 0 {
		return 0
	}
	var sum float64
	for _, t := range trials {
		sum += t.Environment.Steal
	}
	return sum / float64(len(trials))
}

func meanCalibration(trials []*record.Record) float64 {
	var sum float64
	var n int
	for _, t := range trials {
		for _, s := range t.Slices {
			if s.CalibrationNS > 0 {
				sum, n = sum+s.CalibrationNS, n+1
			}
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
