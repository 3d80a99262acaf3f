package scenarios

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// layoutRole lays out a /run of its own mount namespace as systemd does, plays
// a report in a sandbox as nobody, and checks what was written there. args are
// the working folder and the others to write to.
func layoutRole(args []string) int {
	if err := layOut(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command("/proc/self/exe", append([]string{roleInside, "files"}, args...)...)
	cmd.Env = append(os.Environ(), roleEnv+"="+roleOuter)
	cmd.Dir, cmd.Stdout, cmd.Stderr = args[0], os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, dir := range args {
		file := filepath.Join(dir, "written")
		info, err := os.Stat(file)
		if err != nil || readFile(file) != "inside" || info.Sys().(*syscall.Stat_t).Uid != nobody {
			fmt.Fprintf(os.Stderr, "%s is not what was written inside: %v, %v\n", file, info, err)
			return 1
		}
	}
	return 0
}

func layOut() error {
	own := filepath.Join(runFolder, "user", strconv.Itoa(nobody))
	err := unix.Mount("tmpfs", runFolder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	if err == nil {
		err = os.MkdirAll(own, 0o755)
	}
	if err == nil {
		err = unix.Mount("tmpfs", own, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700,uid="+strconv.Itoa(nobody))
	}
	for _, dir := range []string{"lock", "secret"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(runFolder, dir), 0o700))
	}
	return errors.Join(err, os.Chmod(filepath.Join(runFolder, "lock"), 0o1777), os.Symlink("lock", filepath.Join(runFolder, "link")),
		unix.Mkfifo(filepath.Join(runFolder, "fifo"), 0o600), os.WriteFile(filepath.Join(runFolder, "xtables.lock"), nil, 0o600))
}

// TestSandboxKeepsWhatLiesInRun writes to folders in /run as nobody.
func TestSandboxKeepsWhatLiesInRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root to lay out /run")
	}
	own := "/run/user/" + strconv.Itoa(nobody)
	for _, c := range []struct {
		name    string
		folders []string
		covered bool
	}{
		{"user folder", []string{own, own + "/mslab", own + "/new/out"}, true},
		{"other folders", []string{"/run/lock", "/run/link/out"}, true},
		{"working folder is run", []string{"/run"}, false},
		{"new folder in run", []string{"/run/lock", "/run/out"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := asNobody()
			u.want(t)
			cmd := u.command(t, roleLayout, c.folders...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
			got := report(t, cmd)
			// The lock of the layout is root's, and cannot be had there.
			if got.Inside != UserSandbox || got.Covered != c.covered || c.covered != (got.Lock == "") {
				t.Errorf("covered %v, want %v; lock: %q", got.Covered, c.covered, got.Lock)
			}
		})
	}
}
