//go:build amd64 || arm64

package ebpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// probes is a loaded collection and where it is attached. Nothing is pinned: with
// the last descriptor, at the latest at this process' end, the kernel takes it off.
type probes struct {
	rung  Rung
	plain bool // without the kernel's BTF
	coll  *ebpf.Collection
	enter link.Link // apart, since it is the first to be taken off
	links []link.Link
	stats []*ebpf.Program // those whose time is the tracer's cost
}

// attachment is a program and the tracepoint it belongs on.
type attachment struct {
	program, group, point string
}

// attachments lists the programs of a way to attach: the end of a call first, so
// that no call begins whose end would be missed, its begin last.
func attachments(rung Rung, plain, follow bool) []attachment {
	suffix := string(rung)
	variant := suffix
	if plain {
		variant += "_plain"
	}
	list := []attachment{
		{"exit_" + suffix, "raw_syscalls", "sys_exit"},
		{"ended_" + variant, "sched", "sched_process_exit"},
	}
	if rung != TPBTF {
		list = append(list, attachment{"exec_" + suffix, "sched", "sched_process_exec"})
	}
	if follow {
		program := "forked_" + suffix
		if rung == Tracepoint {
			program = "forked_" + string(RawTP) // the event's own fields moved between kernels
		}
		list = append(list, attachment{program, "sched", "sched_process_fork"})
	}
	return append(list, attachment{"enter_" + variant, "raw_syscalls", "sys_enter"})
}

// attach puts a loaded program where its kind belongs.
func attach(program *ebpf.Program, at attachment) (link.Link, error) {
	switch program.Type() {
	case ebpf.Tracing:
		return link.AttachTracing(link.TracingOptions{Program: program})
	case ebpf.RawTracepoint:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: at.point, Program: program})
	}
	return link.Tracepoint(at.group, at.point, program, nil)
}

// prepareFunc sets the constants and sizes of probes before they are loaded.
type prepareFunc func(*ebpf.CollectionSpec) error

// openProbes loads and attaches by one rung.
func openProbes(o SyscallOptions, rung Rung, plain bool, prepare prepareFunc) (*probes, error) {
	spec, err := loadSyscalls()
	if err != nil {
		return nil, fmt.Errorf("read the compiled probes: %w", err)
	}
	if err := prepare(spec); err != nil {
		return nil, err
	}
	list := attachments(rung, plain, o.Follow)
	keep := map[string]bool{syscallsProgNoteListeners: o.ByFD}
	for _, a := range list {
		keep[a.program] = true
	}
	if rung == TPBTF {
		keep[syscallsProgListCalls] = true
		delete(spec.Maps, syscallsMapThreadCalls)
	} else {
		delete(spec.Maps, syscallsMapTaskCalls)
	}
	for name := range spec.Programs {
		if !keep[name] {
			delete(spec.Programs, name)
		}
	}
	return loadAndAttach(spec, rung, plain, list)
}

func loadAndAttach(spec *ebpf.CollectionSpec, rung Rung, plain bool, list []attachment) (*probes, error) {
	// Kernels before 5.11 charge maps to RLIMIT_MEMLOCK; where that cannot be
	// raised, loading says so.
	_ = rlimit.RemoveMemlock()
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	p := &probes{rung: rung, plain: plain, coll: coll}
	for _, a := range list {
		program := coll.Programs[a.program]
		l, err := attach(program, a)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach to %s: %w", a.point, err), p.close())
		}
		p.links = append(p.links, l)
		p.stats = append(p.stats, program)
	}
	p.enter, p.links = p.links[len(p.links)-1], p.links[:len(p.links)-1]
	return p, nil
}

// detach takes the probes off: the begin of a call first, so that a call that
// began and returns is still seen.
func (p *probes) detach() error {
	var errs []error
	if p.enter != nil {
		errs = append(errs, p.enter.Close())
		p.enter = nil
	}
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	p.links = nil
	return errors.Join(errs...)
}

func (p *probes) close() error {
	err := p.detach()
	p.coll.Close()
	return err
}

// climb tries the rungs, best first, or the one that is forced, and gives the
// first that loads and attaches.
func climb(o SyscallOptions, prepare prepareFunc) (*probes, error) {
	rungs := Rungs()
	if o.Rung != "" {
		rungs = []Rung{o.Rung}
	}
	needsBTF := ""
	switch {
	case o.Follow:
		needsBTF = "following children"
	case o.ByFD:
		needsBTF = "splitting by descriptor"
	}
	var tried []Attempt
	for _, rung := range rungs {
		p, err := openProbes(o, rung, false, prepare)
		if err != nil && rung != TPBTF && needsBTF == "" && noBTF() {
			p, err = openProbes(o, rung, true, prepare)
		}
		if err == nil {
			return p, nil
		}
		tried = append(tried, Attempt{rung, cleanError(err)})
	}
	return nil, diagnose(tried, needsBTF)
}

// noBTF tells whether the kernel comes without its types.
func noBTF() bool {
	_, err := btf.LoadKernelSpec()
	return err != nil
}
