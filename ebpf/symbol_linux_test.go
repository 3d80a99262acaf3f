//go:build amd64 || arm64

package ebpf

import (
	"debug/elf"
	"encoding/binary"
	"slices"
	"testing"
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
