package fallback

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// lookEvery is how often the threads are looked at. /proc forgets a thread's
// counts when it ends; what it did since the last look is lost.
const lookEvery = 100 * time.Millisecond

// Watcher watches one process.
type Watcher struct {
	proc procfs.Proc

	mu      sync.Mutex
	started time.Time
	first   totals
	last    totals
	threads map[int]*thread
	sum     counts // of all threads since the first look
	most    int
	ended   int

	stop chan struct{}
	done chan struct{}
}

// thread is a thread that was there at the last look.
type thread struct {
	counts
	alive bool
}

type counts struct {
	voluntary, involuntary, slices uint64
	wait                           time.Duration
}

// add adds what was counted between two looks.
func (c *counts) add(before, now counts) {
	c.voluntary += now.voluntary - before.voluntary
	c.involuntary += now.involuntary - before.involuntary
	c.slices += now.slices - before.slices
	c.wait += now.wait - before.wait
}

// less tells whether these counts cannot be the same thread's later ones: its
// id has been taken by another.
func (c counts) less(than counts) bool {
	return c.voluntary < than.voluntary || c.involuntary < than.involuntary || c.slices < than.slices
}

// totals are the counts of the process and of its network namespace.
type totals struct {
	cpu          time.Duration
	minor, major uint64
	io           *IO
	network      []Counter
}

// Watch begins to watch a process.
func Watch(pid int) (*Watcher, error) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return nil, fmt.Errorf("watch process %d through /proc: %w", pid, err)
	}
	w := &Watcher{proc: proc, started: time.Now(), threads: map[int]*thread{}, stop: make(chan struct{}), done: make(chan struct{})}
	if w.first, err = readTotals(proc, totals{}); err != nil {
		return nil, err
	}
	w.last = w.first
	if err := w.look(true); err != nil {
		return nil, err
	}
	go w.watch()
	return w, nil
}

func (w *Watcher) watch() {
	defer close(w.done)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.mu.Lock()
			_ = w.look(false) // it has ended: what was seen last stands
			w.last, _ = readTotals(w.proc, w.last)
			w.mu.Unlock()
		case <-w.stop:
			return
		}
	}
}

// Read returns what was counted so far. Of a process that has ended it is what
// was seen last.
func (w *Watcher) Read() Figures {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.look(false)
	w.last, _ = readTotals(w.proc, w.last)
	return w.figures()
}

// Stop reads once more and ends the watching. It is called once.
func (w *Watcher) Stop() Figures {
	close(w.stop)
	<-w.done
	return w.Read()
}

// look reads the counts of each thread.
func (w *Watcher) look(first bool) error {
	tasks, err := procfs.AllThreads(w.proc.PID)
	if err != nil {
		return fmt.Errorf("list the threads of process %d: %w", w.proc.PID, err)
	}
	for _, t := range w.threads {
		t.alive = false
	}
	for _, task := range tasks {
		now, err := readCounts(task)
		if err != nil {
			continue // it has just ended
		}
		t := w.threads[task.PID]
		switch {
		case t == nil && first:
			t = &thread{counts: now}
		case t == nil: // born meanwhile: its counts began at 0
			t = &thread{}
		case now.less(t.counts):
			t.counts = counts{}
			w.ended++
		}
		w.sum.add(t.counts, now)
		t.counts, t.alive = now, true
		w.threads[task.PID] = t
	}
	for id, t := range w.threads {
		if !t.alive {
			delete(w.threads, id)
			w.ended++
		}
	}
	w.most = max(w.most, len(w.threads))
	return nil
}

func readCounts(task procfs.Proc) (counts, error) {
	status, err := task.NewStatus()
	if err != nil {
		return counts{}, err
	}
	c := counts{voluntary: status.VoluntaryCtxtSwitches, involuntary: status.NonVoluntaryCtxtSwitches}
	// A kernel without CONFIG_SCHED_INFO has no schedstat.
	sched, err := task.Schedstat()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return counts{}, err
	}
	c.wait, c.slices = time.Duration(sched.WaitingNanoseconds), sched.RunTimeslices
	return c, nil
}

// readTotals reads what is counted for the process; where it has ended, last is
// what is known.
func readTotals(proc procfs.Proc, last totals) (totals, error) {
	fail := func(err error) (totals, error) {
		return last, fmt.Errorf("read /proc of process %d: %w", proc.PID, err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return fail(err)
	}
	now := totals{minor: uint64(stat.MinFlt), major: uint64(stat.MajFlt)}
	if now.cpu, err = processCPU(proc.PID); err != nil {
		return fail(err)
	}
	if io, err := proc.IO(); err == nil {
		now.io = &IO{ReadCalls: io.SyscR, WriteCalls: io.SyscW, ReadBytes: io.RChar, WriteBytes: io.WChar}
	} else {
		now.io = last.io
	}
	if now.network, err = readNetwork(proc); err != nil {
		now.network = last.network
	}
	return now, nil
}

// processCPU reads a process' CPU clock: user and system time of all its
// threads, in ns. The clock's id is made of the pid as in the kernel's
// include/linux/posix-timers.h: (^pid << 3) | CPUCLOCK_SCHED.
func processCPU(pid int) (time.Duration, error) {
	const processScheduling = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|processScheduling), &t); err != nil {
		return 0, fmt.Errorf("read the CPU clock: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// readNetwork picks the counters that tell of trouble, and segments beside
// them for scale.
func readNetwork(proc procfs.Proc) ([]Counter, error) {
	stat, err := proc.Netstat()
	if err != nil {
		return nil, err
	}
	snmp, err := proc.Snmp()
	if err != nil {
		return nil, err
	}
	var found []Counter
	for _, c := range []struct {
		name  string
		value *float64
	}{
		{"ListenOverflows", stat.TcpExt.ListenOverflows},
		{"ListenDrops", stat.TcpExt.ListenDrops},
		{"TCPSynRetrans", stat.TcpExt.TCPSynRetrans},
		{"TCPTimeouts", stat.TcpExt.TCPTimeouts},
		{"RetransSegs", snmp.Tcp.RetransSegs},
		{"InSegs", snmp.Tcp.InSegs},
		{"OutSegs", snmp.Tcp.OutSegs},
		{"OutRsts", snmp.Tcp.OutRsts},
		{"PassiveOpens", snmp.Tcp.PassiveOpens},
	} {
		if c.value != nil {
			found = append(found, Counter{c.name, int64(*c.value)})
		}
	}
	return found, nil
}

// figures are the differences between the first look and the last.
func (w *Watcher) figures() Figures {
	f := Figures{
		Elapsed: time.Since(w.started), CPU: w.last.cpu - w.first.cpu,
		MinorFaults: w.last.minor - w.first.minor, MajorFaults: w.last.major - w.first.major,
		Voluntary: w.sum.voluntary, Involuntary: w.sum.involuntary, Timeslices: w.sum.slices, RunQueueWait: w.sum.wait,
		Threads: len(w.threads), ThreadsMost: w.most, ThreadsEnded: w.ended,
	}
	if w.first.io != nil && w.last.io != nil {
		a, b := w.first.io, w.last.io
		f.IO = &IO{b.ReadCalls - a.ReadCalls, b.WriteCalls - a.WriteCalls, b.ReadBytes - a.ReadBytes, b.WriteBytes - a.WriteBytes}
	}
	if len(w.first.network) == len(w.last.network) {
		for i, c := range w.last.network {
			f.Network = append(f.Network, Counter{c.Name, c.Value - w.first.network[i].Value})
		}
	}
	return f
}
