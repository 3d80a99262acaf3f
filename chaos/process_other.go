//go:build !linux

package chaos

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

func errNotSupported() error { return fmt.Errorf("not supported on %s", runtime.GOOS) }

func ownProgram() string {
	exe, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return exe
}

func startTicks(int) (uint64, error) { return 0, nil }

func bootID() string { return "" }

func ownNetNS() (uint64, error) { return 0, nil }

func namespaceHolder(uint64) (where string, lives bool) { return "", true }

func outerUID() uint32 { return uint32(os.Getuid()) }

func terminate(o Owner) error {
	if err := syscall.Kill(o.PID, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop process %d: %w", o.PID, err)
	}
	return nil
}

func resolve(t Target) (Target, error) { return t, nil }
