package scenarios

import (
	"context"
	"time"

	"mslab/results"
)

// blocks plays the blocks of an arm that are not over yet: as many as planned,
// or, where there is a precision to reach, until the stopping rule ends it.
func (r *runner) blocks(ctx context.Context, arm *armPlay) error {
	arm.expected = arm.blocks
	for block := 1; ; block++ {
		if block > arm.blocks {
			more, err := r.another(arm, block)
			if err != nil || !more {
				return err
			}
		}
		played := false
		for load := range arm.loads {
			if r.run.Finished(arm.name, block, load) {
				continue
			}
			if err := r.block(ctx, arm, block, load); err != nil {
				return err
			}
			played = true
		}
		if played {
			r.progress.blockEnded()
		}
	}
}

// another says whether a block is to be played beyond the planned ones, and
// keeps the reason where it is not.
func (r *runner) another(arm *armPlay, block int) (bool, error) {
	if _, stopped := r.run.StoppedOf(arm.name); stopped || arm.goal == 0 {
		return false, nil
	}
	if r.run.Finished(arm.name, block, len(arm.loads)-1) {
		return true, nil // played before the run was interrupted
	}
	next, err := results.NextBlock(r.run, arm.name)
	if err != nil {
		return false, err
	}
	if next.Stop {
		r.run.Stopped = append(r.run.Stopped, next.Stopped)
		r.expect(arm, block-1)
		return false, r.store.WriteRun(r.run)
	}
	r.expect(arm, max(block, next.Expected))
	return true, nil
}

// expect corrects the time left by how many blocks of an arm are expected now.
func (r *runner) expect(arm *armPlay, blocks int) {
	r.progress.planned += time.Duration(blocks-arm.expected) * arm.blockDuration()
	arm.expected = blocks
}
