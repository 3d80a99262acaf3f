//go:build amd64 || arm64

package ebpf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// dropReasons says what enum drop of syscalls.h means.
var dropReasons = []string{
	"no room to keep the start of a call",
	"the end of a call was not seen",
	"no room for a row",
	"no room for the name of a target",
}

// taskCall is struct task_call of syscalls.h.
type taskCall struct {
	Process, Thread uint32
	Call            syscallsCall
}

// usedRows lists the rows of stats that hold calls.
func (t *SyscallTracer) usedRows() ([]int, error) {
	used := make([]uint8, maxSlots)
	if err := t.probes.coll.Variables["used"].Get(used); err != nil {
		return nil, fmt.Errorf("read which calls were made: %w", err)
	}
	var rows []int
	for i, u := range used {
		if u != 0 && i < len(t.slots.byIndex) {
			rows = append(rows, i)
		}
	}
	return rows, nil
}

// read adds the cores' rows up as they are now.
func (t *SyscallTracer) read(now time.Duration) (Syscalls, error) {
	result := Syscalls{Elapsed: now - t.started}
	if t.ids.nested {
		if fresh, err := readIDs(); err == nil {
			t.ids = fresh
		}
	}
	if err := t.readRows(&result); err != nil {
		return result, err
	}
	slices.SortFunc(result.Calls, func(a, b SyscallStat) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Target, b.Target), cmp.Compare(a.Thread, b.Thread))
	})
	if err := t.readUnfinished(&result, now); err != nil {
		return result, err
	}
	if err := t.readEnded(&result); err != nil {
		return result, err
	}
	var processes uint64
	if err := t.probes.coll.Variables["processes"].Get(&processes); err != nil {
		return result, fmt.Errorf("read how many processes were traced: %w", err)
	}
	result.Processes = int(processes)
	return result, t.readCost(&result)
}

func (t *SyscallTracer) readRows(result *Syscalls) error {
	rows, err := t.usedRows()
	if err != nil {
		return err
	}
	stats := t.probes.coll.Maps[syscallsMapStats]
	var cores []syscallsStat
	for _, index := range rows {
		if err := stats.Lookup(uint32(index), &cores); err != nil {
			return fmt.Errorf("read a row: %w", err)
		}
		number := t.slots.byIndex[index]
		target := ""
		if t.slots.native[number]&slotFD != 0 || t.options.ByThread {
			target = "others (the table of targets was full)"
		}
		t.addRow(result, syscallsKey{Number: number}, target, cores)
	}
	names := t.newNamer()
	var key syscallsKey
	seen := map[syscallsKey]bool{}
	each := t.probes.coll.Maps[syscallsMapRows].Iterate()
	for each.Next(&key, &cores) {
		if !seen[key] {
			seen[key] = true
			t.addRow(result, key, names.text(key.Target), cores)
		}
	}
	if err := each.Err(); err != nil {
		return fmt.Errorf("read the rows: %w", err)
	}
	result.Calls = merged(result.Calls)
	return nil
}

// merged makes one row of those that read alike: a file that was replaced by one of
// its name is two targets in the kernel.
func merged(rows []SyscallStat) []SyscallStat {
	type identity struct {
		name, target string
		thread       int32
	}
	at := map[identity]int{}
	out := rows[:0]
	for _, r := range rows {
		id := identity{r.Name, r.Target, r.Thread}
		i, known := at[id]
		if !known {
			at[id] = len(out)
			out = append(out, r)
			continue
		}
		out[i].add(&r)
	}
	return out
}

// add counts what another row of the same call has.
func (s *SyscallStat) add(other *SyscallStat) {
	s.Calls += other.Calls
	s.Errors += other.Errors
	s.Total += other.Total
	s.Max = max(s.Max, other.Max)
	s.Hist.Add(other.Hist)
	for name, n := range other.Errnos {
		if s.Errnos == nil {
			s.Errnos = map[string]uint64{}
		}
		s.Errnos[name] += n
	}
	if s.FD < 0 {
		s.FD = other.FD
	}
}

// addRow sums what the cores counted of one row.
func (t *SyscallTracer) addRow(result *Syscalls, key syscallsKey, target string, cores []syscallsStat) {
	s := SyscallStat{Name: callName(key.Number), Number: int(int32(key.Number)), Target: target, FD: -1, Hist: &Histogram{}}
	if key.Number&compatBit != 0 && int32(key.Number) != -1 {
		s.Compat, s.Number = true, int(key.Number&^compatBit)
	}
	if key.Thread != 0 {
		_, s.Thread = t.ids.here(0, key.Thread)
	}
	restores := restores(s.Name)
	for i := range cores {
		c := &cores[i]
		if c.Calls == 0 {
			continue
		}
		if key.Target.Kind != kindNone && key.Target.Kind != kindNotOpen && s.FD < 0 {
			s.FD = c.Fd
		}
		s.Calls += c.Calls
		s.Total += time.Duration(c.Total)
		s.Max = max(s.Max, time.Duration(c.Max))
		for b, n := range c.Hist {
			s.Hist.counts[b] += uint64(n)
		}
		if restores {
			continue
		}
		s.Errors += c.Errors
		for e, n := range c.Errnos {
			if n != 0 {
				if s.Errnos == nil {
					s.Errnos = map[string]uint64{}
				}
				s.Errnos[errnoName(e)] += n
			}
		}
	}
	if s.Calls == 0 || t.started != 0 && !t.wants(key.Number) {
		return // the call that calibrates has a row in any case
	}
	result.Calls = append(result.Calls, s)
}

// wants tells whether a number is among those that are asked for.
func (t *SyscallTracer) wants(number uint32) bool {
	return wanted(t.options.Only, strings.TrimSuffix(callName(number), compatMark))
}

// readUnfinished lists the calls in progress.
func (t *SyscallTracer) readUnfinished(result *Syscalls, now time.Duration) error {
	names := t.newNamer()
	add := func(thread uint32, c *syscallsCall) {
		u := UnfinishedCall{Name: callName(c.Number), Number: int(int32(c.Number)), FD: c.Fd,
			Target: names.text(c.Target), For: now - time.Duration(c.Start)}
		if c.Number&compatBit != 0 && int32(c.Number) != -1 {
			u.Compat, u.Number = true, int(c.Number&^compatBit)
		}
		u.Process, u.Thread = t.ids.here(c.Process, thread)
		// What began while this was read was not in progress before.
		if t.wants(c.Number) && u.For > 0 {
			result.Unfinished = append(result.Unfinished, u)
		}
	}
	if program := t.probes.coll.Programs[syscallsProgListCalls]; program != nil {
		if err := iterate(program, func(c taskCall) { add(c.Thread, &c.Call) }); err != nil {
			return err
		}
	} else {
		calls := t.probes.coll.Maps[syscallsMapThreadCalls]
		var thread uint32
		var call syscallsCall
		seen := map[uint32]bool{}
		each := calls.Iterate()
		for each.Next(&thread, &call) {
			if call.Start != 0 && !seen[thread] {
				seen[thread] = true
				add(thread, &call)
			}
		}
		if err := each.Err(); err != nil {
			return fmt.Errorf("read the calls in progress: %w", err)
		}
	}
	slices.SortFunc(result.Unfinished, func(a, b UnfinishedCall) int {
		return cmp.Or(cmp.Compare(b.For, a.For), cmp.Compare(a.Thread, b.Thread))
	})
	return nil
}

// readEnded counts the calls whose thread ended inside them.
func (t *SyscallTracer) readEnded(result *Syscalls) error {
	var number uint32
	var cores []uint64
	each := t.probes.coll.Maps[syscallsMapEnded].Iterate()
	for each.Next(&number, &cores) {
		if result.Ended == nil {
			result.Ended = map[string]uint64{}
		}
		if t.wants(number) {
			result.Ended[callName(number)] += sum(cores)
		}
	}
	if err := each.Err(); err != nil {
		return fmt.Errorf("read the calls that ended with their thread: %w", err)
	}
	return nil
}

func sum(cores []uint64) uint64 {
	var n uint64
	for _, c := range cores {
		n += c
	}
	return n
}
