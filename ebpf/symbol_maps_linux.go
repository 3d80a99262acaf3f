//go:build amd64 || arm64

package ebpf

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// region is a stretch of a process' memory with code.
type region struct {
	start, end, offset uint64 // offset in the file
	path               string // or [vdso] and the like
	image              *image // nil: no file to look into
}

// frames gives the functions at an address, innermost first.
func (r *region) frames(address uint64) []frame {
	if r.image == nil {
		return nil
	}
	return r.image.frames(address - r.start + r.offset)
}

// addressSpace is what a program has mapped that can be executed.
type addressSpace struct {
	comm    string
	regions []region // by address
	looks   int      // how often it was read again
	looked  time.Time
}

// readAddressSpace reads what a process has mapped; it is empty where that is gone
// or forbidden. The files are opened now, while they can be found.
func readAddressSpace(pid int, files *fileCache) *addressSpace {
	a := &addressSpace{}
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return a
	}
	maps, err := proc.ProcMaps()
	if err != nil {
		return a
	}
	for _, m := range maps {
		if m.Perms == nil || !m.Perms.Execute {
			continue
		}
		r := region{start: uint64(m.StartAddr), end: uint64(m.EndAddr), offset: uint64(m.Offset), path: strings.TrimSuffix(m.Pathname, " (deleted)")}
		switch {
		case r.path == "[vdso]":
			r.image = files.vdso()
		case m.Inode != 0:
			r.image = files.open(imageKey{m.Dev, m.Inode, r.path},
				fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, m.StartAddr, m.EndAddr),
				fmt.Sprintf("/proc/%d/root%s", pid, r.path))
		case r.path == "":
			r.path = "[anonymous]" // code made at run time
		}
		a.regions = append(a.regions, r)
	}
	a.sort()
	return a
}

func (a *addressSpace) sort() {
	slices.SortFunc(a.regions, func(x, y region) int { return cmp.Compare(x.start, y.start) })
}

// find gives the region of an address, nil where none is known.
func (a *addressSpace) find(address uint64) *region {
	i, ok := slices.BinarySearchFunc(a.regions, address, func(r region, at uint64) int { return cmp.Compare(r.start, at) })
	if !ok {
		i--
	}
	if i < 0 || address >= a.regions[i].end {
		return nil
	}
	return &a.regions[i]
}

// add takes over regions that were not there before.
func (a *addressSpace) add(later *addressSpace) {
	for _, r := range later.regions {
		if !slices.ContainsFunc(a.regions, func(o region) bool { return r.start < o.end && o.start < r.end }) {
			a.regions = append(a.regions, r)
		}
	}
	a.sort()
}

// frameless tells whether the function at an address has no frame there, so that
// the chain of frames leaves its caller out.
func (a *addressSpace) frameless(address uint64) bool {
	r := a.find(address)
	return r != nil && r.image != nil && r.image.frameless(address-r.start+r.offset)
}

// imageKey tells files apart.
type imageKey struct {
	device, inode uint64
	path          string
}

// fileCache opens each file once.
type fileCache struct {
	images map[imageKey]*image
	own    *image // the vdso
}

func newFileCache() *fileCache { return &fileCache{images: map[imageKey]*image{}} }

// open gives the image of a file, by the first of the paths that opens.
func (c *fileCache) open(key imageKey, paths ...string) *image {
	if i, ok := c.images[key]; ok {
		return i
	}
	var i *image
	for _, path := range paths {
		if file, err := os.Open(path); err == nil {
			i = &image{reader: file, closer: file}
			break
		}
	}
	c.images[key] = i
	return i
}

// vdso gives the code that the kernel maps into every process of this
// architecture: this one's own.
func (c *fileCache) vdso() *image {
	if c.own != nil {
		return c.own
	}
	c.own = &image{}
	self, err := procfs.Self()
	if err != nil {
		return c.own
	}
	maps, err := self.ProcMaps()
	if err != nil {
		return c.own
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		return c.own
	}
	defer memory.Close()
	for _, m := range maps {
		if m.Pathname != "[vdso]" {
			continue
		}
		code := make([]byte, m.EndAddr-m.StartAddr)
		if _, err := memory.ReadAt(code, int64(m.StartAddr)); err == nil {
			c.own.reader = strings.NewReader(string(code))
		}
	}
	return c.own
}

func (c *fileCache) close() {
	for _, i := range c.images {
		if i != nil && i.closer != nil {
			_ = i.closer.Close() // only read
		}
	}
}
