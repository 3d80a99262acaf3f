package results

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"mslab/results/record"
)

const (
	// LogFile is the JSON Lines file in a server's data directory.
	LogFile = "metrics.jsonl"
	// maxLogLine bounds a stored line in bytes: a body of 1 MiB whose strings
	// were escaped anew stays below it.
	maxLogLine = 8 << 20
	// maxCorruptLines is how many corrupt lines a report names.
	maxCorruptLines = 10
)

// LogReport says what became of acknowledged batches. Acknowledged = Stored +
// Lost.
type LogReport struct {
	// Acknowledged counts the batches answered ok outside warm-up.
	Acknowledged int64 `json:"acknowledged"`
	// Stored counts the acknowledged batches with at least as many lines as
	// metrics, Lost those with fewer, Duplicated those of Stored with more.
	Stored     int64 `json:"stored"`
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	// Unknown counts batches of which lines are stored though nobody
	// acknowledged them: in doubt, refused or not in the ledger. RefusedStored
	// are those that the server had answered with an error.
	Unknown       int64 `json:"unknown"`
	RefusedStored int64 `json:"refused_stored"`

	Lines          int64 `json:"lines"`            // whole and readable
	LinesWithoutID int64 `json:"lines_without_id"` // of traffic that no ledger was kept of
	// Corrupt counts lines that are not a JSON object, CorruptLines numbers the
	// first ten of them, counted from 1.
	Corrupt      int64   `json:"corrupt"`
	CorruptLines []int64 `json:"corrupt_lines,omitempty"`
	// TornBytes is the length of a last line without an end: skipped.
	TornBytes int64 `json:"torn_bytes"`
	// LedgerTorn says that the ledger's last line has no end; it was skipped,
	// so its batch may count as unknown.
	LedgerTorn bool `json:"ledger_torn"`
	// LostIDs names the first ten lost batches, in no order.
	LostIDs []string `json:"lost_ids,omitempty"`
}

// batchState is a batch of the ledger, or one of which only lines are known.
type batchState struct {
	metrics uint32
	lines   uint32
	kind    batchKind
}

type batchKind uint8

const (
	notInLedger batchKind = iota
	acknowledged
	warmup // ok, and not to be counted
	refused
	inDoubt
)

// VerifyLog compares a ledger with the JSON Lines that a server stored in
// dataDir, matched by the key "id". It only reads. The server should have
// stopped, else lines still to be written count as lost. Memory is one map
// entry a batch, about 100 bytes.
func VerifyLog(ledger io.Reader, dataDir string) (LogReport, error) {
	var report LogReport
	batches, err := readLedger(ledger, &report)
	if err != nil {
		return LogReport{}, err
	}
	path := filepath.Join(dataDir, LogFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return LogReport{}, fmt.Errorf("verify log: %s has no %s; give the directory that the server got as --data: %w", dataDir, LogFile, fs.ErrNotExist)
	}
	f, err := record.OpenRegular(path)
	if err != nil {
		return LogReport{}, fmt.Errorf("verify log: %w", err)
	}
	defer f.Close()
	if err := readLog(f, batches, &report); err != nil {
		return LogReport{}, fmt.Errorf("verify log %s: %w", path, err)
	}
	report.count(batches)
	return report, nil
}

func readLedger(r io.Reader, report *LogReport) (map[string]batchState, error) {
	batches := map[string]batchState{}
	for b, err := range record.ReadLedger(r) {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			report.LedgerTorn = true
			break
		}
		if err != nil {
			return nil, fmt.Errorf("verify log: %w", err)
		}
		if _, taken := batches[b.ID]; taken {
			return nil, fmt.Errorf("verify log: the ledger names batch %q twice; give the ledger of one run", b.ID)
		}
		batches[b.ID] = batchState{metrics: uint32(b.Metrics), kind: kindOf(b)}
	}
	return batches, nil
}

func kindOf(b record.Batch) batchKind {
	switch {
	case b.Outcome == record.BatchOK && b.Warmup:
		return warmup
	case b.Outcome == record.BatchOK:
		return acknowledged
	case b.Outcome == record.BatchFailed:
		return refused
	}
	return inDoubt
}

// readLog counts the lines of each batch.
func readLog(r io.Reader, batches map[string]batchState, report *LogReport) error {
	lines := bufio.NewReaderSize(r, 256<<10)
	for number := int64(1); ; number++ {
		line, size, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			report.TornBytes = size
			return nil
		}
		if err != nil {
			return err
		}
		var stored struct {
			ID *string `json:"id"`
		}
		if line == nil || json.Unmarshal(line, &stored) != nil || line[0] != '{' {
			report.Corrupt++
			if len(report.CorruptLines) < maxCorruptLines {
				report.CorruptLines = append(report.CorruptLines, number)
			}
			continue
		}
		report.Lines++
		if stored.ID == nil {
			report.LinesWithoutID++
			continue
		}
		state := batches[*stored.ID]
		state.lines++
		batches[*stored.ID] = state
	}
}

// readLine returns a line without its end, nil for one that is longer than
// maxLogLine, and its length. At the end of the file the error is io.EOF and
// the length that of a line without an end.
func readLine(r *bufio.Reader) (line []byte, size int64, err error) {
	line = []byte{}
	for {
		part, err := r.ReadSlice('\n')
		size += int64(len(part))
		if line != nil && size <= maxLogLine {
			line = append(line, part...)
		} else {
			line = nil
		}
		switch {
		case err == nil && line != nil:
			return line[:len(line)-1], size, nil
		case err == nil:
			return nil, size, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, size, err
		}
	}
}

func (report *LogReport) count(batches map[string]batchState) {
	for id, b := range batches {
		switch {
		case b.kind == warmup:
		case b.kind == acknowledged:
			report.Acknowledged++
			report.countAcknowledged(id, b)
		case b.lines > 0:
			report.Unknown++
			if b.kind == refused {
				report.RefusedStored++
			}
		}
	}
}

func (report *LogReport) countAcknowledged(id string, b batchState) {
	if b.lines < b.metrics {
		report.Lost++
		if len(report.LostIDs) < maxCorruptLines {
			report.LostIDs = append(report.LostIDs, id)
		}
		return
	}
	report.Stored++
	if b.lines > b.metrics {
		report.Duplicated++
	}
}
