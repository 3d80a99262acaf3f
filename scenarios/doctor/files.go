package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mslab/results"
)

// Checks lists the checks of this system, in the order in which they are shown.
func Checks(o Options) []results.Check {
	list := systemChecks(o)
	for _, f := range o.Folders {
		list = append(list, results.Check{Name: f.Name, Try: f.try})
	}
	return append(list, results.Check{Name: "test tools", Try: testTools})
}

// try writes a file, removes it, and asks for the free space.
func (f Folder) try(context.Context) results.Finding {
	path, err := filepath.Abs(f.Path)
	if err != nil {
		return results.Fails("change to a folder that exists", "look for %s: %v", f.Path, cause(err))
	}
	folder, err := nearestFolder(path)
	if err != nil {
		return results.Fails("create it, or choose another folder", "look for %s: %v", path, cause(err))
	}
	what := folder
	if folder != path {
		what = fmt.Sprintf("%s, where %s would be made", folder, filepath.Base(path))
	}
	if err := writeAndRemove(folder); errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return results.Fails(fmt.Sprintf("make room: %s or more", sizeText(f.Free)), "write a file in %s: %v", what, cause(err))
	} else if err != nil {
		return results.Fails("make it writable for this user, or choose another folder", "write a file in %s: %v", what, cause(err))
	}
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return results.Fails("choose a folder on another file system", "ask for the free space of %s: %v", what, err)
	}
	free := int64(s.Bavail) * int64(s.Bsize)
	if free < f.Free {
		return results.Fails(fmt.Sprintf("make room: %s or more", sizeText(f.Free)), "wrote and removed a file in %s, but only %s are free", what, sizeText(free))
	}
	return results.Works("wrote and removed a file in %s; %s free", what, sizeText(free))
}

// nearestFolder is the folder, or the closest one above it that exists.
func nearestFolder(path string) (string, error) {
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is not a folder", path)
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist) || filepath.Dir(path) == path:
			return "", err
		}
		path = filepath.Dir(path)
	}
}

func writeAndRemove(folder string) error {
	file, err := os.CreateTemp(folder, ".mslab-doctor-*")
	if err != nil {
		return err
	}
	_, err = file.Write(make([]byte, 4096)) // a block
	for _, failed := range []error{file.Close(), os.Remove(file.Name())} {
		if err == nil {
			err = failed
		}
	}
	return err
}

// sizeText prints a number of bytes.
func sizeText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}

// testTools looks for what tests and benchmarks call, by the name of the
// command and of Debian's package.
func testTools(context.Context) results.Finding {
	var found, missing, packages []string
	for _, tool := range []struct{ command, pkg string }{
		{"strace", "strace"}, {"ss", "iproute2"}, {"wrk", "wrk"}, {"cc", "gcc"},
	} {
		if findTool(tool.command) != "" {
			found = append(found, tool.command)
		} else {
			missing, packages = append(missing, tool.command), append(packages, tool.pkg)
		}
	}
	if len(missing) > 0 {
		return results.Fails("install "+strings.Join(packages, ", ")+" (Debian's names); only tests and benchmarks want them",
			"looked for strace, ss, wrk and cc; missing: %s", strings.Join(missing, ", "))
	}
	return results.Works("found %s", strings.Join(found, ", "))
}

// findTool is the path of a command, "" where there is none. Administrators'
// commands are often outside of a user's PATH.
func findTool(command string) string {
	if path, err := exec.LookPath(command); err == nil {
		return path
	}
	for _, folder := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(folder, command)); err == nil {
			return path
		}
	}
	return ""
}
