package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// sampleEvery is how often a squeeze is looked at. A look reads six small files.
const sampleEvery = 50 * time.Millisecond

// squeeze is a limit around a process that runs, while it lasts.
type squeeze struct {
	group memoryGroup
	pid   int
	start uint64 // of the process, in clock ticks since boot
	pause bool

	file         string // that holds the limit
	limit        int64  // bytes, as the kernel rounded it
	chargesMoved bool   // what the process held before counts against the limit
	before       processMemory
	stalled      time.Duration // of the whole system for memory, at the injection
	injected     time.Time

	watch    *oomWatch
	over     chan struct{} // closed when the process has ended
	halt     context.CancelFunc
	sampling sync.WaitGroup

	mu      sync.Mutex
	samples squeezeSamples
	failed  error // of reading the group
}

// squeezeSamples is what was seen of a squeeze so far.
type squeezeSamples struct {
	first, last memoryReading
	final       processMemory
	lastAt      time.Duration // since the injection
	peak        int64         // bytes
	bySecond    []int64       // the highest usage of each second, in bytes
	firstHit    time.Duration // when the limit was first seen to have been reached; 0 is never
	firstOOM    time.Duration // when memory first ran out; 0 is never
	starved     time.Duration // for how long tasks waited for memory that never came
	ended       time.Duration // when the process was seen to have ended; 0 is never
}

// processMemory is what a process itself shows.
type processMemory struct {
	rss       int64 // bytes
	majFaults uint
}

func readProcessMemory(pid int) (processMemory, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return processMemory{}, err
	}
	stat, err := process.Stat()
	if err != nil {
		return processMemory{}, err
	}
	return processMemory{int64(stat.ResidentMemory()), stat.MajFlt}, nil
}

// injectSqueeze puts the process into the group and limits it. The limit comes
// last: until then nothing is short.
func injectSqueeze(w *work, m memorySpec, state memoryState) error {
	q := &squeeze{group: state.group, pid: w.Target.PID, start: w.Target.StartTicks, pause: m.pause, over: make(chan struct{})}
	w.live, w.over = q, q.over
	if err := q.group.make(); err != nil {
		return err
	}
	if err := q.take(); err != nil {
		return err
	}
	var err error
	if q.watch, err = q.group.watchOOM(); err != nil {
		return err
	}
	usage, err := q.group.bytes(q.group.files.usage)
	if err != nil {
		return err
	}
	limit := m.limit
	if limit == 0 {
		limit = max(usage+m.headroom, leastLimit)
	}
	q.file = limitFile(q.group.files, m.pause)
	err = w.effect(func() error {
		q.limit, err = q.group.setLimit(q.file, limit)
		return err
	})
	if err != nil {
		return err
	}
	q.injected = w.span.end
	return q.observeFrom()
}

// limitFile is where the limit goes. In version 2 a process that must not be
// killed gets the limit that throttles; version 1 has a switch for that.
func limitFile(files memoryFiles, pause bool) string {
	if pause && files.soft != "" {
		return files.soft
	}
	return files.limit
}

// take moves the process into the group.
func (q *squeeze) take() error {
	// Kernels before 6.13 can move the charges of version 1 along with the
	// process; later ones refuse (EINVAL), and version 2 never could.
	if q.group.files.version == 1 {
		err := q.group.write("memory.move_charge_at_immigrate", "3")
		q.chargesMoved = err == nil
	}
	var err error
	if q.before, err = readProcessMemory(q.pid); err == nil && !sameProcess(q.pid, q.start) {
		err = unix.ESRCH
	}
	if err != nil {
		return fmt.Errorf("squeeze process %d: it has ended: %w", q.pid, cause(err))
	}
	if err := q.group.add(q.pid); err != nil {
		return err
	}
	if !sameProcess(q.pid, q.start) {
		return fmt.Errorf("squeeze process %d: it ended meanwhile", q.pid)
	}
	if q.pause && q.group.files.version == 1 {
		return q.group.write("memory.oom_control", "1")
	}
	return nil
}

// observeFrom begins to sample.
func (q *squeeze) observeFrom() error {
	first, err := q.group.read()
	if err != nil {
		return err
	}
	q.stalled, _ = systemStalled() // looked at again in stallFacts
	q.samples = squeezeSamples{first: first, last: first, final: q.before, peak: first.Peak}
	ctx, halt := context.WithCancel(context.Background())
	q.halt = halt
	q.sampling.Go(func() {
		ticks := time.NewTicker(sampleEvery)
		defer ticks.Stop()
		for q.sample() {
			select {
			case <-ctx.Done():
				return
			case at := <-q.watch.first:
				q.noteOOM(at)
			case <-ticks.C:
			}
		}
		close(q.over)
	})
	return nil
}

func (q *squeeze) noteOOM(at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.samples.firstOOM = at.Sub(q.injected)
}

// sample looks once; false is the end of the process.
func (q *squeeze) sample() bool {
	at, err := q.group.read()
	lives := sameProcess(q.pid, q.start)
	its, gone := readProcessMemory(q.pid)
	q.mu.Lock()
	defer q.mu.Unlock()
	since := time.Since(q.injected)
	q.failed = err
	if lives && gone == nil {
		q.samples.final = its
	}
	if !lives && q.samples.ended == 0 {
		q.samples.ended = since
	}
	if err == nil {
		q.samples.note(at, since)
	}
	return lives
}

// note takes a reading in. Whoever waits for memory at both ends of a sample has
// waited all through it.
func (s *squeezeSamples) note(at memoryReading, since time.Duration) {
	if at.UnderOOM && s.last.UnderOOM {
		s.starved += since - s.lastAt
	}
	s.last, s.lastAt, s.peak = at, since, max(s.peak, at.Peak)
	if s.firstHit == 0 && at.Hits > s.first.Hits {
		s.firstHit = since
	}
	for second := int(since / time.Second); len(s.bySecond) <= second && second < maxSeconds; {
		s.bySecond = append(s.bySecond, 0)
	}
	if n := len(s.bySecond); n > 0 {
		s.bySecond[n-1] = max(s.bySecond[n-1], at.Usage)
	}
}

// maxSeconds bounds the series: later usage counts in its last second.
const maxSeconds = 3600

// verify tells whether the limit holds: what was written is read back, and the
// process is in the group. That it was reached is seen later, by observe.
func (q *squeeze) verify(context.Context) (bool, []Fact, error) {
	set, err := q.group.bytes(q.file)
	if err != nil {
		return false, nil, err
	}
	pids, err := members(q.group.dir)
	if err != nil {
		return false, nil, err
	}
	inside := slices.Contains(pids, q.pid)
	where := fmt.Sprintf("process %d is in cgroup %s", q.pid, filepath.Base(q.group.dir))
	if !inside {
		where = fmt.Sprintf("process %d has left cgroup %s", q.pid, filepath.Base(q.group.dir))
	}
	facts := []Fact{
		{"limit_bytes", set, fmt.Sprintf("%s reads %s", q.file, formatSize(set))},
		{"in_group", inside, where},
		{"cgroup", q.group.dir, ""},
		{"charges_moved", q.chargesMoved, q.chargesWords()},
	}
	return inside && set == q.limit && set != noLimit, facts, nil
}

func (q *squeeze) chargesWords() string {
	if q.chargesMoved {
		return fmt.Sprintf("the limit counts the %s that it held before", formatSize(q.before.rss))
	}
	return fmt.Sprintf("the limit counts what it takes from now on, not the %s before", formatSize(q.before.rss))
}

// reached tells whether the limit was felt: memory was reclaimed or refused for
// it, or usage came within a page of it. A peak from before the limit is none.
func (s *squeezeSamples) reached(limit int64) bool {
	close := limit - int64(os.Getpagesize())
	return s.last.Hits > s.first.Hits || s.last.OOMKills > s.first.OOMKills ||
		s.first.Usage > close || s.peak > max(close, s.first.Peak)
}

func (q *squeeze) observe() (bool, []Fact) {
	if q.halt == nil {
		return false, nil
	}
	q.sample()
	q.mu.Lock()
	defer q.mu.Unlock()
	s, reached := q.samples, q.samples.reached(q.limit)
	facts := q.limitFacts(s, reached)
	killed := s.last.OOMKills > s.first.OOMKills
	facts = append(facts, q.endFacts(s, killed)...)
	facts = append(facts,
		Fact{"usage_by_second_bytes", s.bySecond, bySecondWords(s.bySecond)},
		Fact{"rss_before_bytes", q.before.rss, ""},
		Fact{"rss_after_bytes", s.final.rss, fmt.Sprintf("resident: %s before, %s at the end", formatSize(q.before.rss), formatSize(s.final.rss))},
		Fact{"major_faults", s.final.majFaults - q.before.majFaults, fmt.Sprintf("page faults that waited for the disk: %d", s.final.majFaults-q.before.majFaults)},
	)
	facts = append(facts, q.stallFacts(s)...)
	if q.failed != nil {
		facts = append(facts, Fact{"reading_failed", q.failed.Error(), q.failed.Error()})
	}
	return reached, facts
}

// bySecondWords shows up to ten of the series, evenly spread.
func bySecondWords(series []int64) string {
	const most = 10
	if len(series) < 2 {
		return ""
	}
	words := "usage by second, MiB:"
	for i := range min(most, len(series)) {
		at := i * (len(series) - 1) / (min(most, len(series)) - 1)
		words += " " + strconv.FormatFloat(float64(series[at])/(1<<20), 'f', 1, 64)
	}
	return words
}

// stallFacts is the time for which tasks waited for memory to be reclaimed: of
// the group in version 2, of the whole system in version 1.
func (q *squeeze) stallFacts(s squeezeSamples) []Fact {
	if s.last.PSI {
		stalled := s.last.Stalled - s.first.Stalled
		return []Fact{{"stalled_us", stalled.Microseconds(), "tasks of the group waited for reclaim: " + seconds(stalled)}}
	}
	now, err := systemStalled()
	if err != nil {
		return nil // a kernel without pressure accounting
	}
	stalled := now - q.stalled
	return []Fact{{"system_stalled_us", stalled.Microseconds(), "tasks of the system waited for reclaim: " + seconds(stalled)}}
}

// systemStalled is for how long some task of the system has waited for memory
// since boot.
func systemStalled() (time.Duration, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, err
	}
	stats, err := fs.PSIStatsForResource("memory")
	if err != nil || stats.Some == nil {
		return 0, errors.Join(errors.New("no pressure accounting"), err)
	}
	return time.Duration(stats.Some.Total) * time.Microsecond, nil
}

func (q *squeeze) limitFacts(s squeezeSamples, reached bool) []Fact {
	hits := s.last.Hits - s.first.Hits
	words := fmt.Sprintf("the limit was reached %s, first within %s", times(hits), seconds(s.firstHit))
	if hits == 0 {
		words = fmt.Sprintf("the limit was touched: usage came to %s of %s", formatSize(s.peak), formatSize(q.limit))
	}
	if !reached {
		words = fmt.Sprintf("never reached: usage came to %s of %s; put load on it (mslab load)", formatSize(s.peak), formatSize(q.limit))
	}
	return []Fact{
		{"limit_reached", reached, words},
		{"limit_hits", hits, ""},
		{"first_hit_s", s.firstHit.Seconds(), ""},
		{"usage_peak_bytes", s.peak, fmt.Sprintf("usage: at most %s of %s", formatSize(s.peak), formatSize(q.limit))},
	}
}

func (q *squeeze) endFacts(s squeezeSamples, killed bool) []Fact {
	events := q.watch.events.Load()
	words := "never out of memory"
	if events > 0 {
		words = fmt.Sprintf("out of memory %s, first after %s", times(events), seconds(s.firstOOM))
	}
	if s.starved > 0 {
		words += fmt.Sprintf("; it waited for memory for %s in all", seconds(s.starved))
	}
	ended := ""
	if killed {
		ended = "the OOM killer ended a child of the process"
	}
	if killed && s.ended != 0 {
		ended = fmt.Sprintf("the OOM killer ended process %d after %s", q.pid, seconds(s.ended))
	}
	return []Fact{
		{"oom_killed", killed, ended},
		{"oom_events", events, words},
		{"first_oom_s", s.firstOOM.Seconds(), ""},
		{"out_of_memory_s", s.starved.Seconds(), ""},
	}
}

// settleWithin is for how long a healed process is looked at: one that met with
// an error while there was no memory may end by it once it goes on.
const settleWithin = 300 * time.Millisecond

// settle tells whether the process has survived, healing included.
func (q *squeeze) settle(ctx context.Context) []Fact {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	lives := sameProcess(q.pid, q.start)
	for lives && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
		lives = sameProcess(q.pid, q.start)
	}
	words := fmt.Sprintf("process %d lives, in its former cgroup", q.pid)
	switch s := q.samples; {
	case lives:
	case s.last.OOMKills > s.first.OOMKills:
		words = "" // said already
	case s.ended != 0 && q.watch.events.Load() > 0:
		words = fmt.Sprintf("process %d ended by itself after %s: it could not do without memory", q.pid, seconds(s.ended))
	case s.ended != 0:
		words = fmt.Sprintf("process %d ended by itself after %s", q.pid, seconds(s.ended))
	default:
		words = fmt.Sprintf("process %d ended by itself when it was healed", q.pid)
	}
	return []Fact{{"survived", lives, words}}
}

// stop ends sampling and watching.
func (q *squeeze) stop() error {
	if q.halt != nil {
		q.halt()
		q.sampling.Wait()
	}
	if q.watch == nil {
		return nil
	}
	err := q.watch.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func planSqueeze(s Spec, m memorySpec, state memoryState) Plan {
	g, pid := state.group, strconv.Itoa(s.Target.PID)
	inject, undo := plan(g), plan(g)
	inject.mkdir()
	if g.files.version == 1 {
		inject.echo("3", "memory.move_charge_at_immigrate")
		inject.lines[len(inject.lines)-1] += " || true # before 6.13"
	}
	inject.echo(pid, "cgroup.procs")
	if m.pause && g.files.version == 1 {
		inject.echo("1", "memory.oom_control")
	}
	limit := strconv.FormatInt(m.limit, 10)
	if m.limit == 0 {
		limit = fmt.Sprintf("$(( $(cat %s/%s) + %d ))", filepath.Base(g.dir), g.files.usage, m.headroom)
	}
	inject.echo(limit, limitFile(g.files, m.pause))
	undo.lift()
	former := "cgroup.procs"
	if state.former != filepath.Dir(g.dir) {
		former = filepath.Join(filepath.Base(state.former), former)
	}
	undo.add("echo " + pid + " > " + former)
	undo.rmdir()
	p := Plan{Inject: inject.lines, Undo: undo.lines, Notes: []string{"Children that the process starts meanwhile go with it, there and back."}}
	if m.pause {
		p.Notes = append(p.Notes, "A process that can get no memory waits until it is healed; with oom=kill the OOM killer ends it. A system call that needs memory fails meanwhile (ENOMEM), which some programs do not survive.")
	} else {
		p.Notes = append(p.Notes, "The OOM killer may end the process, which nothing undoes.")
	}
	return p
}
