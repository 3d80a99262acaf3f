//go:build amd64 || arm64

package ebpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/google/pprof/profile"
)

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// program is what one process executed from one execve(2) to the next.
type program struct {
	process uint32 // in the first pid namespace
	exec    uint64
}

// stackKey is one stack of one program: the bytes of the kernel's, then of the
// user's part.
type stackKey struct {
	program program
	caller  uint64
	kernel  int
	stack   string
}

type stackCount struct {
	samples, ns int64
}

// collected is what was sampled so far.
type collected struct {
	ids    *ids
	root   program
	pid    int // of root, as this process sees it
	files  *fileCache
	maps   map[program]*addressSpace
	stacks map[stackKey]*stackCount
	last   *stackCount
	room   int // bytes that further stacks may take
	cut    int64
}

// stackRoom bounds the memory of a long profile, of programs whose stacks are all
// different since they keep no frame pointers, say: what is new beyond it is known
// by its innermost functions alone. With the maps around them the bytes become about
// three times as many.
const (
	stackRoom   = 128 << 20
	bytesAround = 128 // of a stack's key and counts
)

func newCollected(known *ids, target uint32, pid int) *collected {
	c := &collected{ids: known, root: program{process: target}, pid: pid, files: newFileCache(),
		maps: map[program]*addressSpace{}, stacks: map[stackKey]*stackCount{}, room: stackRoom}
	// Whatever ends before its first sample is read has at least the program that
	// was there at the start.
	c.maps[c.root] = readAddressSpace(pid, c.files)
	return c
}

// add counts one sample. A program that was not seen yet is looked at while it
// lives.
func (c *collected) add(raw []byte) {
	var head cpuCpuSample
	const headSize = int(unsafe.Offsetof(head.Stack))
	if len(raw) < headSize {
		return
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&head)), headSize), raw)
	size := int(head.Kernel + head.User)
	if len(raw) < headSize+size {
		return
	}
	p := program{head.Process, head.Exec}
	space := c.maps[p]
	if space == nil {
		space = c.look(p)
		space.comm = text(head.Comm[:])
		c.maps[p] = space
	}
	if size > int(head.Kernel) && space.find(binary.NativeEndian.Uint64(raw[headSize+int(head.Kernel):])) == nil {
		c.lookAgain(p, space)
	}
	key := stackKey{program: p, kernel: min(int(head.Kernel), size), stack: string(raw[headSize : headSize+size])}
	// What lies there is the innermost function's own, if it has a frame.
	if space.find(head.Caller) != nil {
		key.caller = head.Caller
	}
	count := c.count(key)
	count.samples++
	count.ns += int64(head.Ns)
	c.last = count
}

// count gives the counts of a stack, which it cuts where there is no room for more.
func (c *collected) count(key stackKey) *stackCount {
	if count := c.stacks[key]; count != nil {
		return count
	}
	if c.room < len(key.stack)+bytesAround {
		c.cut++
		key = key.cut()
		if count := c.stacks[key]; count != nil {
			return count
		}
	}
	c.room -= len(key.stack) + bytesAround
	count := &stackCount{}
	c.stacks[key] = count
	return count
}

// cut gives the innermost function of a stack alone, of the kernel or the user.
func (k stackKey) cut() stackKey {
	k.caller = 0
	k.stack = k.stack[:min(len(k.stack), 8)]
	k.kernel = min(k.kernel, len(k.stack))
	return k
}

// look reads the memory map of a program at its first sample; where it is gone
// already, it is that of the process at the start, or none.
func (c *collected) look(p program) *addressSpace {
	pid := c.pid
	if p.process != c.root.process {
		pid = c.here(p.process)
	}
	if space := readAddressSpace(pid, c.files); len(space.regions) > 0 {
		return space
	}
	if p.process == c.root.process {
		copied := *c.maps[c.root]
		return &copied
	}
	return &addressSpace{}
}

// lookAgain reads the memory map of a program again, some of whose code is where
// nothing was at its first sample: libraries are loaded later. Code that no map
// tells is not looked for forever.
func (c *collected) lookAgain(p program, space *addressSpace) {
	const eager, pause = 16, time.Second
	if now := time.Now(); space.looks < eager || now.Sub(space.looked) >= pause {
		space.looks, space.looked = space.looks+1, now
		pid := c.pid
		if p.process != c.root.process {
			pid = c.here(p.process)
		}
		space.add(readAddressSpace(pid, c.files))
	}
}

// here gives the id by which this process sees another one.
func (c *collected) here(process uint32) int {
	if !c.ids.nested {
		return int(process)
	}
	if _, known := c.ids.process[process]; !known {
		if again, err := readIDs(); err == nil {
			c.ids = again
		}
	}
	pid, _ := c.ids.here(process, 0)
	return int(pid)
}

// giveLast gives the time after the last samples to the last one; where there was
// none, it is known by its sum alone.
func (c *collected) giveLast(ns int64) {
	if c.last == nil && ns > 0 {
		c.last = c.count(stackKey{program: c.root})
	}
	if c.last != nil {
		c.last.ns = max(c.last.ns+ns, 0)
	}
}

func text(c []int8) string {
	var b []byte
	for _, v := range c {
		if v == 0 {
			break
		}
		b = append(b, byte(v))
	}
	return string(b)
}

// build makes the profile of what was collected, and closes the files.
func (c *collected) build(p *CPUProfile, o CPUOptions) error {
	defer c.files.close()
	for id, space := range c.maps { // libraries may have come since
		if id.process == c.root.process && len(space.regions) > 0 {
			space.add(readAddressSpace(c.pid, c.files))
		}
	}
	b := newBuilder(c.files, int64(o.Period))
	processes := map[uint32]bool{}
	for key, count := range c.stacks {
		processes[key.program.process] = true
		space := c.maps[key.program]
		sample := &profile.Sample{Value: []int64{count.samples, count.ns}}
		addresses := words(key.stack)
		kernel := min(key.kernel/8, len(addresses))
		sample.Location = append(b.kernelStack(addresses[:kernel]), b.userStack(space, addresses[kernel:], key.caller)...)
		if len(sample.Location) == 0 {
			sample.Location = []*profile.Location{b.named(nil, "[no stack]")}
		}
		if o.Follow {
			sample.Label = map[string][]string{"command": {space.comm}}
			sample.NumLabel = map[string][]int64{"pid": {int64(c.here(key.program.process))}}
		}
		b.profile.Sample = append(b.profile.Sample, sample)
		p.Total += int64ToDuration(count.ns)
	}
	p.Processes = len(processes)
	if p.Woken > 0 && len(b.profile.Sample) > 0 {
		b.profile.Sample = append(b.profile.Sample, &profile.Sample{
			Value:    []int64{0, int64(p.Woken)},
			Location: []*profile.Location{b.named(b.kernelMapping(), WokenFunction)},
		})
		p.Total += p.Woken
	}
	p.Notes = append(p.Notes, b.notes()...)
	if c.cut > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d samples are known by their innermost function alone: their stacks were too many and too different to be kept.", c.cut))
	}
	p.Profile = b.finish(p)
	if err := p.Profile.CheckValid(); err != nil {
		return fmt.Errorf("make the profile: %w", err)
	}
	return nil
}

func words(raw string) []uint64 {
	list := make([]uint64, len(raw)/8)
	_ = binary.Read(bytes.NewReader([]byte(raw)), binary.NativeEndian, list)
	return list
}
