//go:build !linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "open-loop: pacing to the microsecond is not supported on %s\n", runtime.GOOS)
	os.Exit(1)
}
