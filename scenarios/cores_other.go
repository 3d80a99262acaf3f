//go:build !linux

package scenarios

import "runtime"

// allowedCores assumes all of them where the system does not say.
func allowedCores() ([]int, error) {
	list := make([]int, runtime.NumCPU())
	for i := range list {
		list[i] = i
	}
	return list, nil
}
