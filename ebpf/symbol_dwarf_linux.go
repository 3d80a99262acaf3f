//go:build amd64 || arm64

package ebpf

import (
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"slices"
	"strings"
)

// debugInfo answers from DWARF which functions are at an address, those that were
// inlined there too. Units are read when an address of theirs is asked for.
type debugInfo struct {
	data  *dwarf.Data
	units []unitRange // by address
	read  map[dwarf.Offset]*debugUnit
	names map[dwarf.Offset]debugName
}

type unitRange struct {
	low, high uint64
	unit      *dwarf.Entry
}

// debugUnit is one compilation unit.
type debugUnit struct {
	functions []functionRange // by address
	lines     []dwarf.LineEntry
	files     []*dwarf.LineFile
}

type functionRange struct {
	low, high uint64
	entry     dwarf.Offset
}

type debugName struct {
	name  string
	start int64
}

// mostDebugInfo is how much of it is read, since all of it is kept in memory. Names
// of a program with more come from its table of symbols, without inlined functions.
const mostDebugInfo = 1 << 30

func readDebugInfo(file *elf.File) *debugInfo {
	if file.Section(".debug_info") == nil && file.Section(".zdebug_info") == nil {
		return nil
	}
	var size uint64
	for _, section := range file.Sections {
		if strings.HasPrefix(section.Name, ".debug_") || strings.HasPrefix(section.Name, ".zdebug_") {
			size += section.Size
		}
	}
	if size > mostDebugInfo {
		return nil
	}
	data, err := file.DWARF()
	if err != nil {
		return nil
	}
	d := &debugInfo{data: data, read: map[dwarf.Offset]*debugUnit{}, names: map[dwarf.Offset]debugName{}}
	r := data.Reader()
	for {
		unit, err := r.Next()
		if err != nil || unit == nil {
			break
		}
		if unit.Tag == dwarf.TagCompileUnit {
			ranges, err := data.Ranges(unit)
			if err == nil {
				for _, at := range ranges {
					d.units = append(d.units, unitRange{at[0], at[1], unit})
				}
			}
		}
		r.SkipChildren()
	}
	if len(d.units) == 0 {
		return nil
	}
	slices.SortFunc(d.units, func(a, b unitRange) int { return cmp.Compare(a.low, b.low) })
	return d
}

// inlined is one level of inlining: what was called, and from which line.
type inlined struct {
	name     debugName
	callFile string
	callLine int64
}

// frames gives the functions at an address, innermost first; none where DWARF does
// not know it.
func (d *debugInfo) frames(at uint64) []frame {
	i, exact := slices.BinarySearchFunc(d.units, at, func(u unitRange, at uint64) int { return cmp.Compare(u.low, at) })
	if !exact {
		i--
	}
	if i < 0 || at >= d.units[i].high {
		return nil
	}
	unit := d.unit(d.units[i].unit)
	n, exact := slices.BinarySearchFunc(unit.functions, at, func(f functionRange, at uint64) int { return cmp.Compare(f.low, at) })
	if !exact {
		n--
	}
	if n < 0 || at >= unit.functions[n].high {
		return nil
	}
	outer, levels := d.walk(unit, unit.functions[n].entry, at)
	if outer.name == "" {
		return nil
	}
	file, line := unit.line(at)
	var frames []frame
	for _, level := range slices.Backward(levels) {
		frames = append(frames, frame{function: level.name.name, file: file, line: line, start: level.name.start})
		file, line = level.callFile, level.callLine
	}
	return append(frames, frame{function: outer.name, file: file, line: line, start: outer.start})
}

func (d *debugInfo) unit(entry *dwarf.Entry) *debugUnit {
	if u := d.read[entry.Offset]; u != nil {
		return u
	}
	u := &debugUnit{}
	d.read[entry.Offset] = u
	if lines, err := d.data.LineReader(entry); err == nil && lines != nil {
		var line dwarf.LineEntry
		for lines.Next(&line) == nil {
			u.lines = append(u.lines, line)
		}
		u.files = lines.Files()
		slices.SortStableFunc(u.lines, func(a, b dwarf.LineEntry) int { return cmp.Compare(a.Address, b.Address) })
	}
	r := d.data.Reader()
	r.Seek(entry.Offset)
	if _, err := r.Next(); err != nil || !entry.Children {
		return u
	}
	for depth := 1; depth > 0; {
		e, err := r.Next()
		if err != nil || e == nil {
			break
		}
		switch e.Tag {
		case 0:
			depth--
			continue
		case dwarf.TagSubprogram:
			ranges, err := d.data.Ranges(e)
			if err == nil {
				for _, at := range ranges {
					u.functions = append(u.functions, functionRange{at[0], at[1], e.Offset})
				}
			}
		case dwarf.TagNamespace: // functions of C++ may be in it
			if e.Children {
				depth++
			}
			continue
		}
		r.SkipChildren()
	}
	slices.SortFunc(u.functions, func(a, b functionRange) int { return cmp.Compare(a.low, b.low) })
	return u
}

// line gives the line of an address.
func (u *debugUnit) line(at uint64) (file string, line int64) {
	i, _ := slices.BinarySearchFunc(u.lines, at, func(l dwarf.LineEntry, at uint64) int {
		if l.Address <= at {
			return -1
		}
		return 1
	})
	if i == 0 || u.lines[i-1].EndSequence {
		return "", 0
	}
	if u.lines[i-1].File != nil {
		file = u.lines[i-1].File.Name
	}
	return file, int64(u.lines[i-1].Line)
}

// walk goes down a function to an address, through what was inlined there,
// outermost first.
func (d *debugInfo) walk(unit *debugUnit, function dwarf.Offset, at uint64) (outer debugName, levels []inlined) {
	r := d.data.Reader()
	r.Seek(function)
	e, err := r.Next()
	if err != nil || e == nil {
		return debugName{}, nil
	}
	outer = d.name(e)
	for depth := 0; ; {
		if e.Children {
			depth++
		}
		if depth == 0 {
			return outer, levels
		}
		if e, err = r.Next(); err != nil || e == nil {
			return outer, levels
		}
		switch {
		case e.Tag == 0:
			// The end of what contains the address: nothing deeper does.
			return outer, levels
		case e.Tag == dwarf.TagInlinedSubroutine && d.contains(e, at):
			call := inlined{name: d.name(e)}
			if n, ok := e.Val(dwarf.AttrCallFile).(int64); ok && n >= 0 && int(n) < len(unit.files) && unit.files[n] != nil {
				call.callFile = unit.files[n].Name
			}
			call.callLine, _ = e.Val(dwarf.AttrCallLine).(int64)
			levels = append(levels, call)
			if !e.Children {
				return outer, levels
			}
		case e.Tag == dwarf.TagLexDwarfBlock && d.contains(e, at):
		default:
			r.SkipChildren()
			e.Children = false
		}
	}
}

func (d *debugInfo) contains(e *dwarf.Entry, at uint64) bool {
	ranges, err := d.data.Ranges(e)
	return err == nil && slices.ContainsFunc(ranges, func(r [2]uint64) bool { return r[0] <= at && at < r[1] })
}

// name gives the name of a function, which is that of what it was made from where
// it is an instance.
func (d *debugInfo) name(e *dwarf.Entry) debugName {
	for range 3 { // an instance of a declaration outside of its class
		if name, ok := e.Val(dwarf.AttrName).(string); ok {
			start, _ := e.Val(dwarf.AttrDeclLine).(int64)
			return debugName{name, start}
		}
		origin, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			origin, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset)
		}
		if !ok {
			return debugName{}
		}
		if known, ok := d.names[origin]; ok {
			return known
		}
		r := d.data.Reader()
		r.Seek(origin)
		next, err := r.Next()
		if err != nil || next == nil {
			return debugName{}
		}
		e = next
		if name, ok := e.Val(dwarf.AttrName).(string); ok {
			start, _ := e.Val(dwarf.AttrDeclLine).(int64)
			d.names[origin] = debugName{name, start}
		}
	}
	return debugName{}
}
