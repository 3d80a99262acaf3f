//go:build amd64 || arm64

package ebpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

func TestCountsAreExact(t *testing.T) {
	for _, rung := range []Rung{TPBTF, RawTP} { // the third one needs tracefs: TestNamespaces mounts it

		t.Run(string(rung), func(t *testing.T) {
			c := startHelper(t, "calls", "4", "1000000", "1000")
			tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), Rung: rung})
			c.goOn()
			c.line()
			result := stop(t, tracer)
			writes, opens := find(result, "pwrite64"), find(result, "openat")
			if writes.Calls != 1_000_000 || writes.Errors != 0 {
				t.Errorf("%d writes with %d errors, want 1000000 and none", writes.Calls, writes.Errors)
			}
			if opens.Calls != 1000 || opens.Errors != 1000 || opens.Errnos["ENOENT"] != 1000 {
				t.Errorf("%d opens, %d errors, %v", opens.Calls, opens.Errors, opens.Errnos)
			}
			t.Logf("write: mean %v p50 %v p99 %v max %v; self %+v", writes.Mean(), writes.P50(), writes.P99(), writes.Max, result.Self)
		})
	}
}

// rowsOf gives a call's rows by target.
func rowsOf(result Syscalls, name string) map[string]SyscallStat {
	rows := map[string]SyscallStat{}
	for _, s := range result.Calls {
		if s.Name == name {
			rows[s.Target] = s
		}
	}
	return rows
}

func TestFilesAreToldApartByWhatTheDescriptorIs(t *testing.T) {
	for _, rung := range []Rung{TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			dir := t.TempDir()
			c := startHelper(t, "files", dir)
			tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), ByFD: true, Rung: rung})
			c.goOn()
			c.line()
			result := stop(t, tracer)
			rows := rowsOf(result, "write")
			for target, want := range map[string]uint64{
				"file " + filepath.Join(dir, "first"):          100,
				"file " + filepath.Join(dir, "second"):         200,
				"file " + filepath.Join(dir, "gone (deleted)"): 300,
				"not open": 7,
				"eventfd":  11,
			} {
				row := rows[target]
				if row.Calls != want {
					t.Errorf("%d writes to %s, want %d; there are %v", row.Calls, target, want, keys(rows))
				}
				if wantFD := int32(100); strings.HasPrefix(target, "file") && row.FD != wantFD {
					t.Errorf("%s: descriptor %d, want %d", target, row.FD, wantFD)
				}
			}
			if rows["not open"].Errnos["EBADF"] != 7 {
				t.Errorf("errors of writes to nothing: %v", rows["not open"].Errnos)
			}
			pipes := uint64(0)
			for target, row := range rows {
				if strings.HasPrefix(target, "pipe [") && row.Calls == 13 {
					pipes++
				}
			}
			if pipes != 1 {
				t.Errorf("no pipe with 13 writes among %v", keys(rows))
			}
		})
	}
}

func keys(rows map[string]SyscallStat) []string {
	var list []string
	for k, v := range rows {
		list = append(list, fmt.Sprintf("%s: %d", k, v.Calls))
	}
	return list
}

func TestConnectionsOfAListenerAreOneRow(t *testing.T) {
	const connections = 300
	path := filepath.Join(t.TempDir(), "socket")
	c := startHelper(t, "network", strconv.Itoa(connections), path)
	address := c.ready[1]
	tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), ByFD: true})
	c.goOn()
	c.line()
	// In the kernel, too: its table is bounded.
	var key syscallsKey
	var cores []syscallsStat
	connects := 0
	each := tracer.probes.coll.Maps[syscallsMapRows].Iterate()
	for each.Next(&key, &cores) {
		if callName(key.Number) == "connect" {
			connects++
		}
	}
	if err := each.Err(); err != nil || connects < 1 || connects > 2 {
		t.Errorf("%d rows for connects by tcp and unix sockets that are not bound (%v)", connects, err)
	}
	result := stop(t, tracer)
	writes, reads, accepts := rowsOf(result, "write"), rowsOf(result, "read"), rowsOf(result, "accept4")
	for _, r := range []struct {
		rows   map[string]SyscallStat
		target string
	}{
		{writes, "tcp " + address + " (accepted)"},
		{writes, "tcp to " + address},
		{writes, "unix " + path},
		{writes, "unix to " + path},
		{reads, "tcp " + address + " (accepted)"},
		{accepts, "tcp " + address + " (listening)"},
		{accepts, "unix " + path + " (listening)"},
	} {
		row := r.rows[r.target]
		if row.Calls-row.Errors != connections {
			t.Errorf("%d calls with %v on %s, want %d that succeed; there are %v", row.Calls, row.Errnos, r.target, connections, keys(r.rows))
		}
	}
	if rows := len(rowsOf(result, "epoll_ctl")); rows != 1 {
		t.Errorf("epoll_ctl has %d rows, want one for the epoll instance", rows)
	}
}

func TestChildrenAreFollowed(t *testing.T) {
	for _, rung := range []Rung{TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			c := startHelper(t, "children", "5")
			tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), Follow: true, Rung: rung})
			c.goOn()
			c.line()
			result := stop(t, tracer)
			if n := find(result, "pwrite64").Calls; n != 5000 {
				t.Errorf("%d writes of the children, want 5000", n)
			}
			// The runtime starts one more when it first looks whether pidfds work.
			if result.Processes < 6 || result.Processes > 8 {
				t.Errorf("%d processes, want the 5 children and their parent", result.Processes)
			}
			if result.Ended["exit_group"] < 5 {
				t.Errorf("ended inside a call: %v, want 5 in exit_group", result.Ended)
			}
			if n := find(result, "execve").Calls; n != 5 {
				t.Errorf("%d execve, want 5", n)
			}
		})
	}
	c := startHelper(t, "children", "2")
	tracer := traceOrSkip(t, SyscallOptions{PID: c.pid()})
	c.goOn()
	c.line()
	result := stop(t, tracer)
	if n := find(result, "pwrite64").Calls; n != 0 || result.Processes != 1 {
		t.Errorf("%d writes of children that are not followed, %d processes", n, result.Processes)
	}
}

func TestExecFromAnotherThreadIsOneCall(t *testing.T) {
	for _, rung := range []Rung{TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			c := startHelper(t, "execs")
			tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), Rung: rung})
			c.goOn()
			c.line() // the new program is ready
			c.goOn()
			c.line()
			result := stop(t, tracer)
			if n := find(result, "execve"); n.Calls != 1 || n.Errors != 0 {
				t.Errorf("execve: %d calls, %d errors, want one", n.Calls, n.Errors)
			}
			if n := find(result, "pwrite64").Calls; n != 10 {
				t.Errorf("%d writes of the new program, want 10", n)
			}
			for _, u := range result.Unfinished {
				if u.Name == "execve" {
					t.Errorf("still in progress: %+v", u)
				}
			}
		})
	}
}

func TestCallsThatEndWithTheirThread(t *testing.T) {
	for _, rung := range []Rung{TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			c := startHelper(t, "ends")
			tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), Rung: rung})
			c.goOn()
			if err := c.cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			result := stop(t, tracer)
			if result.Ended["exit_group"] != 1 {
				t.Errorf("ended inside a call: %v, want one exit_group", result.Ended)
			}
			if len(result.Unfinished) != 0 {
				t.Errorf("in progress after the end: %+v", result.Unfinished)
			}
		})
	}
}

func TestCallsInProgressAreInNoTotal(t *testing.T) {
	for _, rung := range []Rung{TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			c := startHelper(t, "blocked")
			tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), ByFD: true, Rung: rung})
			c.goOn()
			thread, err := strconv.Atoi(c.line()[1])
			if err != nil {
				t.Fatal(err)
			}
			result := stop(t, tracer)
			if n := find(result, "readv").Calls; n != 0 {
				t.Errorf("%d readv are counted: one began before, one has not returned", n)
			}
			var found []UnfinishedCall
			for _, u := range result.Unfinished {
				if u.Name == "readv" {
					found = append(found, u)
				}
			}
			if len(found) != 1 || found[0].Thread != int32(thread) || found[0].Process != int32(c.pid()) ||
				found[0].For < 40*time.Millisecond || found[0].For > result.Elapsed || !strings.HasPrefix(found[0].Target, "pipe [") {
				t.Errorf("in progress: %+v, want one readv of thread %d for 50 ms", found, thread)
			}
		})
	}
}

func TestThreadsAreToldApart(t *testing.T) {
	c := startHelper(t, "calls", "3", "3000", "30")
	tracer := traceOrSkip(t, SyscallOptions{PID: c.pid(), ByThread: true, Only: []string{"pwrite64", "openat"}})
	c.goOn()
	c.line()
	result := stop(t, tracer)
	threads := map[int32]uint64{}
	for _, s := range result.Calls {
		switch s.Name {
		case "pwrite64":
			threads[s.Thread] += s.Calls
		case "openat":
		default:
			t.Errorf("%s is counted, which is not asked for", s.Name)
		}
	}
	if len(threads) != 3 {
		t.Errorf("writes by thread: %v, want 3 threads", threads)
	}
	for thread, n := range threads {
		if n != 1000 || thread == 0 {
			t.Errorf("thread %d made %d writes, want 1000", thread, n)
		}
	}
}

func TestReadWhileItRuns(t *testing.T) {
	c := startHelper(t, "calls", "2", "200000", "0")
	tracer := traceOrSkip(t, SyscallOptions{PID: c.pid()})
	c.goOn()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.line()
	}()
	var last uint64
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		now, err := tracer.Read()
		if err != nil {
			t.Fatal(err)
		}
		n := find(now, "pwrite64").Calls
		if n < last {
			t.Fatalf("%d writes after %d", n, last)
		}
		for _, u := range now.Unfinished {
			if u.For <= 0 || u.For > now.Elapsed {
				t.Fatalf("in progress %v after %v: %+v", u.For, now.Elapsed, u)
			}
		}
		last = n
	}
	result := stop(t, tracer)
	if n := find(result, "pwrite64").Calls; n != 200000 {
		t.Errorf("%d writes, want 200000", n)
	}
	again, err := tracer.Read()
	if err != nil || find(again, "pwrite64").Calls != 200000 {
		t.Errorf("read after the stop: %v", err)
	}
	if err := errors.Join(tracer.Close(), tracer.Close()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestBadTargets(t *testing.T) {
	c := startHelper(t, "calls", "1", "0", "0")
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	for _, bad := range []struct {
		options SyscallOptions
		want    string
	}{
		{SyscallOptions{PID: c.pid()}, "no such process"},
		{SyscallOptions{PID: 0}, "want the id of a process"},
		{SyscallOptions{PID: os.Getpid(), Only: []string{"write", "pwirte64"}}, `"pwirte64": there is no such system call on this machine; did you mean pwrite64?`},
		{SyscallOptions{PID: os.Getpid(), Rung: "kprobe"}, "there are tp_btf, raw_tp and tracepoint"},
	} {
		_, err := TraceSyscalls(bad.options)
		if err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%+v: %v, want %q", bad.options, err, bad.want)
		}
	}
}

func TestCountsWithoutTheKernelsTypes(t *testing.T) {
	needBPF(t)
	c := startHelper(t, "calls", "4", "40000", "400")
	options := SyscallOptions{PID: c.pid(), ByThread: true}
	tracer, err := openTracerBy(options, func(o SyscallOptions, prepare prepareFunc) (*probes, error) {
		return openProbes(o, RawTP, true, prepare)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	for _, program := range tracer.probes.coll.Programs {
		info, err := program.Info()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(info.Name, "enter") && !strings.HasPrefix(info.Name, "enter_raw_tp_pl") {
			t.Errorf("%s is loaded, which needs BTF", info.Name)
		}
	}
	if err := tracer.start(); err != nil {
		t.Fatal(err)
	}
	c.goOn()
	c.line()
	result := stop(t, tracer)
	if writes, opens := find(result, "pwrite64"), find(result, "openat"); writes.Calls != 40000 || opens.Errnos["ENOENT"] != 400 {
		t.Errorf("%d writes and %v, want 40000 and 400 ENOENT", writes.Calls, opens.Errnos)
	}
}

func TestWhatFitsNowhereIsCountedByCall(t *testing.T) {
	// More threads than the table of rows has room for: what does not fit is
	// counted by call alone.
	c := startHelper(t, "calls", "5", "5000", "0")
	options := SyscallOptions{PID: c.pid(), ByThread: true, Only: []string{"pwrite64"}}
	tracer, err := openTracerBy(options, func(o SyscallOptions, prepare prepareFunc) (*probes, error) {
		return climb(o, func(spec *ebpf.CollectionSpec) error {
			err := prepare(spec)
			spec.Maps[syscallsMapRows].MaxEntries = 2
			return err
		})
	})
	var missing *Missing
	if errors.As(err, &missing) {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	if err := tracer.start(); err != nil {
		t.Fatal(err)
	}
	c.goOn()
	c.line()
	result := stop(t, tracer)
	if n := find(result, "pwrite64").Calls; n != 5000 {
		t.Errorf("%d writes, want 5000", n)
	}
	apart := 0
	for _, s := range result.Calls {
		if s.Thread == 0 && strings.HasPrefix(s.Target, "others") {
			apart++
		}
	}
	if len(result.Calls) < 2 || apart != 1 {
		t.Errorf("rows: %+v, want some by thread and one for the others", len(result.Calls))
	}
}

// TestRowsThatReadAlikeAreOne wants what is split further in the kernel than in
// words to be one row, which an earlier reading can be taken from.
func TestRowsThatReadAlikeAreOne(t *testing.T) {
	row := func(target string, thread int32, took time.Duration, errno string) SyscallStat {
		s := SyscallStat{Name: "write", Target: target, Thread: thread, FD: 7, Calls: 1, Total: took, Max: took, Hist: &Histogram{}}
		s.Hist.counts[bucketOf(uint64(took))]++
		if errno != "" {
			s.Errors, s.Errnos = 1, map[string]uint64{errno: 1}
		}
		return s
	}
	got := merged([]SyscallStat{row("file /a", 1, 100, ""), row("file /b", 1, 5, "EIO"), row("file /a", 1, 300, "EINTR"), row("file /a", 2, 7, "")})
	if len(got) != 3 {
		t.Fatalf("rows %+v, want 3", got)
	}
	if a := got[0]; a.Calls != 2 || a.Total != 400 || a.Max != 300 || a.Errors != 1 || a.Errnos["EINTR"] != 1 || a.Hist.Count() != 2 {
		t.Errorf("%+v", a)
	}
}
