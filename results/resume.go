package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"mslab/results/record"
)

// Finished says whether a block was played to its end under one of its arm's
// loads.
func (r *Run) Finished(arm string, block, load int) bool {
	return slices.ContainsFunc(r.Order, func(p Played) bool { return p.Arm == arm && p.Block == block && p.Load == load })
}

// FinishedBlocks counts the blocks of an arm that are over under every load.
func (r *Run) FinishedBlocks(arm ArmPlan) int {
	blocks, _ := r.played(arm)
	return blocks
}

// CutShort takes out of the run what belongs to no block that was played to its
// end: blocks that were cut short, and trials of blocks whose end was not
// written. It returns both. The folder stays as it is.
func (r *Run) CutShort() (blocks []Played, trials []*record.Record) {
	var kept []Played
	for _, p := range r.Order {
		known := slices.ContainsFunc(kept, func(k Played) bool { return k.Arm == p.Arm && k.Block == p.Block && k.Load == p.Load })
		if known || !r.whole(p) {
			blocks = append(blocks, p)
			continue
		}
		kept = append(kept, p)
	}
	r.Order = kept
	whole := r.Trials[:0:0]
	for _, t := range r.Trials {
		if r.finishedTrial(t) {
			whole = append(whole, t)
		} else {
			trials = append(trials, t)
		}
	}
	r.Trials = whole
	return blocks, trials
}

// RemoveTrials removes the files of trials.
func (s *Store) RemoveTrials(trials []*record.Record) error {
	for _, t := range trials {
		err := os.Remove(filepath.Join(s.dir, trialsDir, trialName(t)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the trial of %s in block %d: %w", t.Subject.Name, t.Block, err)
		}
	}
	return nil
}

// whole says that each subject had all its turns and that no trial of the block
// was cut short.
func (r *Run) whole(p Played) bool {
	arm, ok := r.Plan.Arm(p.Arm)
	if !ok || p.Load < 0 || p.Load >= max(1, len(arm.Loads)) || len(p.Order) < len(r.Plan.SubjectsOf(arm))*arm.Slices {
		return false
	}
	return !slices.ContainsFunc(r.Trials, func(t *record.Record) bool { return t.Incomplete && r.isOf(t, arm, p) })
}

func (r *Run) isOf(t *record.Record, arm ArmPlan, p Played) bool {
	return t.Arm == p.Arm && t.Block == p.Block && arm.Under(t, p.Load)
}

func (r *Run) finishedTrial(t *record.Record) bool {
	arm, _ := r.Plan.Arm(t.Arm)
	return slices.ContainsFunc(r.Order, func(p Played) bool { return r.isOf(t, arm, p) })
}

// TracedAlready says whether a subject's traced trial in an arm is over.
func (r *Run) TracedAlready(arm, subject string) bool {
	return slices.ContainsFunc(r.Traced, func(t TracedSyscalls) bool { return t.Arm == arm && t.Subject == subject })
}
