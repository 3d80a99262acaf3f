package scenarios

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// steerReceive makes the kernel handle what the loopback device of this network
// namespace receives on the given cores (receive packet steering). Without it a
// packet over loopback is handled on the sender's core before the sender goes
// on, so that a whole handshake is over when connect(2) returns and no two of
// them overlap; with it they overlap, as they do behind a network card. What it
// returns undoes it.
func steerReceive(list []int) (restore func() error, err error) {
	fail := func(err error) (func() error, error) {
		return nil, fmt.Errorf("steer the loopback device's packets to %s: %w", coreList(list), err)
	}
	// /sys shows the devices of the namespace that mounted it: mount another
	// one, which only this mount namespace sees.
	sys, err := os.MkdirTemp(sandboxFolder(), "mslab-sys-")
	if err != nil {
		return fail(err)
	}
	if err := unix.Mount("sysfs", sys, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fail(errors.Join(err, os.Remove(sys)))
	}
	unmount := func() error { return errors.Join(unix.Unmount(sys, 0), os.Remove(sys)) }
	file := filepath.Join(sys, "class/net/lo/queues/rx-0/rps_cpus")
	if err := os.WriteFile(file, []byte(cpuMask(list)), 0); err != nil {
		return fail(errors.Join(reason(err), unmount()))
	}
	return func() error {
		return errors.Join(os.WriteFile(file, []byte("0"), 0), unmount())
	}, nil
}

// cpuMask writes cores as the kernel does: 32-bit words in hex, the highest
// first, with commas between.
func cpuMask(list []int) string {
	var words []uint32
	for _, n := range list {
		for len(words) <= n/32 {
			words = append(words, 0)
		}
		words[n/32] |= 1 << (n % 32)
	}
	out := make([]string, 0, len(words))
	for i := len(words) - 1; i >= 0; i-- {
		out = append(out, fmt.Sprintf("%08x", words[i]))
	}
	return strings.Join(out, ",")
}
