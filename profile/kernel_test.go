package profile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

func TestKernelEntry(t *testing.T) {
	k := &Kernel{}
	for want, stack := range map[string][]string{
		"[kernel] write":           {"tcp_sendmsg", "vfs_write", "ksys_write", "do_syscall_64", "entry_SYSCALL_64_after_hwframe"},
		"[kernel] futex":           {"schedule", "__x64_sys_futex", "do_syscall_64", "entry_SYSCALL_64_after_hwframe"},
		"[kernel] read":            {"__arm64_sys_read", "invoke_syscall", "el0_svc", "el0t_64_sync"},
		"[kernel] page fault":      {"clear_page", "do_user_addr_fault", "exc_page_fault", "asm_exc_page_fault"},
		"[kernel] interrupt":       {"handle_softirqs", "sysvec_apic_timer_interrupt", "asm_sysvec_apic_timer_interrupt"},
		"[kernel] entry and exit":  {"entry_SYSCALL_64_after_hwframe"},
		"[charged while it waits]": {"[charged while it waits]"},
	} {
		if got := k.entry(stack); got != want {
			t.Errorf("%v is %q, want %q", stack, got, want)
		}
	}
}

// TestFromKernel wants the kernel's part folded in the table, whole in the file,
// and with the stage that led there.
func TestFromKernel(t *testing.T) {
	p := made(map[int64][]string{
		300: {"vfs_write", "ksys_write", "do_syscall_64", "syscall.write", "mslab/server.execPool"},
		100: {"mslab/server.parseLinear", "mslab/server.execPool"},
	})
	mapping := &profile.Mapping{ID: 1, File: "[kernel.kallsyms]"}
	p.Mapping = []*profile.Mapping{mapping}
	for _, l := range p.Location {
		switch l.Line[0].Function.Name {
		case "vfs_write", "ksys_write", "do_syscall_64":
			l.Mapping = mapping
		}
	}
	k := &Kernel{Profile: p, Mapping: mapping.File, Elapsed: time.Second, Total: 400, Clock: 400, ClockName: "the clock", Samples: 4}
	taken, err := FromKernel(k, Window{}, Window{Requests: 10, CPU: 390, Length: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	table, err := taken.Table("title", 10, true)
	if err != nil {
		t.Fatal(err)
	}
	if first := table.Rows[0]; first[len(first)-1].Text != "[kernel] write" || first[0].Value != 300 {
		t.Errorf("first row %v, want 300 in [kernel] write", first)
	}
	if notes := strings.Join(table.Notes, "\n"); !strings.Contains(notes, "the clock says 400ns (40.0ns a request): +0.0 %") {
		t.Errorf("notes:\n%s", notes)
	}
	stages, ok := taken.StageTable(Stages{Package: "mslab/server", Names: map[string]string{"execPool": "exec pool", "parseLinear": "parse linear"}})
	if !ok || stages.Rows[0][0].Text != "exec pool" || stages.Rows[0][1].Value != 300 {
		t.Errorf("%v, %v", ok, stages.Rows)
	}
	if rows, _, err := Top(taken.Profile, "cpu"); err != nil || rows[0].Function != "vfs_write" {
		t.Errorf("the file's first function: %v, %v", rows, err)
	}
}
