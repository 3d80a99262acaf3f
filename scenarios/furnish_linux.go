package scenarios

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// furnish makes the sandbox that this process is in fit for a run whose files
// lie in keep. The notes say what is not as it should be.
func furnish(keep ...string) (notes []string, err error) {
	m, err := readMark()
	if err != nil {
		return nil, fmt.Errorf("furnish a sandbox: %w", err)
	}
	// This process' group is in the background: with `stty tostop` the terminal
	// would stop it at the first line that it writes.
	signal.Ignore(unix.SIGTTOU)
	if err := loopbackUp(); err != nil {
		return nil, err
	}
	if err := CoverRun(keep...); err != nil {
		return nil, err
	}
	return takeOver(m.Sysctls), nil
}

// tryFurnishing tries in a sandbox that nobody uses what furnish needs.
func tryFurnishing() error {
	if err := loopbackUp(); err != nil {
		return err
	}
	const own = "net.ipv4.tcp_abort_on_overflow"
	restore, err := setSysctls(map[string]string{own: "1"})
	if err != nil {
		return err
	}
	return errors.Join(restore(), CoverRun())
}

// loopbackUp brings up the loopback device, which a new network namespace has
// but keeps down.
func loopbackUp() error {
	fail := func(err error) error { return fmt.Errorf("bring up the loopback device: %w", err) }
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fail(err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return fail(err)
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fail(err)
	}
	return nil
}

const (
	runFolder = "/run"
	// runMarker lies in a /run that is covered, and in no other.
	runMarker = "mslab-sandbox"
)

// CoverRun mounts a tmpfs over /run in the mount namespace of this process,
// which must be one of its own: iptables wants to write its lock there, and a
// sandbox must not share the host's. All that lies in /run is brought along, so
// that the folders of users and services ($XDG_RUNTIME_DIR, say) stay where they
// are; only what is made directly in /run stays in the tmpfs. So where one of
// the paths in keep, which need not exist, would no longer lead where it did,
// /run is left as it is. A missing /run is no error.
func CoverRun(keep ...string) error {
	fail := func(err error) error { return fmt.Errorf("mount a tmpfs over %s: %w", runFolder, err) }
	host, err := os.Open(runFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail(err)
	}
	defer func() { _ = host.Close() }()
	entries, err := host.ReadDir(-1)
	if err != nil {
		return fail(err)
	}
	marker := filepath.Join(runFolder, runMarker)
	if _, err := os.Lstat(marker); err == nil {
		return nil // covered already
	}
	before := make([]os.FileInfo, len(keep))
	for i, path := range keep {
		before[i] = nearestExisting(path)
	}
	if err := unix.Mount("tmpfs", runFolder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4m,mode=0755"); err != nil {
		return fail(err)
	}
	for _, entry := range entries {
		if entry.Name() != "xtables.lock" {
			bringAlong(host, entry) // what is missing then is seen below
		}
	}
	for i, path := range keep {
		if after := nearestExisting(path); before[i] != nil && (after == nil || !os.SameFile(before[i], after)) {
			if err := unix.Unmount(runFolder, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("uncover %s, where %s lies: %w", runFolder, path, err)
			}
			return nil
		}
	}
	if err := os.Mkdir(marker, 0o700); err != nil {
		return fail(err)
	}
	return nil
}

// sandboxFolder is a folder that dies with the sandbox, or else the temporary
// one.
func sandboxFolder() string {
	own := filepath.Join(runFolder, runMarker)
	if _, err := os.Lstat(own); err != nil {
		return os.TempDir()
	}
	return own
}

// bringAlong shows an entry of the covered folder in the folder that covers it.
// Some entries cannot be shown, such as the mount of another user.
func bringAlong(host *os.File, entry fs.DirEntry) {
	from := fmt.Sprintf("/proc/self/fd/%d/%s", host.Fd(), entry.Name())
	to := filepath.Join(runFolder, entry.Name())
	var err error
	switch {
	case entry.Type()&fs.ModeSymlink != 0:
		if target, readErr := os.Readlink(from); readErr == nil {
			_ = os.Symlink(target, to)
		}
		return
	case entry.IsDir():
		err = os.Mkdir(to, 0o755)
	default:
		err = os.WriteFile(to, nil, 0o644)
	}
	if err != nil {
		return
	}
	// With all mounts below it: without rights a part cannot be taken out.
	if unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "") != nil {
		_ = os.Remove(to)
	}
}

// nearestExisting is what path leads to, or, where that does not exist, the
// folder in which it would come to lie; nil where neither can be told.
func nearestExisting(path string) os.FileInfo {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	for {
		info, err := os.Stat(path)
		if err == nil {
			return info
		}
		if !errors.Is(err, fs.ErrNotExist) || path == "/" {
			return nil
		}
		path = filepath.Dir(path)
	}
}

// networkSysctls are those of sysctls that belong to a network namespace.
func networkSysctls(sysctls map[string]string) map[string]string {
	own := map[string]string{}
	for name, value := range sysctls {
		if strings.HasPrefix(name, "net.") {
			own[name] = value
		}
	}
	return own
}

// takeOver sets what is set otherwise outside, so that trials meet the same
// settings in a sandbox as on the host.
func takeOver(outside map[string]string) (notes []string) {
	for _, name := range sortedKeys(outside) {
		now, err := os.ReadFile(sysctlPath(name))
		if err != nil || strings.Join(strings.Fields(string(now)), " ") == outside[name] {
			continue
		}
		if err := os.WriteFile(sysctlPath(name), []byte(outside[name]), 0); err != nil {
			notes = append(notes, fmt.Sprintf("The sandbox does not have the host's %s = %s: %v.", name, outside[name], reason(err)))
		}
	}
	return notes
}
