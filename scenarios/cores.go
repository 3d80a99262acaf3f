package scenarios

import (
	"fmt"
	"strconv"
	"strings"
)

// cores is who runs where. Empty lists mean that nothing is pinned.
type cores struct {
	all, server, generator []int
}

// splitCores gives the server half of the cores, the larger half where their
// number is odd, since the generator sends from one thread. One core cannot be
// split.
func splitCores(allowed []int) cores {
	c := cores{all: allowed}
	if len(allowed) < 2 {
		return c
	}
	half := len(allowed) / 2
	c.generator, c.server = allowed[:half], allowed[half:]
	return c
}

// pinned says whether server and generator have cores of their own.
func (c cores) pinned() bool { return len(c.server) > 0 }

// forServer is the number of cores that the server can use.
func (c cores) forServer() int {
	if c.pinned() {
		return len(c.server)
	}
	return len(c.all)
}

// String is the pinning as the record keeps it.
func (c cores) String() string {
	if !c.pinned() {
		return fmt.Sprintf("none: %d core", len(c.all))
	}
	return fmt.Sprintf("server on %s, generator on %s", coreList(c.server), coreList(c.generator))
}

func coreList(list []int) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = strconv.Itoa(n)
	}
	if len(list) == 1 {
		return "core " + words[0]
	}
	return "cores " + strings.Join(words, ",")
}
