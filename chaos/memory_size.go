package chaos

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeUnits are the units of a size, largest first; a bare letter is the binary
// unit, as the kernel's cgroup files read it.
var sizeUnits = []struct {
	names []string
	bytes int64
}{
	{[]string{"GiB", "G"}, 1 << 30},
	{[]string{"MiB", "M"}, 1 << 20},
	{[]string{"KiB", "K"}, 1 << 10},
	{[]string{"B", ""}, 1},
}

// parseSize reads a size in bytes, as 4MiB, 64M, 1.5GiB or 4096.
func parseSize(text string) (int64, error) {
	for _, unit := range sizeUnits {
		for _, name := range unit.names {
			number, has := strings.CutSuffix(text, name)
			if !has || name == "" && number == "" {
				continue
			}
			value, err := strconv.ParseFloat(number, 64)
			if err != nil || !isPlain(number) {
				break
			}
			if bytes := value * float64(unit.bytes); bytes < math.MaxInt64/2 {
				return int64(bytes), nil
			}
		}
	}
	return 0, fmt.Errorf("read size %q: give a number of bytes, or one with KiB, MiB or GiB, as 4MiB", text)
}

// isPlain tells whether a number is digits with at most one point: strconv would
// take signs, exponents, underscores and infinities too.
func isPlain(number string) bool {
	return number != "" && strings.Trim(number, "0123456789.") == "" && number[0] != '.'
}

// formatSize writes a size to a tenth of its unit, as 4 MiB or 61.4 MiB.
func formatSize(bytes int64) string {
	for _, unit := range sizeUnits {
		if bytes >= unit.bytes && unit.bytes > 1 {
			return strconv.FormatFloat(math.Round(10*float64(bytes)/float64(unit.bytes))/10, 'f', -1, 64) + " " + unit.names[0]
		}
	}
	return strconv.FormatInt(bytes, 10) + " B"
}
