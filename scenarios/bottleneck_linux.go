package scenarios

import "github.com/prometheus/procfs"

// readMachine reads what the cores given, all where there are none, have had to
// do and how long tasks have waited for disks. What the kernel does not tell
// stays 0.
func readMachine(cores []int) machineLoad {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return machineLoad{}
	}
	var m machineLoad
	if stat, err := fs.Stat(); err == nil {
		m.read = true
		for _, core := range cores {
			cpu, known := stat.CPU[int64(core)]
			m.idle += cpu.Idle + cpu.Iowait
			m.read = m.read && known
		}
	}
	// Kernels without pressure stall information have no such file.
	if pressure, err := fs.PSIStatsForResource("io"); err == nil && pressure.Some != nil {
		m.io = float64(pressure.Some.Total) / 1e6
	}
	return m
}
