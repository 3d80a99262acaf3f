//go:build amd64 || arm64

package ebpf

import (
	"slices"
	"time"

	"github.com/google/pprof/profile"
)

func int64ToDuration(ns int64) time.Duration { return time.Duration(ns) }

// frame is one function on a stack, by name and line.
type frame struct {
	function string
	file     string
	line     int64
	start    int64 // the function's first line, 0: not known
}

// builder makes a profile of addresses. Each address is looked up once.
type builder struct {
	profile   *profile.Profile
	files     *fileCache
	kernel    *kernelSymbols
	functions map[frame]*profile.Function
	locations map[locationKey]*profile.Location
	mappings  map[mappingKey]*profile.Mapping
	noSymbols map[string]bool // files without names
}

type locationKey struct {
	mapping *profile.Mapping
	address uint64
	name    string // of a location that has no address
}

type mappingKey struct {
	start, limit, offset uint64
	file                 string
}

func newBuilder(files *fileCache, period int64) *builder {
	return &builder{
		files: files, kernel: readKernelSymbols(),
		functions: map[frame]*profile.Function{}, locations: map[locationKey]*profile.Location{}, mappings: map[mappingKey]*profile.Mapping{},
		noSymbols: map[string]bool{},
		profile: &profile.Profile{
			SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
			PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
			Period:     period,
		},
	}
}

func (b *builder) mapping(k mappingKey) *profile.Mapping {
	m := b.mappings[k]
	if m == nil {
		m = &profile.Mapping{Start: k.start, Limit: k.limit, Offset: k.offset, File: k.file,
			HasFunctions: true, HasFilenames: true, HasLineNumbers: true, HasInlineFrames: true}
		b.mappings[k] = m
		b.profile.Mapping = append(b.profile.Mapping, m)
	}
	return m
}

func (b *builder) kernelMapping() *profile.Mapping {
	return b.mapping(mappingKey{start: 1 << 63, limit: ^uint64(0), file: KernelMapping})
}

func (b *builder) function(f frame) *profile.Function {
	key := frame{function: f.function, file: f.file, start: f.start}
	fn := b.functions[key]
	if fn == nil {
		fn = &profile.Function{Name: f.function, SystemName: f.function, Filename: f.file, StartLine: f.start}
		b.functions[key] = fn
		b.profile.Function = append(b.profile.Function, fn)
	}
	return fn
}

// location gives the location of an address, whose frames are looked up when it
// is new.
func (b *builder) location(m *profile.Mapping, address uint64, frames func() []frame) *profile.Location {
	return b.locate(locationKey{mapping: m, address: address}, frames)
}

// named gives a location that is known by a name alone.
func (b *builder) named(m *profile.Mapping, name string) *profile.Location {
	return b.locate(locationKey{mapping: m, name: name}, func() []frame { return []frame{{function: name}} })
}

func (b *builder) locate(key locationKey, frames func() []frame) *profile.Location {
	l := b.locations[key]
	if l == nil {
		l = &profile.Location{Mapping: key.mapping, Address: key.address}
		for _, f := range frames() {
			l.Line = append(l.Line, profile.Line{Function: b.function(f), Line: f.line})
		}
		b.locations[key] = l
		b.profile.Location = append(b.profile.Location, l)
	}
	return l
}

// kernelStack gives the kernel's part of a stack. Addresses but the innermost are
// those after a call.
func (b *builder) kernelStack(addresses []uint64) []*profile.Location {
	if len(addresses) == 0 {
		return nil
	}
	if b.kernel.hidden {
		return []*profile.Location{b.named(b.kernelMapping(), "[kernel]")}
	}
	var list []*profile.Location
	for i, address := range addresses {
		if i > 0 {
			address--
		}
		list = append(list, b.location(b.kernelMapping(), address, func() []frame { return b.kernel.frames(address) }))
	}
	return list
}

// userStack gives the user's part of a stack. caller is where its innermost
// function returns to if it has made no frame.
func (b *builder) userStack(space *addressSpace, addresses []uint64, caller uint64) []*profile.Location {
	if len(addresses) == 0 {
		return nil
	}
	if space.frameless(addresses[0]) && caller != 0 && (len(addresses) == 1 || addresses[1] != caller) && space.find(caller) != nil {
		addresses = slices.Insert(slices.Clone(addresses), 1, caller)
	}
	var list []*profile.Location
	for i, address := range addresses {
		if i > 0 {
			address--
		}
		list = append(list, b.userLocation(space, address))
	}
	return list
}

func (b *builder) userLocation(space *addressSpace, address uint64) *profile.Location {
	r := space.find(address)
	if r == nil {
		name := space.comm
		if name == "" {
			name = "unknown"
		}
		return b.named(nil, "["+name+"]")
	}
	m := b.mapping(mappingKey{r.start, r.end, r.offset, r.path})
	return b.location(m, address, func() []frame {
		frames := r.frames(address)
		if len(frames) == 0 {
			b.noSymbols[r.path] = true
			frames = []frame{{function: "[" + baseName(r.path) + "]"}}
		}
		return frames
	})
}

// notes say what the profile lacks.
func (b *builder) notes() []string {
	var notes []string
	if b.kernel.hidden {
		notes = append(notes, "The kernel's functions are one, [kernel]: /proc/kallsyms hides their addresses (kernel.kptr_restrict).")
	}
	return notes
}

// finish numbers what the profile is made of.
func (b *builder) finish(c *CPUProfile) *profile.Profile {
	p := b.profile
	p.DurationNanos = int64(c.Elapsed)
	p.TimeNanos = time.Now().Add(-c.Elapsed).UnixNano()
	// The program's own file first: tools name the profile after it.
	slices.SortStableFunc(p.Mapping, func(x, y *profile.Mapping) int { return rank(x) - rank(y) })
	for i, m := range p.Mapping {
		m.ID = uint64(i + 1)
	}
	for i, f := range p.Function {
		f.ID = uint64(i + 1)
	}
	for i, l := range p.Location {
		l.ID = uint64(i + 1)
	}
	return p
}

// rank orders mappings: programs, libraries, what is no file.
func rank(m *profile.Mapping) int {
	switch {
	case m.File == "" || m.File[0] == '[':
		return 2
	case isLibrary(m.File):
		return 1
	}
	return 0
}
