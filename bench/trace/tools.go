package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"mslab/ebpf"
)

// tool is one way to watch the system calls of a process.
type tool struct {
	name  string
	about string
	// command watches process pid until SIGINT; nil for no tool at all.
	command func(pid int) []string
	// ready is what it says, on either stream, once it watches; "" where it
	// says nothing and settle is all there is.
	ready  string
	settle time.Duration
	// tracepoints says that it needs tracefs, which is mounted for it alone
	// where the machine has none mounted.
	tracepoints bool
	// saw is in its output where it has seen the calls.
	saw string
}

// Names that the report refers to.
const (
	untraced  = "untraced"
	ours      = "mslab trace"
	needsRoot = "needs root"
)

// bpftraceScript counts calls and draws their durations, as the tool's own
// documentation does it.
const bpftraceScript = `BEGIN { printf("ready\n"); }
tracepoint:raw_syscalls:sys_enter /pid == %d/ { @start[tid] = nsecs; }
tracepoint:raw_syscalls:sys_exit /@start[tid]/ {
	@calls[args->id] = count(); @ns[args->id] = hist(nsecs - @start[tid]); delete(@start[tid]);
}`

// installed lists the tools that work here, and says of the others why they do
// not.
func installed(mslab string) (tools []tool, absent []string) {
	all := []tool{
		{name: ours, about: "mslab trace syscalls", ready: "tracing system calls", saw: `"name": "write"`,
			command: func(pid int) []string {
				return []string{mslab, "trace", "syscalls", "--pid", strconv.Itoa(pid), "--duration", "1h", "--json"}
			}},
		{name: "bpftrace", about: "a count and a histogram for each call", ready: "ready", settle: 300 * time.Millisecond, tracepoints: true, saw: "@calls[1]",
			command: func(pid int) []string {
				return []string{"bpftrace", "-B", "none", "-e", fmt.Sprintf(bpftraceScript, pid)}
			}},
		{name: "perf trace -s", about: "its summary", settle: 700 * time.Millisecond, tracepoints: true, saw: "write",
			command: func(pid int) []string { return []string{"perf", "trace", "-s", "-p", strconv.Itoa(pid)} }},
		{name: "strace -c -f", about: "its summary", ready: "attached", settle: 200 * time.Millisecond, saw: "write",
			command: func(pid int) []string { return []string{"strace", "-c", "-f", "-p", strconv.Itoa(pid)} }},
	}
	for _, t := range all {
		if why := t.missing(); why != "" {
			absent = append(absent, t.name+" is left out: "+why)
			continue
		}
		tools = append(tools, t)
	}
	return tools, absent
}

// missing says why a tool does not work here, "" where it should.
func (t tool) missing() string {
	switch {
	case t.command == nil:
		return ""
	case t.name == ours:
		if _, err := ebpf.CheckSyscalls(""); err != nil {
			return err.Error()
		}
		return ""
	}
	if _, err := exec.LookPath(t.command(0)[0]); err != nil {
		return "it is not installed"
	}
	if t.tracepoints && os.Geteuid() != 0 {
		return needsRoot
	}
	return ""
}

// tracefsMounted says whether tracepoints can be reached.
func tracefsMounted() bool {
	_, err := os.Stat("/sys/kernel/tracing/events")
	return err == nil
}

// withTracefs mounts tracefs before the command, for it alone: it is started in
// a mount namespace of its own.
func withTracefs(command []string) []string {
	return append([]string{"sh", "-c", `mount -t tracefs tracefs /sys/kernel/tracing && exec "$@"`, "sh"}, command...)
}

// said tells whether a text that a tool has printed shows what it should.
func (t tool) said(text string) bool { return strings.Contains(text, t.saw) }
