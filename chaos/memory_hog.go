package chaos

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// hogPrefix begins the argument by which this program, started once more as it is
// for the reaper, becomes a hog.
const hogPrefix = "hog:"

// What a hog writes, a byte each.
const (
	hogReady   = 'r' // it runs, and waits to be let go
	hogBlock   = 'b' // a block is allocated, and each of its pages is written to
	hogRefused = 'm' // the kernel refused to map a block
	hogFull    = 'f' // all blocks are there
)

// hogArgument is the argument for a number of blocks of a size in bytes.
func hogArgument(blocks int, size int64) string {
	return fmt.Sprintf("%s%d:%d", hogPrefix, blocks, size)
}

func parseHogArgument(argument string) (blocks int, size int64, err error) {
	rest, ok := strings.CutPrefix(argument, hogPrefix)
	count, bytes, cut := strings.Cut(rest, ":")
	if ok && cut {
		blocks, err = strconv.Atoi(count)
		if err == nil {
			size, err = strconv.ParseInt(bytes, 10, 64)
		}
	}
	if !ok || !cut || err != nil || blocks < 1 || blocks > maxBlocks || size < 1 || size > maxSize {
		return 0, 0, errors.New("this command is for mslab itself: it allocates until it is killed")
	}
	return blocks, size, nil
}
