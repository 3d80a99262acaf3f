//go:build amd64 || arm64

package ebpf

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkWrite is a write of one byte to /dev/null in this process: untraced, by
// a process that is not traced while another one is, and traced in every way. The
// figure to read is cpu-ns/op, the thread's CPU time of the fastest of many rounds:
// on a busy machine the wall clock says nothing.
func BenchmarkWrite(b *testing.B) {
	write := func(b *testing.B) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		fd, err := unix.Open(os.DevNull, unix.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(fd)
		buffer := []byte{'x'}
		best := time.Hour
		for b.Loop() {
			start := threadTime()
			for range 2000 {
				_, _ = unix.Write(fd, buffer)
			}
			best = min(best, (threadTime()-start)/2000)
		}
		b.ReportMetric(float64(best), "cpu-ns/call")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("untraced", write)
	for _, rung := range Rungs() {
		for name, o := range map[string]SyscallOptions{"all": {}, "thread": {ByThread: true}, "fd": {ByFD: true},
			"follow": {Follow: true}, "only=read": {Only: []string{"read"}}} {
			o.Rung, o.PID = rung, os.Getpid()
			b.Run(string(rung)+"/"+name, func(b *testing.B) { benchmarkTraced(b, o, write) })
		}
		b.Run(string(rung)+"/another", func(b *testing.B) {
			benchmarkTraced(b, SyscallOptions{PID: os.Getppid(), Rung: rung}, write)
		})
	}
}

func benchmarkTraced(b *testing.B, o SyscallOptions, write func(*testing.B)) {
	tracer, err := TraceSyscalls(o)
	if err != nil {
		b.Skip(err)
	}
	defer tracer.Close()
	write(b)
}
