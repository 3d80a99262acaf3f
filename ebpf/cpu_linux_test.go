//go:build amd64 || arm64

package ebpf

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/pprof/profile"
)

// burnVariable makes this test binary a process that burns CPU: THREADS of them in
// short turns, or with "clones" a thread for each piece of work.
const burnVariable = "MSLAB_TEST_BURN"

func TestBurner(t *testing.T) {
	how := os.Getenv(burnVariable)
	if how == "" {
		return // no test, but a process for the others
	}
	fmt.Println("ready")
	end := time.Now().Add(time.Minute)
	if how == "clones" {
		for time.Now().Before(end) {
			var pair sync.WaitGroup
			for range 2 {
				pair.Go(func() { // its thread ends with it
					runtime.LockOSThread()
					runtime.KeepAlive(burnFor(300 * time.Microsecond))
				})
			}
			pair.Wait()
		}
		return
	}
	threads, err := strconv.Atoi(how)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range threads {
		all.Go(func() {
			runtime.LockOSThread()
			for time.Now().Before(end) {
				runtime.KeepAlive(burnFor(200 * time.Microsecond))
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	all.Wait()
}

//go:noinline
func burnFor(d time.Duration) (sum int) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		sum += spin(1000)
	}
	return sum
}

//go:noinline
func spin(n int) (sum int) {
	for i := range n {
		sum += i * i
	}
	return sum
}

func skipWithoutSampling(t *testing.T) {
	t.Helper()
	if _, err := CheckCPU(); err != nil {
		t.Skipf("no sampling here: %v", err)
	}
}

// startBurner starts a process that burns CPU until the test ends.
func startBurner(t *testing.T, how string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestBurner$", "-test.timeout", "90s")
	cmd.Env = append(os.Environ(), burnVariable+"="+how)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestCPUTotalAgreesWithTheClock wants what the samples add up to to be what the
// kernel charged, for long and short turns and for threads that end at once.
func TestCPUTotalAgreesWithTheClock(t *testing.T) {
	skipWithoutSampling(t)
	for _, how := range []string{"1", "2", "16", "clones"} {
		t.Run(how, func(t *testing.T) {
			cmd := startBurner(t, how)
			s, err := SampleCPU(CPUOptions{PID: cmd.Process.Pid})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Wait(t.Context(), 2*time.Second); err != nil {
				t.Fatal(err)
			}
			p, err := s.Stop()
			if err != nil {
				t.Fatal(err)
			}
			var sum int64
			for _, sample := range p.Profile.Sample {
				sum += sample.Value[1]
			}
			off := float64(sum)/float64(p.Clock) - 1
			t.Logf("%d samples stand for %s, the clock says %s: %+.2f %%; woken %s, waking %s, stolen %s, late %d, lost %d",
				p.Samples, p.Total, p.Clock, 100*off, p.Woken, p.Waking, p.Stolen, p.Late, p.Lost)
			if math.Abs(off) > 0.03 || time.Duration(sum) != p.Total || p.Lost > 0 || p.Ended {
				t.Errorf("sum %s, total %s, clock %s, %d lost, ended %v", time.Duration(sum), p.Total, p.Clock, p.Lost, p.Ended)
			}
			if p.Samples < 20 || shareOf(p.Profile, "mslab/ebpf.burnFor") < 0.5 {
				t.Errorf("%d samples, %.0f %% of them in burnFor", p.Samples, 100*shareOf(p.Profile, "mslab/ebpf.burnFor"))
			}
		})
	}
}

// shareOf is the share of the time in a function and what it calls.
func shareOf(p *profile.Profile, function string) float64 {
	var in, all int64
	for _, s := range p.Sample {
		all += s.Value[1]
		if slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
			return slices.ContainsFunc(l.Line, func(line profile.Line) bool { return line.Function.Name == function })
		}) {
			in += s.Value[1]
		}
	}
	return float64(in) / float64(max(all, 1))
}

// TestCPUProfileOpens reads a profile with go tool pprof.
func TestCPUProfileOpens(t *testing.T) {
	skipWithoutSampling(t)
	cmd := startBurner(t, "1")
	s, err := SampleCPU(CPUOptions{PID: cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_ = s.Wait(t.Context(), time.Second)
	p, err := s.Stop()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "cpu.pb.gz")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Profile.Write(file), file.Close()); err != nil {
		t.Fatal(err)
	}
	for _, view := range []string{"-top", "-raw"} {
		out, err := exec.Command("go", "tool", "pprof", view, name).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "mslab/ebpf.spin") {
			t.Errorf("go tool pprof %s: %v\n%s", view, err, out)
		}
	}
}

// TestCPUOfAProcessThatEnds wants what was sampled until then.
func TestCPUOfAProcessThatEnds(t *testing.T) {
	skipWithoutSampling(t)
	cmd := startBurner(t, "2")
	s, err := SampleCPU(CPUOptions{PID: cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	time.AfterFunc(500*time.Millisecond, func() { _ = cmd.Process.Kill() })
	begun := time.Now()
	if err := s.Wait(t.Context(), time.Minute); err != nil || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
	p, err := s.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if !p.Ended || p.Samples == 0 || shareOf(p.Profile, "mslab/ebpf.burnFor") < 0.3 {
		t.Errorf("ended %v, %d samples", p.Ended, p.Samples)
	}
	if _, err := SampleCPU(CPUOptions{PID: 1 << 29}); err == nil || !strings.Contains(err.Error(), "no such process") {
		t.Errorf("a process that there is not: %v", err)
	}
}

// TestCPUSamplerHoldsNothing wants no descriptor and no goroutine left of samplers
// that were stopped, and of those that were closed without that.
func TestCPUSamplerHoldsNothing(t *testing.T) {
	skipWithoutSampling(t)
	cmd := startBurner(t, "1")
	held := func() (files, goroutines int) {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list), runtime.NumGoroutine()
	}
	sample := func(end func(*CPUSampler) error) {
		s, err := SampleCPU(CPUOptions{PID: cmd.Process.Pid})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond)
		if err := errors.Join(end(s), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	stop := func(s *CPUSampler) error { _, err := s.Stop(); return err }
	sample(stop) // what the runtime and the libraries open once
	files, goroutines := held()
	for range 3 {
		sample(stop)
		sample((*CPUSampler).Close)
	}
	if f, g := held(); f != files || g > goroutines {
		t.Errorf("%d descriptors and %d goroutines before, %d and %d after", files, goroutines, f, g)
	}
}

// TestCPUProbesOnOtherLayouts loads the probes as on kernels whose structures lack
// what the scheduler's clock is found by, and wants that to be noticed.
func TestCPUProbesOnOtherLayouts(t *testing.T) {
	skipWithoutSampling(t)
	for _, missing := range [][2]string{{"", ""}, {"cfs_rq", "rq"}, {"sched_entity", "cfs_rq"}} {
		for _, rung := range []Rung{TPBTF, RawTP} {
			t.Run(missing[0]+"."+missing[1]+"/"+string(rung), func(t *testing.T) {
				kernel, err := btf.LoadKernelSpec()
				if err != nil {
					t.Fatal(err)
				}
				kernel = kernel.Copy()
				if missing[0] != "" {
					var of *btf.Struct
					if err := kernel.TypeByName(missing[0], &of); err != nil {
						t.Fatal(err)
					}
					i := slices.IndexFunc(of.Members, func(m btf.Member) bool { return m.Name == missing[1] })
					of.Members[i].Name = "other"
				}
				if told := tellsCharges(kernel); told != (missing[0] == "") {
					t.Errorf("without %s.%s the scheduler's clock is there: %v", missing[0], missing[1], told)
				}
				spec, err := loadCpu()
				if err != nil {
					t.Fatal(err)
				}
				for name := range spec.Programs {
					if name != cpuProgCpuTick && name != "switched_"+string(rung) {
						delete(spec.Programs, name)
					}
				}
				coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{KernelTypes: kernel}})
				if err != nil {
					t.Fatal(err)
				}
				coll.Close()
			})
		}
	}
}

// TestGoFrames holds the depths of the table against what the compiler does: a
// function without locals has no frame, and no function has one at its first
// instruction.
func TestGoFrames(t *testing.T) {
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	i := &image{reader: file}
	i.open()
	if i.lines == nil || i.lines.depths == nil {
		t.Fatal("no table of Go's in this program")
	}
	found := 0
	for _, f := range i.lines.table.Funcs {
		switch f.Name {
		case "runtime.memmove", "mslab/ebpf.spin":
			if at := f.Entry + (f.End-f.Entry)/2; !i.lines.frameless(at) {
				t.Errorf("%s has no frame, and is said to have one", f.Name)
			}
			found++
		case "mslab/ebpf.shareOf":
			if !i.lines.frameless(f.Entry) || i.lines.frameless(f.Entry+(f.End-f.Entry)/2) {
				t.Errorf("%s: frameless at its first instruction %v, in its middle %v; want true and false",
					f.Name, i.lines.frameless(f.Entry), i.lines.frameless(f.Entry+(f.End-f.Entry)/2))
			}
			found++
		}
	}
	if found != 3 {
		t.Errorf("%d of 3 functions found", found)
	}
}
