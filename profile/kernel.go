package profile

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"mslab/results"
)

// Kernel is a CPU profile that was sampled from outside of the process, by the
// kernel's clocks.
type Kernel struct {
	Profile *profile.Profile
	Mapping string // that the kernel's functions are in
	Elapsed time.Duration
	// Total is the sum of all samples, Clock what the kernel charged the process
	// in that time; negative: not known.
	Total, Clock time.Duration
	ClockName    string // "the process' clock", "rusage of the command"
	// Samples were taken, Lost of them are in no stack, and Late ticks did not come.
	Samples, Lost, Late uint64
	// Woken is the part of Total that was charged while the process' wakers ran,
	// Waking what is not in it since it was charged to those that the process woke.
	Woken, Waking time.Duration
	WokenName     string // of the function that stands for it
	Ended         bool   // the process ended before the time was over
	Interrupted   bool   // the user did not let it run to the end
	Processes     int
	Foreign       bool // it is no server of ours: there are no requests to count
	// Probes is the time in the probes on all cores, 0: not known; Period the time
	// from tick to tick of each core.
	Probes, Period time.Duration
	Notes          []string
}

// FromKernel is a CPU profile that the kernel sampled. plain are stretches next to
// it without the profiler, during is what the server did in its time; both are
// zero where that is not known.
func FromKernel(k *Kernel, plain, during Window) (*Taken, error) {
	kind, err := FindKind("cpu")
	if err != nil {
		return nil, err
	}
	t := &Taken{Kind: kind, Started: time.Now().Add(-k.Elapsed), Profile: k.Profile, Window: during, Kernel: k}
	t.Cost.add(plain, during)
	if t.Window.Length == 0 {
		t.Window.Length = k.Elapsed
	}
	if k.Clock >= 0 {
		t.Window.CPU = k.Clock
	}
	return t, nil
}

// Add puts two stretches together.
func (w Window) Add(other Window) Window { return w.add(other) }

// folded is the profile with the kernel's part of each stack as one function,
// named after what led into the kernel: the system call, a page fault, an
// interrupt. The file has them all.
func (k *Kernel) folded() *profile.Profile {
	p := k.Profile.Copy()
	byName := map[string]*profile.Location{}
	for _, s := range p.Sample {
		n := 0
		for n < len(s.Location) && s.Location[n].Mapping != nil && s.Location[n].Mapping.File == k.Mapping {
			n++
		}
		if n == 0 {
			continue
		}
		name := k.entry(functions(&profile.Sample{Location: s.Location[:n]}))
		at := byName[name]
		if at == nil {
			at = &profile.Location{ID: uint64(len(p.Location) + 1), Mapping: s.Location[0].Mapping,
				Line: []profile.Line{{Function: &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}}}}
			p.Location, p.Function = append(p.Location, at), append(p.Function, at.Line[0].Function)
			byName[name] = at
		}
		s.Location = append([]*profile.Location{at}, s.Location[n:]...)
	}
	return p
}

// entry names what led into the kernel, from its functions, innermost first.
func (k *Kernel) entry(stack []string) string {
	if len(stack) == 1 && strings.HasPrefix(stack[0], "[") {
		return stack[0]
	}
	for i := len(stack) - 1; i >= 0; i-- {
		name := stack[i]
		switch {
		case strings.Contains(name, "page_fault") || strings.HasPrefix(name, "do_mem_abort"):
			return "[kernel] page fault"
		case strings.Contains(name, "irq") && !strings.Contains(name, "syscall") && i == len(stack)-1,
			strings.Contains(name, "sysvec_"), strings.Contains(name, "common_interrupt"):
			return "[kernel] interrupt"
		case scaffold(name), strings.HasPrefix(name, "["):
			continue
		}
		for _, prefix := range []string{"__x64_sys_", "__arm64_sys_", "__ia32_sys_", "__se_sys_", "__do_sys_", "ksys_", "__sys_", "do_sys_"} {
			if call, ok := strings.CutPrefix(name, prefix); ok {
				return "[kernel] " + call
			}
		}
		return "[kernel] " + name
	}
	return "[kernel] entry and exit"
}

// scaffold tells whether a function is on the way into every system call.
func scaffold(name string) bool {
	for _, part := range []string{"entry_SYSCALL", "do_syscall", "syscall_call", "x64_sys_call", "el0t_64", "el0_svc", "invoke_syscall", "asm_", "ret_from_fork", "syscall_exit", "exit_to_user_mode"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// notes are what the figures of a profile by the kernel hang on.
func (k *Kernel) notes(t *Taken) []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	ns := func(d time.Duration) string { return results.FormatNS(float64(d)) }
	text := fmt.Sprintf("Sampled by the kernel (--via kernel: eBPF at the clock of each core, every %s): %d samples stand for %s of CPU",
		ns(k.Period), k.Samples, ns(k.Total))
	if k.Clock > 0 {
		text += fmt.Sprintf("; %s says %s", k.ClockName, ns(k.Clock))
		if t.Window.Requests > 0 {
			text += fmt.Sprintf(" (%s a request)", ns(k.Clock/time.Duration(t.Window.Requests)))
		}
		text += ": " + change(float64(k.Total)/float64(k.Clock))
	}
	notes = append(notes, text+fmt.Sprintf(". %d samples lost.", k.Lost))
	const worthSaying = 0.01
	if float64(k.Woken) > worthSaying*float64(k.Total) {
		add("%s is %.1f %%: the scheduler charges a woken thread while the one that woke it still has the core.", k.WokenName, 100*float64(k.Woken)/float64(k.Total))
	}
	if float64(k.Waking) > worthSaying*float64(k.Total) {
		add("Left out, as in the process' clock: %s that it ran while the scheduler charged those it had woken.", ns(k.Waking))
	}
	if k.Processes > 1 {
		add("%d processes are in it.", k.Processes)
	}
	switch {
	case k.Interrupted:
		add("Interrupted after %s; this is what was sampled until then.", k.Elapsed.Round(10*time.Millisecond))
	case k.Ended:
		add("The process ended after %s; this is what was sampled until then.", k.Elapsed.Round(10*time.Millisecond))
	}
	notes = append(notes, k.Notes...)
	add("The kernel's functions are folded into what led there; mslab pprof shows them all.")
	cost := "Cost of the profiler: "
	if k.Probes > 0 && k.Elapsed > 0 {
		cost += fmt.Sprintf("%s in its probes (%.2f %% of one core)", ns(k.Probes), 100*float64(k.Probes)/float64(k.Elapsed))
	} else {
		cost += "the time in its probes is not known"
	}
	if t.Cost.Pairs > 0 {
		cost += "; " + t.Cost.String()
	}
	return append(notes, cost+".")
}
