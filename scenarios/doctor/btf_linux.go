package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// btfFile holds the types of the running kernel.
const btfFile = "/sys/kernel/btf/vmlinux"

// sysEnterType is the id of the type by which a typed program is attached to
// sys_enter.
func sysEnterType() (id uint32, err error) {
	data, err := os.ReadFile(btfFile)
	if err != nil {
		return 0, err
	}
	return findTypedef(data, "btf_trace_"+bpfName)
}

var errBTF = errors.New("it is cut short or of another format")

// BTF is a header, a list of types, and their names
// (https://docs.kernel.org/bpf/btf.html). Types have no length: the kinds do.
const (
	btfMagic    = 0xeb9f
	btfHeader   = 24 // bytes
	btfType     = 12 // bytes, before what its kind adds
	kindTypedef = 8
)

// findTypedef is the id of the typedef of that name; ids count from 1.
func findTypedef(data []byte, name string) (id uint32, err error) {
	word := binary.NativeEndian.Uint32
	if len(data) < btfHeader || binary.NativeEndian.Uint16(data) != btfMagic {
		return 0, errBTF
	}
	header := uint64(word(data[4:]))
	section := func(at int) []byte {
		begin := header + uint64(word(data[at:]))
		if end := begin + uint64(word(data[at+4:])); end <= uint64(len(data)) {
			return data[begin:end]
		}
		return nil
	}
	types, names := section(8), section(16)
	for id = 1; len(types) >= btfType; id++ {
		info := word(types[4:])
		kind, members := info>>24&0x1f, int(info&0xffff)
		if kind == kindTypedef && nameAt(names, word(types), name) {
			return id, nil
		}
		size, ok := btfExtra(kind, members)
		if !ok || btfType+size > len(types) {
			return 0, errBTF
		}
		types = types[btfType+size:]
	}
	return 0, fmt.Errorf("it has no type %s", name)
}

// nameAt tells whether the string at offset is name.
func nameAt(names []byte, offset uint32, name string) bool {
	end := uint64(offset) + uint64(len(name))
	return end < uint64(len(names)) && names[end] == 0 && string(names[offset:end]) == name
}

// btfExtra is how many bytes follow a type of a kind with so many members.
func btfExtra(kind uint32, members int) (size int, ok bool) {
	switch kind {
	case 1, 14, 17: // integer, variable, declaration tag
		return 4, true
	case 2, 7, 8, 9, 10, 11, 12, 16, 18: // pointer, forward, typedef, qualifiers, function, float, type tag
		return 0, true
	case 3: // array
		return 12, true
	case 4, 5, 15, 19: // structure, union, data section, enumeration of 64 bits
		return 12 * members, true
	case 6, 13: // enumeration, function prototype
		return 8 * members, true
	}
	return 0, false
}
