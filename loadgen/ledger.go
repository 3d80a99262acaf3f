package loadgen

import (
	"fmt"
	"io"
	"sync"

	"mslab/results/record"
)

const ledgerBlock = 64 << 10 // bytes handed over at a time

// ledgerWriter takes lines from a load loop and writes them from a goroutine
// of its own, so that a slow disk is not taken for a slow server. A nil
// *ledgerWriter takes nothing.
type ledgerWriter struct {
	block []byte
	full  chan []byte
	spare chan []byte
	done  sync.WaitGroup
	err   error // read after done
}

func newLedgerWriter(w io.Writer) *ledgerWriter {
	if w == nil {
		return nil
	}
	// 64 blocks of 64 KiB are about 28,000 lines.
	l := &ledgerWriter{full: make(chan []byte, 64), spare: make(chan []byte, 64)}
	l.done.Go(func() {
		for block := range l.full {
			if l.err == nil {
				_, l.err = w.Write(block)
			}
			select {
			case l.spare <- block[:0]:
			default:
			}
		}
	})
	return l
}

func (l *ledgerWriter) add(b record.Batch) {
	if l == nil {
		return
	}
	l.block = b.AppendJSON(l.block)
	if len(l.block) < ledgerBlock {
		return
	}
	l.full <- l.block
	select {
	case l.block = <-l.spare:
	default:
		l.block = make([]byte, 0, ledgerBlock+1024)
	}
}

// close writes what is left and returns the first error.
func (l *ledgerWriter) close() error {
	if l == nil {
		return nil
	}
	l.full <- l.block
	close(l.full)
	l.done.Wait()
	if l.err != nil {
		return fmt.Errorf("write the ledger: %w", l.err)
	}
	return nil
}

// outcomeOf tells what the ledger says of a batch.
func outcomeOf(class record.Class, delivered bool) record.Outcome {
	switch {
	case class == record.OK:
		return record.BatchOK
	case delivered && class.InDoubt():
		return record.BatchInDoubt
	}
	return record.BatchFailed
}
