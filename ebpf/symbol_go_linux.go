//go:build amd64 || arm64

package ebpf

import (
	"cmp"
	"debug/elf"
	"debug/gosym"
	"encoding/binary"
	"slices"
	"strings"
)

// goLines is the table of functions and lines that a Go program has for its own
// tracebacks, stripped or not. It knows nothing of inlining.
type goLines struct {
	table  *gosym.Table
	depths *goFrames
}

// readGoLines reads the table; nil where the program is none of Go's.
func readGoLines(file *elf.File, symbols []elfSymbol) *goLines {
	var section *elf.Section
	for _, name := range []string{".gopclntab", ".data.rel.ro.gopclntab"} {
		if s := file.Section(name); s != nil {
			section = s
		}
	}
	code := file.Section(".text")
	if section == nil || code == nil {
		return nil
	}
	data, err := section.Data()
	if err != nil {
		return nil
	}
	assumed, err := gosym.NewTable(nil, gosym.NewLineTable(data, code.Addr))
	if err != nil || len(assumed.Funcs) == 0 {
		return nil
	}
	start, ok := goText(file, symbols, code.Addr, assumed)
	if !ok {
		return nil
	}
	table := assumed
	if start != code.Addr {
		if table, err = gosym.NewTable(nil, gosym.NewLineTable(data, start)); err != nil {
			return nil
		}
	}
	return &goLines{table: table, depths: readGoFrames(data, start, file.ByteOrder)}
}

// goText gives the address of runtime.text, from which the table counts: in a
// program with C in it that is not where the section begins. Where symbols are
// stripped, it follows from a function that the table names and something else has
// the address of: the dynamic symbols that cgo exports, or the program's first
// instruction. Without any, names would be guesses.
func goText(file *elf.File, symbols []elfSymbol, section uint64, assumed *gosym.Table) (uint64, bool) {
	if i := slices.IndexFunc(symbols, func(s elfSymbol) bool { return s.name == "runtime.text" }); i >= 0 {
		return symbols[i].address, true
	}
	entries := make(map[string]uint64, len(assumed.Funcs))
	for _, f := range assumed.Funcs {
		entries[f.Name] = f.Entry
	}
	for _, name := range []string{"crosscall2", "_cgo_topofstack", "_cgo_panic"} {
		i := slices.IndexFunc(symbols, func(s elfSymbol) bool { return s.name == name })
		if entry, ok := entries[name]; ok && i >= 0 {
			return section + symbols[i].address - entry, true
		}
	}
	f := assumed.PCToFunc(file.Entry)
	return section, f != nil && f.Entry == file.Entry && strings.HasPrefix(f.Name, "_rt0_")
}

func (g *goLines) frame(at uint64) (frame, bool) {
	file, line, f := g.table.PCToLine(at)
	if f == nil {
		return frame{}, false
	}
	return frame{function: f.Name, file: file, line: int64(line)}, true
}

// frameless tells whether nothing is on the stack of the function at an address
// but the return address (amd64), or not even that (arm64).
func (g *goLines) frameless(at uint64) bool {
	return g.depths != nil && g.depths.depth(at) == 0
}

// goFrames is the part of the table that says how deep the stack is at each
// instruction. Format: the runtime's symtab.go, for Go 1.18 and later.
type goFrames struct {
	order     binary.ByteOrder
	start     uint64
	quantum   uint64
	functions []byte // entries of (offset of the code, offset in functions)
	count     int
	deltas    []byte
}

// The words of the table's header.
const (
	headerFunctionCount = 0
	headerDeltas        = 6
	headerFunctions     = 7
	headerWords         = 8
)

func readGoFrames(data []byte, start uint64, order binary.ByteOrder) *goFrames {
	const (
		fixed = 8
		go118 = 0xfffffff0
		go120 = 0xfffffff1
		wide  = 8 // bytes of a pointer
		entry = 8 // bytes of one in the table of functions
	)
	if len(data) < fixed+headerWords*wide || data[7] != wide {
		return nil
	}
	if magic := order.Uint32(data); magic != go118 && magic != go120 {
		return nil
	}
	word := func(i int) uint64 { return order.Uint64(data[fixed+i*wide:]) }
	g := &goFrames{order: order, start: start, quantum: uint64(data[6]), count: int(word(headerFunctionCount))}
	if word(headerDeltas) > uint64(len(data)) || word(headerFunctions) > uint64(len(data)) {
		return nil
	}
	g.deltas, g.functions = data[word(headerDeltas):], data[word(headerFunctions):]
	if g.count <= 0 || g.count > len(g.functions)/entry {
		return nil
	}
	return g
}

// depth gives the bytes on the stack below the return address (arm64: the frame)
// at an instruction; -1 where that is not known.
func (g *goFrames) depth(at uint64) int64 {
	const entry, deltasField = 8, 16
	if at < g.start {
		return -1
	}
	offset := at - g.start
	n, exact := findFunc(g.count, func(i int) int {
		return cmp.Compare(uint64(g.order.Uint32(g.functions[i*entry:])), offset)
	})
	if !exact {
		n--
	}
	if n < 0 {
		return -1
	}
	pc := uint64(g.order.Uint32(g.functions[n*entry:]))
	field := uint64(g.order.Uint32(g.functions[n*entry+4:])) + deltasField
	if field+4 > uint64(len(g.functions)) {
		return -1
	}
	from := uint64(g.order.Uint32(g.functions[field:]))
	if from == 0 || from >= uint64(len(g.deltas)) {
		return -1
	}
	// Pairs of (change of the value, instructions for which it holds).
	rest, value := g.deltas[from:], int64(-1)
	for first := true; ; first = false {
		change, size := binary.Uvarint(rest)
		if size <= 0 || change == 0 && !first {
			return -1
		}
		rest = rest[size:]
		value += int64(change>>1) ^ -int64(change&1)
		length, size := binary.Uvarint(rest)
		if size <= 0 {
			return -1
		}
		rest = rest[size:]
		if pc += length * g.quantum; offset < pc {
			return value
		}
	}
}

// findFunc is a binary search in a table of n entries by its own comparison.
func findFunc(n int, compare func(i int) int) (int, bool) {
	low, high := 0, n
	for low < high {
		middle := (low + high) / 2
		if compare(middle) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < n && compare(low) == 0
}
