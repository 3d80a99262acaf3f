package server

import (
	"errors"
	"sync"
	"sync/atomic"

	"mslab/server/sink"
)

// errSinkClosed acknowledges what is put into a closed sink.
var errSinkClosed = errors.New("sink is closed")

// sinkSync writes each batch to the file within the request that brought it.
type sinkSync struct {
	mu     sync.Mutex
	file   *linesFile
	closed atomic.Bool // before the lock, so that those who wait for it give up
	lines  sync.Pool
}

func newSinkSync(file *linesFile) *sinkSync {
	return &sinkSync{file: file, lines: sync.Pool{New: func() any { return new([]byte) }}}
}

func (s *sinkSync) Put(batch *sink.Batch, ack sink.Ack) {
	buffer := s.lines.Get().(*[]byte)
	*buffer = appendJSONLines((*buffer)[:0], batch)
	s.mu.Lock()
	err := errSinkClosed
	if !s.closed.Load() {
		err = s.file.write(*buffer, 1)
	}
	s.mu.Unlock()
	s.lines.Put(buffer)
	ack(err)
}

// Pending is always 0: what Put took is written when it returns.
func (s *sinkSync) Pending() int64 { return 0 }

func (s *sinkSync) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file.close()
}
