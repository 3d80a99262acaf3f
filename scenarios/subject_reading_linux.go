package scenarios

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"mslab/results/record"
)

// How long a foreign subject may work on after its last answer before it is
// read. It says of nothing when it is done, so its CPU clocks are watched until
// they stand still: less than settledCPU in settledPolls polls. One that never
// rests is read when the limit is over.
const (
	settleLimit  = 100 * time.Millisecond
	settlePoll   = 2 * time.Millisecond
	settledPolls = 3
	settledCPU   = 20 * time.Microsecond
)

// settle waits until a foreign subject rests.
func (c *child) settle(ctx context.Context) error {
	t := c.foreign.tree
	if t == nil || c.foreign.unread != "" {
		return ctx.Err()
	}
	last, still := t.clocks(), 0
	for limit := time.Now().Add(settleLimit); still < settledPolls && time.Now().Before(limit); {
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return ctx.Err()
		}
		if now := t.clocks(); now-last < settledCPU {
			still++
		} else {
			last, still = now, 0
		}
	}
	return nil
}

// clocks is the sum of the CPU clocks of the tree's processes.
func (t *tree) clocks() time.Duration {
	var sum time.Duration
	for _, pid := range t.nearby() {
		if cpu, err := readCPU(pid); err == nil {
			sum += cpu
		}
	}
	return sum
}

// processReading is a process of a tree, read while it rests.
type processReading struct {
	process
	cpu                    time.Duration // its CPU clock: all its threads, ended ones too
	ran                    time.Duration // its living threads' time on a core
	voluntary, involuntary int64         // of its living threads
	rssMax                 int64
	deaf                   bool // it ignores SIGCHLD: nobody waits for its children
}

// treeReading is a tree, read while it rests.
type treeReading struct {
	processes map[int]processReading
	// adopted* is the CPU time of processes that the keeper has waited for, at
	// the kernel's tick.
	adoptedUser, adoptedSystem time.Duration
}

// readTree reads all processes of a tree. The CPU clocks are read in one go,
// first or last.
func readTree(t *tree, clocksFirst bool) (treeReading, error) {
	at := treeReading{processes: map[int]processReading{}}
	list := t.processes()
	if len(list) == 0 {
		return at, fmt.Errorf("none of its processes is left")
	}
	clocks := map[int]time.Duration{}
	readClocks := func() {
		for _, p := range list {
			if cpu, err := readCPU(p.pid); err == nil {
				clocks[p.pid] = cpu
			}
		}
	}
	if clocksFirst {
		readClocks()
	}
	for _, p := range list {
		// Read again: the walk took a while, and waited for others.
		if fresh, err := readProcess(p.pid); err == nil && fresh.started == p.started {
			at.processes[p.pid] = readDetails(fresh)
		}
	}
	if t.keeper != 0 {
		if keeper, err := readProcess(t.keeper); err == nil {
			at.adoptedUser, at.adoptedSystem = keeper.waitedUser, keeper.waitedSystem
		}
	}
	if !clocksFirst {
		readClocks()
	}
	for pid, p := range at.processes {
		p.cpu = clocks[pid]
		at.processes[pid] = p
	}
	return at, nil
}

// readDetails reads what the process table does not have. What is gone
// meanwhile stays 0: the process is about to be missed.
func readDetails(p process) processReading {
	r := processReading{process: p}
	dir := "/proc/" + strconv.Itoa(p.pid)
	status := statusFields(dir + "/status")
	r.rssMax = status["VmHWM"] * 1024
	if ignored, err := hexField(dir+"/status", "SigIgn"); err == nil {
		r.deaf = ignored>>(17-1)&1 == 1 // SIGCHLD is 17 on Linux but for alpha, mips, parisc and sparc
	}
	tasks, err := os.ReadDir(dir + "/task")
	if err != nil {
		return r
	}
	for _, task := range tasks {
		fields := statusFields(dir + "/task/" + task.Name() + "/status")
		r.voluntary += fields["voluntary_ctxt_switches"]
		r.involuntary += fields["nonvoluntary_ctxt_switches"]
		if data, err := os.ReadFile(dir + "/task/" + task.Name() + "/schedstat"); err == nil {
			first, _, _ := strings.Cut(string(data), " ")
			ns, _ := strconv.ParseInt(first, 10, 64)
			r.ran += time.Duration(ns)
		}
	}
	return r
}

// statusFields are the numbers of a status file of /proc.
func statusFields(file string) map[string]int64 {
	fields := map[string]int64{}
	data, err := os.ReadFile(file)
	if err != nil {
		return fields
	}
	for line := range strings.Lines(string(data)) {
		key, rest, _ := strings.Cut(line, ":")
		words := strings.Fields(rest)
		if len(words) == 0 {
			continue
		}
		if v, err := strconv.ParseInt(words[0], 10, 64); err == nil {
			fields[key] = v
		}
	}
	return fields
}

func hexField(file, name string) (uint64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}

// total is the CPU time of the processes that live and of those that they have
// waited for. The latter is known to /proc at its tick, 10 ms, which is the
// error of a slice in which processes of the tree end; it does not add up over
// slices.
func (t treeReading) total() time.Duration {
	sum := t.adopted()
	for _, p := range t.processes {
		sum += p.cpu + p.waitedFor()
	}
	return sum
}

func (t treeReading) adopted() time.Duration { return t.adoptedUser + t.adoptedSystem }

// modes parts total into user and system time. What a process had used is not
// counted once more when another waits for it, since it leaves the sum of the
// living in the same moment.
func (t treeReading) modes() (user, system time.Duration) {
	user, system = t.adoptedUser, t.adoptedSystem
	for _, p := range t.processes {
		user += p.user + p.waitedUser
		system += p.system + p.waitedSystem
	}
	return user, system
}

// ofChildren is the CPU time that the processes which also live in other have
// taken over from children that ended.
func (t treeReading) ofChildren(other treeReading) time.Duration {
	sum := t.adopted()
	for pid, p := range t.processes {
		if other.has(p.process) {
			sum += t.processes[pid].waitedFor()
		}
	}
	return sum
}

func (t treeReading) has(p process) bool {
	other, ok := t.processes[p.pid]
	return ok && other.started == p.started
}

// treeUsage is what a tree used between two readings.
type treeUsage struct {
	cpu, user, system      time.Duration
	voluntary, involuntary int64
	unknown                []string // of the record's words
	why                    []string
}

// tick is the kernel's unit of the times in /proc/PID/stat (USER_HZ).
const tick = 10 * time.Millisecond

// between compares two readings of a tree. seen are the processes that were met
// while it was under load, with what they had used by then.
func between(before, after treeReading, seen map[process]time.Duration) treeUsage {
	u := treeUsage{cpu: after.total() - before.total()}
	userBefore, systemBefore := before.modes()
	userAfter, systemAfter := after.modes()
	u.user, u.system = max(0, userAfter-userBefore), max(0, systemAfter-systemBefore)
	var vanished time.Duration // at least what those that ended had used
	gone, deaf := 0, false
	missed := func(p process, used time.Duration) {
		if !after.has(p) {
			vanished += used
			gone++
		}
	}
	for _, p := range before.processes {
		if _, met := seen[p.identity()]; !met {
			missed(p.process, p.cpu)
		}
	}
	for p, used := range seen {
		missed(p, used)
	}
	threadsEnded := gone > 0
	for _, p := range after.processes {
		was, lived := before.processes[p.pid]
		if !lived || was.started != p.started {
			was = processReading{}
		}
		u.voluntary += p.voluntary - was.voluntary
		u.involuntary += p.involuntary - was.involuntary
		deaf = deaf || p.deaf
		// A thread that has ended takes its count of switches along, but
		// leaves its CPU time to the process' clock.
		ended := (p.cpu - was.cpu) - (p.ran - was.ran)
		if ended > max((p.cpu-was.cpu)/500, 50*time.Microsecond) {
			threadsEnded = true
		}
	}
	took := after.ofChildren(before) - before.ofChildren(after)
	slack := time.Duration(len(after.processes)+1) * 2 * tick
	if gone > 0 && (deaf || vanished > took+slack) || u.cpu < 0 {
		u.unknown = append(u.unknown, record.UnknownCPU)
		u.why = append(u.why, "processes of it ended and none of the others waited for them, so nobody knows what they used")
	}
	if threadsEnded {
		u.unknown = append(u.unknown, record.UnknownSwitch)
		u.why = append(u.why, "threads or processes of it ended under load and took their count of context switches along")
	}
	return u
}

// identity is what tells a process from all others.
func (p process) identity() process { return process{pid: p.pid, started: p.started} }

// treeSample is what a tree was seen to be while it was under load.
type treeSample struct {
	threads, rss int64 // the most at one moment
	processes    int
	seen         map[process]time.Duration
}

// sampleTreeEvery is rarer than the sampling of one process: a walk costs the
// generator's cores more.
const sampleTreeEvery = 50 * time.Millisecond

// sampleTree watches a tree from a thread of the generator until end is called.
func sampleTree(t *tree) (end func() treeSample) {
	stop, done := make(chan struct{}), make(chan treeSample, 1)
	go func() {
		ticker := time.NewTicker(sampleTreeEvery)
		defer ticker.Stop()
		sample := treeSample{seen: map[process]time.Duration{}}
		for {
			sample.take(t)
			select {
			case <-ticker.C:
			case <-stop:
				done <- sample
				return
			}
		}
	}()
	return func() treeSample { close(stop); return <-done }
}

func (s *treeSample) take(t *tree) {
	var threads, rss int64
	n := 0
	for _, pid := range t.nearby() {
		cpu, err := readCPU(pid)
		if err != nil {
			continue
		}
		p, err := readProcess(pid)
		if err != nil {
			continue
		}
		n++
		threads += p.threads
		rss += p.rss
		s.seen[p.identity()] = cpu
	}
	s.threads, s.rss, s.processes = max(s.threads, threads), max(s.rss, rss), max(s.processes, n)
}

// memoryOf is the tree's memory at rest: pages that processes share count once
// in each.
func (t treeReading) memoryOf() (rss, rssMax, threads int64) {
	for _, p := range t.processes {
		rss += p.rss
		threads += p.threads
		rssMax = p.rssMax // of one process alone the kernel knows the most
	}
	if len(t.processes) != 1 {
		rssMax = rss
	}
	return rss, rssMax, threads
}

// foreignServer is the server's part of the record of a foreign subject between
// two readings.
func (r *runner) foreignServer(c *child, before, after reading, sample treeSample, ok int64) *record.Server {
	s := &record.Server{Counters: map[string]int64{},
		ListenDrops:     after.network.drops - before.network.drops,
		ListenOverflows: after.network.overflows - before.network.overflows,
		SynRetransmits:  after.network.synRetransmits - before.network.synRetransmits,
	}
	if c.foreign.unread != "" {
		s.Unknown = []string{record.UnknownCPU, record.UnknownSwitch, record.UnknownMemory, record.UnknownThreads}
		if c.foreign.tree == nil && c.cmd == nil && !r.netstatReaches(c) {
			s.Unknown = append(s.Unknown, record.UnknownListen)
		}
		return s
	}
	u := between(before.tree, after.tree, sample.seen)
	s.CPUNS, s.UserNS, s.SystemNS = int64(u.cpu), int64(u.user), int64(u.system)
	s.CtxSwitches = record.CtxSwitches{Voluntary: u.voluntary, Involuntary: u.involuntary}
	s.Unknown = u.unknown
	if r.proc {
		_, rssMax, threads := after.tree.memoryOf()
		s.RSSIdle, s.RSSMax, s.ThreadsMax = c.idleRSS, max(rssMax, sample.rss), max(threads, sample.threads)
	} else {
		s.CtxSwitches = record.CtxSwitches{}
	}
	for _, why := range u.why {
		r.note(fmt.Sprintf("Not known of %s: %s.", c.name, why))
	}
	if !s.Knows(record.UnknownCPU) {
		s.CPUNS, s.UserNS, s.SystemNS = 0, 0, 0
	}
	if !s.Knows(record.UnknownSwitch) {
		s.CtxSwitches = record.CtxSwitches{}
	}
	if ok > 0 {
		s.CPUPerRequest = float64(s.CPUNS) / float64(ok)
	}
	return s
}

// netstatReaches says whether the counts of this network namespace are about
// the child.
func (r *runner) netstatReaches(c *child) bool {
	return r.netstat && !strings.HasSuffix(c.foreign.unread, "is not on this machine")
}

// readForeignBefore and readForeignAfter are readBefore and readAfter of a
// foreign subject.
func (r *runner) readForeignBefore(c *child) (at reading, err error) {
	if r.netstat {
		if at.network, err = readNetwork(); err != nil {
			return at, err
		}
	}
	at.disturbance = readDisturbance()
	if c.foreign.unread == "" {
		at.tree, err = readTree(c.foreign.tree, false)
	}
	return at, err
}

func (r *runner) readForeignAfter(c *child) (at reading, err error) {
	if c.foreign.unread == "" {
		if at.tree, err = readTree(c.foreign.tree, true); err != nil {
			return at, err
		}
	}
	at.disturbance = readDisturbance()
	if r.netstat {
		at.network, err = readNetwork()
	}
	return at, err
}

// accountForeign is account of a foreign subject.
func (r *runner) accountForeign(ctx context.Context, c *cell, part *record.Record, before reading, sample treeSample, wall time.Duration) error {
	if !c.child.alive() {
		return fmt.Errorf("it has ended")
	}
	if err := c.child.settle(ctx); err != nil {
		return err
	}
	after, err := r.readForeignAfter(c.child)
	if err != nil {
		return err
	}
	part.Server = r.foreignServer(c.child, before, after, sample, part.Counts.OK)
	judgeForeign(part, c.player.subject.Request)
	c.taken.add(after.disturbance.since(before.disturbance))
	c.underLoad += wall
	return nil
}

// judgeForeign strikes a stretch in which nothing was served: what a request
// costs cannot be said of it.
func judgeForeign(r *record.Record, request string) {
	if r.Counts.OK > 0 || r.Counts.Sent == 0 {
		return
	}
	var classes []string
	for _, class := range slices.Sorted(maps.Keys(r.Counts.ByClass)) {
		if n := r.Counts.ByClass[class]; n > 0 {
			classes = append(classes, fmt.Sprintf("%s %d", class, n))
		}
	}
	invalidate(r, fmt.Sprintf("none of %s was answered with a 2xx: %s; is it what %s answers?",
		count(int(r.Counts.Sent), "request"), strings.Join(classes, ", "), request))
}
