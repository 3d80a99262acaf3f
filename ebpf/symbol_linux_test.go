//go:build amd64 || arm64

package ebpf

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"slices"
	"testing"
	"unsafe"
)

// TestGoTextOfAStrippedProgram finds where the functions of this program begin
// without its symbol table, as it is or with the dynamic symbols that cgo exports.
// Where neither tells, no name is better than a wrong one.
func TestGoTextOfAStrippedProgram(t *testing.T) {
	file, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all := readSymbols(file)
	want := readGoLines(file, all)
	if want == nil {
		t.Fatal("no table of Go's in this program")
	}
	named := func(name string) []elfSymbol {
		i := slices.IndexFunc(all, func(s elfSymbol) bool { return s.name == name })
		if i < 0 {
			return nil
		}
		return all[i : i+1]
	}
	found := 0
	for _, name := range []string{"", "crosscall2", "_cgo_topofstack"} {
		got := readGoLines(file, named(name))
		if got == nil {
			continue
		}
		found++
		for _, f := range want.table.Funcs {
			at, is := got.table.PCToFunc(f.Entry), want.table.PCToFunc(f.Entry) // some have two names
			if at == nil || is == nil || at.Name != is.Name || at.Entry != is.Entry {
				t.Fatalf("by %q alone %s at %#x is %v", name, f.Name, f.Entry, at)
			}
		}
	}
	if found == 0 {
		t.Error("neither the first instruction nor the symbols of cgo tell where the functions begin")
	}
}

// TestGoFramesOfAWrongTable wants no panic for a table that says that it has more
// than there is.
func TestGoFramesOfAWrongTable(t *testing.T) {
	data := make([]byte, 8+headerWords*8+64)
	binary.NativeEndian.PutUint32(data, 0xfffffff1)
	data[6], data[7] = 1, 8
	for i := range headerWords {
		binary.NativeEndian.PutUint64(data[8+8*i:], 8+headerWords*8)
	}
	for _, count := range []uint64{1<<61 + 1, 1 << 63, 9, 8} {
		binary.NativeEndian.PutUint64(data[8:], count)
		g := readGoFrames(data, 0, binary.NativeEndian)
		if (g != nil) != (count == 8) {
			t.Fatalf("a table of %d functions in %d bytes: %v", count, len(data), g)
		}
		if g != nil && g.depth(100) != -1 {
			t.Errorf("a table of zeroes tells a depth of %d", g.depth(100))
		}
	}
}

func TestKernelFunctionsMadeAtRunTime(t *testing.T) {
	k := &kernelSymbols{addresses: []uint64{0x1000, 0x2000, 0x3000, 0x90000000}, names: []string{"first", "second", "_etext", "module"}}
	for address, want := range map[uint64]string{0x10: "[kernel]", 0x1fff: "first", 0x2000: "second", 0x3000: "[kernel]", 0x4000: "[kernel]",
		0x90000010: "module", 0x90000000 + largestFunction: "[kernel]"} {
		if got := k.frames(address)[0].function; got != want {
			t.Errorf("%#x is %s, want %s", address, got, want)
		}
	}
}

// rawSample is what the probe hands over for one stack of the user's.
func rawSample(process uint32, caller uint64, stack ...uint64) []byte {
	head := cpuCpuSample{Process: process, Ns: 1000, Caller: caller, User: uint32(8 * len(stack))}
	copy(head.Stack[:], stack)
	return unsafe.Slice((*byte)(unsafe.Pointer(&head)), int(unsafe.Offsetof(head.Stack))+8*len(stack))
}

// TestStacksAreBounded feeds stacks that are all different, as programs without
// frame pointers make them, and wants memory to have an end and no time to be lost.
func TestStacksAreBounded(t *testing.T) {
	pid := uint32(os.Getpid())
	c := newCollected(&ids{}, pid, os.Getpid())
	defer c.files.close()
	for i := range uint64(1000) {
		c.add(rawSample(pid, i+1, 0x10)) // what lies on the stack is no caller
	}
	if len(c.stacks) != 1 {
		t.Fatalf("%d stacks of one function, whose callers are no code", len(c.stacks))
	}
	const many = 100_000
	c.room = 64 << 10
	for i := range uint64(many) {
		c.add(rawSample(pid, 0, 0x10, 0x1000+i, 0x2000+i))
	}
	p := &CPUProfile{}
	if err := c.build(p, CPUOptions{}); err != nil {
		t.Fatal(err)
	}
	if limit := 64<<10/bytesAround + 2; len(c.stacks) > limit || c.cut < many/2 {
		t.Errorf("%d stacks, %d cut; want at most %d", len(c.stacks), c.cut, limit)
	}
	if p.Total != (1000+many)*1000 || len(p.Notes) == 0 {
		t.Errorf("the total is %s; notes: %v", p.Total, p.Notes)
	}
}
