package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadFile reads a JSON file of at most limit bytes. It is for files that
// others may have put there: what is no regular file (a folder, a pipe nobody
// writes to, a device without an end) is refused before it is read, and so is
// what does not begin as a JSON object or goes on beyond the limit, after one
// block of it. The error names the file and says what to do.
func ReadFile(path string, limit int64) ([]byte, error) {
	file, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := readAll(file, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	return data, nil
}

// OpenRegular opens a regular file for reading, at once or not at all: to open a
// pipe would wait for its writer. The error names the file and what it is.
func OpenRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err == nil {
		err = regular(info)
	}
	var file *os.File
	if err == nil {
		// What was a file a moment ago may be a pipe by now.
		file, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}
	if err == nil {
		if info, err = file.Stat(); err == nil {
			err = regular(info)
		}
		if err != nil {
			_ = file.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	return file, nil
}

func regular(info fs.FileInfo) error {
	what := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	default:
		what = "a device"
	}
	return fmt.Errorf("it is %s, not a file; name a file that mslab wrote", what)
}

// headBytes decide whether it is worth reading on.
const headBytes = 4096

// readAll reads what begins as a JSON object and ends within limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	head := make([]byte, headBytes)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	head = head[:n]
	switch text := bytes.TrimLeft(head, " \t\r\n"); {
	case n == 0:
		return nil, errors.New("the file is empty; what wrote it was stopped, so measure again")
	case len(text) > 0 && text[0] != '{':
		return nil, fmt.Errorf("not JSON: it begins with %q; name a file that mslab wrote", text[:min(len(text), 16)])
	case n < headBytes:
		return head, nil
	}
	// One byte more tells what ends at the limit from what goes on.
	rest, err := io.ReadAll(io.LimitReader(r, limit-int64(n)+1))
	if err != nil {
		return nil, err
	}
	if int64(n+len(rest)) > limit {
		return nil, fmt.Errorf("it is larger than %d MiB, which nothing that mslab writes is; name a file that mslab wrote", limit>>20)
	}
	return append(head, rest...), nil
}
