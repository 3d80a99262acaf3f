package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
)

// Outcome is what the generator knows of a batch.
type Outcome string

const (
	BatchOK      Outcome = "ok"       // the answer says that all was stored
	BatchFailed  Outcome = "failed"   // not sent, or refused by an answer
	BatchInDoubt Outcome = "in_doubt" // sent, and nobody said what became of it
)

// Batch is one line of the ledger: a batch of metrics that was sent.
type Batch struct {
	ID         string  `json:"id"` // the request's X-Correlation-ID
	Metrics    int     `json:"metrics"`
	SentNS     int64   `json:"sent_ns"`     // Unix time in ns
	AnsweredNS int64   `json:"answered_ns"` // Unix time in ns, 0 where no answer came
	Outcome    Outcome `json:"outcome"`
	Warmup     bool    `json:"warmup"`
}

// maxLedgerLine bounds a line in bytes; what the generator writes takes about
// 150.
const maxLedgerLine = 64 << 10

// AppendJSON appends the batch as one line, with its newline. The ID has to be
// free of characters that JSON escapes.
func (b Batch) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":"`...)
	dst = append(dst, b.ID...)
	dst = append(dst, `","metrics":`...)
	dst = strconv.AppendInt(dst, int64(b.Metrics), 10)
	dst = append(dst, `,"sent_ns":`...)
	dst = strconv.AppendInt(dst, b.SentNS, 10)
	dst = append(dst, `,"answered_ns":`...)
	dst = strconv.AppendInt(dst, b.AnsweredNS, 10)
	dst = append(dst, `,"outcome":"`...)
	dst = append(dst, b.Outcome...)
	dst = append(dst, `","warmup":`...)
	dst = strconv.AppendBool(dst, b.Warmup)
	return append(dst, '}', '\n')
}

// ReadLedger yields the batches of a ledger in order. It is strict: an unknown
// or missing key, an unknown outcome or a torn last line ends it with an error
// that names the line; a torn line is io.ErrUnexpectedEOF.
func ReadLedger(r io.Reader) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		br := bufio.NewReaderSize(r, maxLedgerLine)
		for n := 1; ; n++ {
			line, err := br.ReadSlice('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return
			}
			var b Batch
			if err = lineError(err); err == nil {
				b, err = parseBatch(line)
			}
			if err != nil {
				yield(Batch{}, fmt.Errorf("read ledger, line %d: %w", n, err))
				return
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

func lineError(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the line is torn, it has no end: %w", io.ErrUnexpectedEOF)
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Errorf("the line is longer than %d bytes", maxLedgerLine)
	}
	return err
}

func parseBatch(line []byte) (Batch, error) {
	var raw struct {
		ID         *string  `json:"id"`
		Metrics    *int     `json:"metrics"`
		SentNS     *int64   `json:"sent_ns"`
		AnsweredNS *int64   `json:"answered_ns"`
		Outcome    *Outcome `json:"outcome"`
		Warmup     *bool    `json:"warmup"`
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return Batch{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Batch{}, errors.New("more data follows the batch")
	}
	if raw.ID == nil || raw.Metrics == nil || raw.SentNS == nil || raw.AnsweredNS == nil || raw.Outcome == nil || raw.Warmup == nil {
		return Batch{}, errors.New("a key is missing, want id, metrics, sent_ns, answered_ns, outcome, warmup")
	}
	switch *raw.Outcome {
	case BatchOK, BatchFailed, BatchInDoubt:
	default:
		return Batch{}, fmt.Errorf("unknown outcome %q", *raw.Outcome)
	}
	if *raw.ID == "" || *raw.Metrics < 1 {
		return Batch{}, errors.New("a batch has an id and at least one metric")
	}
	return Batch{*raw.ID, *raw.Metrics, *raw.SentNS, *raw.AnsweredNS, *raw.Outcome, *raw.Warmup}, nil
}
