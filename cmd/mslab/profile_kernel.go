package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mslab/ebpf"
	"mslab/profile"
	"mslab/results"
	"mslab/server/registry"
)

// Who samples a CPU profile.
const (
	viaAuto    = "auto"
	viaRuntime = "runtime"
	viaKernel  = "kernel"
)

func viaNames() []string { return []string{viaAuto, viaRuntime, viaKernel} }

// resolveVia checks --via and the targets that only the kernel can look into.
func (o *profileOptions) resolveVia(given func(string) bool) error {
	if !slices.Contains(viaNames(), o.via) {
		return usagef("--via %q: want one of %s", o.via, strings.Join(viaNames(), ", "))
	}
	if o.kind.Name != "cpu" {
		switch {
		case given("via"):
			return usagef("--via is for cpu: a %s profile comes from the server itself", o.kind.Name)
		case len(o.command) > 0:
			return usagef("profile %s -- COMMAND: only cpu can be taken of any program; %s comes from a Go server's admin listener", o.kind.Name, o.kind.Name)
		}
	}
	switch {
	case len(o.command) == 0:
	case o.via == viaRuntime:
		return usagef("--via runtime -- COMMAND: the runtime's profile comes from a server's admin listener")
	case given("duration"):
		return usagef("--duration with -- COMMAND: a command is profiled until it ends")
	case given("pid"), given("phase"):
		return usagef("-- COMMAND, --pid and --phase exclude each other; give one")
	}
	return nil
}

// foreign tells whether --pid names a process that is no server of ours, which
// only the kernel can look into.
func (o *profileOptions) foreign() (bool, error) {
	if o.pid == 0 {
		return false, nil
	}
	entries, err := registry.List(registry.Dir())
	if err != nil {
		return false, fmt.Errorf("find server with pid %d: %w", o.pid, err)
	}
	if slices.ContainsFunc(entries, func(e registry.Entry) bool { return e.PID == o.pid }) || !registry.Running(o.pid) {
		return false, nil
	}
	switch {
	case o.kind.Name != "cpu":
		return false, usagef("--pid %d: the process is no server that mslab serve has registered, and only cpu can be taken of any process; %s comes from a Go server's admin listener", o.pid, o.kind.Name)
	case o.via == viaRuntime:
		return false, usagef("--pid %d --via runtime: the process is no server that mslab serve has registered", o.pid)
	}
	return true, nil
}

// takeForeign profiles a process that is no server of ours.
func (o *profileOptions) takeForeign(ctx context.Context, stdout, stderr io.Writer) error {
	name := "process"
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", o.pid)); err == nil {
		name = strings.TrimSpace(string(comm))
	}
	who := profiled{name: fileName(name), title: fmt.Sprintf("%s (pid %d)", name, o.pid), pid: o.pid}
	sampler, err := ebpf.SampleCPU(ebpf.CPUOptions{PID: o.pid})
	if err != nil {
		return err
	}
	defer sampler.Close()
	fmt.Fprintf(stderr, "profiling cpu of %s for %s\n", who.title, o.duration)
	return o.write(who, "", stdout, func() (*profile.Taken, error) {
		waitErr := sampler.Wait(ctx, o.duration)
		p, err := sampler.Stop()
		if err != nil {
			return nil, err
		}
		if waitErr != nil && p.Samples == 0 {
			return nil, waitErr
		}
		k := kernelProfile(p)
		k.Foreign, k.Interrupted = true, waitErr != nil
		return profile.FromKernel(k, profile.Window{}, profile.Window{})
	}, func() error { return interrupted(ctx) })
}

// takeCommand profiles a command from its first instruction to its end.
func (o *profileOptions) takeCommand(ctx context.Context, stdout, stderr io.Writer) error {
	c, err := startCommand(o.command, streamsOf(stdout, stderr, o.format != formatTable))
	if err != nil {
		return err
	}
	defer c.close()
	sampler, err := ebpf.SampleCPU(ebpf.CPUOptions{PID: c.PID, Follow: true})
	if err != nil {
		return err
	}
	defer sampler.Close()
	name := filepath.Base(o.command[0])
	who := profiled{name: fileName(name), title: strings.Join(o.command, " "), pid: c.PID}
	var end commandEnd
	return o.write(who, "", stdout, func() (*profile.Taken, error) {
		var waitErr error
		end, waitErr = c.wait(ctx)
		p, err := sampler.Stop()
		if err := errors.Join(waitErr, err); err != nil {
			return nil, err
		}
		k := kernelProfile(p)
		k.Foreign, k.Ended = true, false
		// To start a program costs some, too, before it is there to be sampled.
		k.Clock, k.ClockName = max(end.CPU()-max(p.Before, 0), 0), "rusage of the command and of the children that it waited for"
		return profile.FromKernel(k, profile.Window{}, profile.Window{})
	}, func() error {
		if err := interrupted(ctx); err != nil {
			return err
		}
		return end.Err()
	})
}

// fileName is a name without what does not belong in a file's.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r <= ' ' {
			return '_'
		}
		return r
	}, name)
}

// takeKernel profiles a server of ours by the kernel's clocks, and asks the server
// what it did meanwhile, and next to it. Where it is interrupted, or the server
// ends, what was sampled until then is kept.
func (o *profileOptions) takeKernel(ctx context.Context, admin *profile.Admin, pid int) (*profile.Taken, error) {
	beside := min(o.duration, time.Second)
	before, err := admin.Watch(ctx, beside)
	if err != nil {
		return nil, err
	}
	sampler, err := ebpf.SampleCPU(ebpf.CPUOptions{PID: pid})
	if err != nil {
		return nil, err
	}
	defer sampler.Close()
	first, err := admin.Requests(ctx)
	if err != nil {
		return nil, err
	}
	during, watchErr := admin.Watch(ctx, o.duration)
	p, err := sampler.Stop()
	switch {
	case err != nil:
		return nil, errors.Join(watchErr, err)
	case watchErr != nil && (p.Samples == 0 || ctx.Err() == nil && !p.Ended):
		return nil, watchErr
	case ctx.Err() != nil:
		k := kernelProfile(p)
		k.Interrupted = true
		return profile.FromKernel(k, before, requestsSince(ctx, admin, first, p))
	case watchErr != nil:
		return profile.FromKernel(kernelProfile(p), profile.Window{}, profile.Window{})
	}
	after, err := admin.Watch(ctx, beside)
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	return profile.FromKernel(kernelProfile(p), before.Add(after), during)
}

// requestsSince is what the server did while it was sampled, after an interrupt; it
// is empty where the server does not answer any more.
func requestsSince(ctx context.Context, admin *profile.Admin, first int64, p *ebpf.CPUProfile) profile.Window {
	const patience = time.Second
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	now, err := admin.Requests(late)
	if err != nil || now < first || p.Clock < 0 {
		return profile.Window{}
	}
	return profile.Window{Length: p.Elapsed, CPU: p.Clock, Requests: now - first}
}

// byKernel tells whether a server's CPU profile is to be sampled by the kernel, and
// says why not where that was left open.
func (o *profileOptions) byKernel(stderr io.Writer, pid int) (bool, error) {
	if o.kind.Name != "cpu" || o.via == viaRuntime {
		return false, nil
	}
	err := errors.New("its process is not known by a URL; give --pid")
	if pid > 0 {
		_, err = ebpf.CheckCPU()
	}
	switch {
	case err == nil:
		return true, nil
	case o.via == viaKernel:
		return false, fmt.Errorf("sample by the kernel: %w", err)
	}
	fmt.Fprintf(stderr, "mslab: no sampling by the kernel (%v); the Go runtime samples instead, and misses some\n", err)
	return false, nil
}

// kernelProfile hands what package ebpf sampled to package profile.
func kernelProfile(p *ebpf.CPUProfile) *profile.Kernel {
	return &profile.Kernel{
		Profile: p.Profile, Mapping: ebpf.KernelMapping,
		Elapsed: p.Elapsed, Total: p.Total, Clock: p.Clock, ClockName: "the process' clock",
		Samples: p.Samples, Lost: p.Lost, Late: p.Late,
		Woken: p.Woken, Waking: p.Waking, WokenName: ebpf.WokenFunction,
		Ended: p.Ended, Processes: p.Processes,
		Probes: p.Self.Machine, Period: p.Self.Period, Notes: p.Notes,
	}
}

// write takes a profile, writes it and prints its tables; afterwards says what is
// wrong nonetheless. The file is made before anything is measured, and appears only
// once it is whole.
func (o *profileOptions) write(who profiled, url string, stdout io.Writer, take func() (*profile.Taken, error), afterwards func() error) error {
	name := o.out
	if name == "" {
		name = results.RunDirName(o.kind.Name+"-"+who.name, time.Now()) + ".pb.gz"
	}
	out, err := createOut(name)
	if err != nil {
		return err
	}
	defer out.Abort()
	taken, err := take()
	if err != nil {
		return err
	}
	tables, err := o.tables(taken, o.title(who, url, taken, name))
	if err != nil {
		return err
	}
	if err := taken.Profile.Write(out); err != nil {
		return fmt.Errorf("write %s: %w", name, cause(err))
	}
	if err := out.Commit(); err != nil {
		return err
	}
	if err := results.Render(stdout, o.format, tables); err != nil {
		return err
	}
	return afterwards()
}
