package server

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"mslab/server/sink"
)

const (
	// asyncCapacity bounds the batches in the queue, asyncBytes the bodies of
	// those not yet written, whose metrics take a few times as much memory.
	// Beyond either a batch is refused.
	asyncCapacity = 1 << 16
	asyncBytes    = 256 << 20
	// asyncWriteSize is the number of bytes from which the writer does not wait
	// for further batches of the same round before it writes.
	asyncWriteSize = 256 << 10
)

// errSinkFull acknowledges a batch for which there is no room; the request is
// answered with 503.
var errSinkFull = errors.New("the writer is behind")

// sinkAsync queues batches in memory; a writer thread takes all that wait at
// once and writes them to the file together.
type sinkAsync struct {
	file       *linesFile
	ackWritten bool // acknowledge after the write instead of at once

	mu       sync.Mutex
	nonEmpty sync.Cond
	queue    []queuedBatch
	closed   bool

	pending atomic.Int64 // batches not yet written
	bytes   atomic.Int64 // of their bodies
	writer  sync.WaitGroup
}

type queuedBatch struct {
	batch *sink.Batch
	ack   sink.Ack // nil where it has been called
}

func newSinkAsync(file *linesFile, ackWritten bool) *sinkAsync {
	s := &sinkAsync{file: file, ackWritten: ackWritten}
	s.nonEmpty.L = &s.mu
	s.writer.Go(s.writeQueued)
	return s
}

func (s *sinkAsync) Put(batch *sink.Batch, ack sink.Ack) {
	queued := queuedBatch{batch: batch}
	if s.ackWritten {
		queued.ack = ack
	}
	if err := s.enqueue(queued); err != nil || !s.ackWritten {
		ack(err)
	}
}

func (s *sinkAsync) enqueue(queued queuedBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errSinkClosed
	case len(s.queue) >= asyncCapacity || s.bytes.Load()+int64(queued.batch.Size) > asyncBytes:
		return errSinkFull
	}
	s.pending.Add(1)
	s.bytes.Add(int64(queued.batch.Size))
	s.queue = append(s.queue, queued)
	if len(s.queue) == 1 {
		s.nonEmpty.Signal()
	}
	return nil
}

func (s *sinkAsync) Pending() int64 { return s.pending.Load() }

func (s *sinkAsync) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.nonEmpty.Signal()
	s.mu.Unlock()
	s.writer.Wait()
	return s.file.close()
}

// writeQueued is the writer: a thread of its own, as in the original.
func (s *sinkAsync) writeQueued() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var taken []queuedBatch
	var lines []byte
	for {
		taken = s.take(taken[:0])
		if len(taken) == 0 {
			return
		}
		for start := 0; start < len(taken); {
			lines = lines[:0]
			end := start
			for ; end < len(taken) && len(lines) < asyncWriteSize; end++ {
				lines = appendJSONLines(lines, taken[end].batch)
			}
			s.finish(taken[start:end], s.file.write(lines, end-start))
			start = end
		}
		clear(taken)
	}
}

// take waits for batches and swaps the queue for the empty slice given. It
// returns none once the sink is closed and everything is taken.
func (s *sinkAsync) take(empty []queuedBatch) []queuedBatch {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && !s.closed {
		s.nonEmpty.Wait()
	}
	taken := s.queue
	s.queue = empty
	return taken
}

func (s *sinkAsync) finish(written []queuedBatch, err error) {
	bytes := 0
	for _, queued := range written {
		bytes += queued.batch.Size
	}
	s.bytes.Add(-int64(bytes))
	s.pending.Add(-int64(len(written)))
	for _, queued := range written {
		if queued.ack != nil {
			queued.ack(err)
		}
	}
}
