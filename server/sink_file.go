package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// LinesFile is the name of the file in the data directory that holds the
// stored metrics, one JSON line each.
const LinesFile = "metrics.jsonl"

// linesFile is the file of JSON Lines. It is written by one goroutine at a time
// and holds whole lines only: a write that fails half-way is cut off again.
type linesFile struct {
	file   *os.File
	size   int64
	delay  time.Duration // slept in each write; a fault hook
	errors atomic.Int64  // batches that could not be written
	// writing is the time spent in writes, in ns: an atomic for those who read
	// it, since only one goroutine at a time adds to it.
	writing atomic.Int64
	broken  error // set once a torn write could not be cut off
	failed  bool  // the last write
	// logf tells the operator; nil where nobody listens.
	logf func(format string, arguments ...any)
}

// openLines opens or creates the file in dir, which it creates too. It takes an
// advisory lock, so that two servers never write the same file, and cuts off a
// torn last line that a killed server has left.
func openLines(dir string, delay time.Duration) (*linesFile, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create data directory %s: %w; choose another with --data", dir, err)
	}
	path := filepath.Join(dir, LinesFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open data file: %w; choose another directory with --data", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data file %s: another server writes it; choose another directory with --data", path)
		}
		return nil, fmt.Errorf("lock data file %s: %w", path, err)
	}
	f := &linesFile{file: file, delay: delay}
	if err := f.cutTornLine(); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("repair data file %s: %w", path, err)
	}
	return f, nil
}

// cutTornLine truncates the file behind its last newline.
func (f *linesFile) cutTornLine() error {
	end, err := f.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	for whole := end; ; {
		if whole == 0 {
			f.size = 0
			break
		}
		n := min(whole, int64(len(block)))
		if _, err := f.file.ReadAt(block[:n], whole-n); err != nil {
			return err
		}
		if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
			f.size = whole - n + int64(i) + 1
			break
		}
		whole -= n
	}
	if f.size == end {
		return nil
	}
	return f.file.Truncate(f.size)
}

// write appends whole lines that belong to so many batches.
func (f *linesFile) write(lines []byte, batches int) error {
	begin := time.Now()
	defer func() { f.writing.Add(int64(time.Since(begin))) }()
	if f.delay > 0 {
		delayWrite(f.delay)
	}
	err := f.broken
	if err == nil {
		err = f.writeWhole(lines)
	}
	if err != nil {
		f.errors.Add(int64(batches))
	}
	f.tell(err)
	return err
}

// writeWhole writes all of the lines or none.
func (f *linesFile) writeWhole(lines []byte) error {
	n, err := f.file.Write(lines)
	if err == nil {
		f.size += int64(n)
		return nil
	}
	if n > 0 {
		if cutErr := f.file.Truncate(f.size); cutErr != nil {
			f.broken = fmt.Errorf("cut off a torn write: %w", cutErr)
		}
	}
	return fmt.Errorf("write metrics: %w", err)
}

// tell logs when writing begins to fail and when it works again: a line for
// each batch would flood the log, none would hide what memory acknowledged.
func (f *linesFile) tell(err error) {
	failed := err != nil
	if failed == f.failed {
		return
	}
	f.failed = failed
	switch {
	case f.logf == nil:
	case failed:
		f.logf("%v; batches are lost and counted in sink_errors until writing works again", err)
	default:
		f.logf("writing metrics works again")
	}
}

// close makes the file durable and closes it, which releases its lock.
func (f *linesFile) close() error {
	// EINVAL: a special file, which has nothing to make durable (fsync(2)).
	if err := f.file.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		_ = f.file.Close()
		return fmt.Errorf("sync data file: %w", err)
	}
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("close data file: %w", err)
	}
	return nil
}
