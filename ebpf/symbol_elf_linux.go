//go:build amd64 || arm64

package ebpf

import (
	"cmp"
	"debug/elf"
	"io"
	"path"
	"slices"
	"strings"
)

// image is an executable or a library, whose names are read when they are asked
// for.
type image struct {
	reader io.ReaderAt
	closer io.Closer

	read    bool
	loads   []elf.ProgHeader
	symbols []elfSymbol
	lines   *goLines   // of a Go program
	debug   *debugInfo // nil without DWARF
	cache   map[uint64][]frame
}

type elfSymbol struct {
	address, size uint64
	name          string
}

// open reads the file's headers and tables, as far as they are there.
func (i *image) open() {
	if i.read {
		return
	}
	i.read, i.cache = true, map[uint64][]frame{}
	if i.reader == nil {
		return
	}
	file, err := elf.NewFile(i.reader)
	if err != nil {
		return
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD {
			i.loads = append(i.loads, p.ProgHeader)
		}
	}
	i.symbols = readSymbols(file)
	i.lines = readGoLines(file, i.symbols)
	i.debug = readDebugInfo(file)
}

// readSymbols gives the functions of both symbol tables, by address.
func readSymbols(file *elf.File) []elfSymbol {
	var list []elfSymbol
	for _, read := range []func() ([]elf.Symbol, error){file.Symbols, file.DynamicSymbols} {
		symbols, err := read()
		if err != nil {
			continue // there is no such table
		}
		for _, s := range symbols {
			kind := elf.ST_TYPE(s.Info)
			if s.Value != 0 && s.Section != elf.SHN_UNDEF && (kind == elf.STT_FUNC || kind == elf.STT_GNU_IFUNC) {
				list = append(list, elfSymbol{s.Value, s.Size, s.Name})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b elfSymbol) int { return cmp.Compare(a.address, b.address) })
	return list
}

// address gives the address that the file was linked for, of an offset in it.
func (i *image) address(offset uint64) (uint64, bool) {
	for _, p := range i.loads {
		if offset >= p.Off && offset < p.Off+p.Filesz {
			return offset - p.Off + p.Vaddr, true
		}
	}
	return 0, false
}

// frames gives the functions at an offset of the file, innermost first: with what
// was inlined where the file has DWARF, without names none.
func (i *image) frames(offset uint64) []frame {
	i.open()
	at, ok := i.address(offset)
	if !ok {
		return nil
	}
	found, known := i.cache[at]
	if !known {
		found = i.lookUp(at)
		i.cache[at] = found
	}
	return found
}

func (i *image) lookUp(at uint64) []frame {
	if i.debug != nil {
		if frames := i.debug.frames(at); len(frames) > 0 {
			return frames
		}
	}
	if i.lines != nil {
		if f, ok := i.lines.frame(at); ok {
			return []frame{f}
		}
	}
	n, exact := slices.BinarySearchFunc(i.symbols, at, func(s elfSymbol, at uint64) int { return cmp.Compare(s.address, at) })
	if !exact {
		n--
	}
	if n < 0 {
		return nil
	}
	if s := i.symbols[n]; s.size == 0 || at < s.address+s.size {
		return []frame{{function: s.name}}
	}
	return nil
}

// frameless tells whether the function at an offset has no frame there.
func (i *image) frameless(offset uint64) bool {
	i.open()
	at, ok := i.address(offset)
	return ok && i.lines != nil && i.lines.frameless(at)
}

func baseName(file string) string { return path.Base(file) }

// isLibrary tells by its name whether a file is a shared library.
func isLibrary(file string) bool {
	base := baseName(file)
	return strings.HasSuffix(base, ".so") || strings.Contains(base, ".so.")
}
