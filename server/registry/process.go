package registry

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Running tells whether there is a process of this id. It asks by signal 0;
// EPERM means that it exists and is another user's.
func Running(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// checkOwner refuses a folder that another user could have laid out in the
// shared temporary folder.
func checkOwner(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at registry: %w", err)
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || ok && int(status.Uid) != os.Getuid() {
		return fmt.Errorf("use registry %s: it is no folder of this user's; remove it or set XDG_RUNTIME_DIR", dir)
	}
	return nil
}
