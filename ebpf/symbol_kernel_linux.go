//go:build amd64 || arm64

package ebpf

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
)

// kernelSymbols are the kernel's functions by address.
type kernelSymbols struct {
	hidden    bool
	addresses []uint64
	names     []string
}

// readKernelSymbols reads /proc/kallsyms; the kernel shows zeros there to those
// who may not know.
func readKernelSymbols() *kernelSymbols {
	k := &kernelSymbols{hidden: true}
	file, err := os.Open("/proc/kallsyms")
	if err != nil {
		return k
	}
	defer file.Close()
	type symbol struct {
		address uint64
		name    string
	}
	var list []symbol
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		// ADDRESS TYPE NAME[\t[MODULE]]; t, T, w and W are code.
		address, rest, ok := strings.Cut(lines.Text(), " ")
		if !ok || len(rest) < 3 || !strings.ContainsRune("tTwW", rune(rest[0])) {
			continue
		}
		at, err := strconv.ParseUint(address, 16, 64)
		if err != nil || at == 0 {
			continue
		}
		name, _, _ := strings.Cut(rest[2:], "\t")
		list = append(list, symbol{at, name})
	}
	slices.SortStableFunc(list, func(a, b symbol) int {
		switch {
		case a.address < b.address:
			return -1
		case a.address > b.address:
			return 1
		}
		return 0
	})
	for _, s := range list {
		k.addresses, k.names = append(k.addresses, s.address), append(k.names, s.name)
	}
	k.hidden = len(list) == 0
	return k
}

func (k *kernelSymbols) frames(address uint64) []frame {
	i, exact := slices.BinarySearch(k.addresses, address)
	if !exact {
		i--
	}
	if i < 0 {
		return []frame{{function: "[kernel]"}}
	}
	// Several names for one address: the first one is the usual one.
	for i > 0 && k.addresses[i-1] == k.addresses[i] {
		i--
	}
	// Behind the last function lie those that the kernel makes at run time, such as
	// probes, whose names it hides by default (net.core.bpf_jit_kallsyms).
	if name := k.names[i]; address-k.addresses[i] < largestFunction && !slices.Contains([]string{"_etext", "_einittext"}, name) {
		return []frame{{function: name}}
	}
	return []frame{{function: "[kernel]"}}
}

// largestFunction bounds what is taken for a function of the kernel, whose list has
// no sizes.
const largestFunction = 256 << 10
