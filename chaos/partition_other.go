//go:build !linux

package chaos

import "context"

func planPartition(context.Context, Spec) (Plan, error) { return Plan{}, errNotSupported() }
func tryPartition(context.Context, Spec) error          { return errNotSupported() }
func preparePartition(context.Context, *work) error     { return errNotSupported() }
func injectPartition(context.Context, *work) error      { return errNotSupported() }
func verifyPartition(context.Context, *work) (bool, []Fact, error) {
	return false, nil, errNotSupported()
}
func observePartition(context.Context, *work) []Fact { return nil }
func undoPartition(context.Context, *work) error     { return errNotSupported() }
func sweepPartition(context.Context, string) error   { return errNotSupported() }
