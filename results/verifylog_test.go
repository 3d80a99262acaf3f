package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"mslab/results/record"
)

func ledgerOf(batches ...record.Batch) string {
	var b []byte
	for _, batch := range batches {
		b = batch.AppendJSON(b)
	}
	return string(b)
}

func batch(id string, metrics int, outcome record.Outcome, warmup bool) record.Batch {
	return record.Batch{ID: id, Metrics: metrics, SentNS: 1, AnsweredNS: 2, Outcome: outcome, Warmup: warmup}
}

// stored makes n lines of a batch; the tag "id" must not be taken for the key.
func stored(id string, n int) string {
	return strings.Repeat(fmt.Sprintf(`{"timestamp":"2026-01-02T03:04:05.678Z","name":"cpu","value":1,"type":"gauge","tags":{"id":"tag"},"id":%q}`+"\n", id), n)
}

func verify(t *testing.T, ledger, log string) (LogReport, error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, LogFile)
	if err := os.WriteFile(path, []byte(log), 0o400); err != nil {
		t.Fatal(err)
	}
	report, err := VerifyLog(strings.NewReader(ledger), dir)
	if after := must(os.ReadFile(path)); string(after) != log {
		t.Error("the log was changed")
	}
	if entries := must(os.ReadDir(dir)); len(entries) != 1 {
		t.Errorf("%d files in the data directory, want the log alone", len(entries))
	}
	return report, err
}

func TestVerifyLogCounts(t *testing.T) {
	cases := []struct {
		name, ledger, log string
		want              LogReport
	}{
		{"all stored", ledgerOf(batch("a", 3, record.BatchOK, false), batch("b", 1, record.BatchOK, false)), stored("a", 3) + stored("b", 1),
			LogReport{Acknowledged: 2, Stored: 2, Lines: 4}},
		{"one line short is lost", ledgerOf(batch("a", 3, record.BatchOK, false)), stored("a", 2),
			LogReport{Acknowledged: 1, Lost: 1, Lines: 2, LostIDs: []string{"a"}}},
		{"none stored is lost", ledgerOf(batch("a", 3, record.BatchOK, false)), "",
			LogReport{Acknowledged: 1, Lost: 1, LostIDs: []string{"a"}}},
		{"one line more is a duplicate", ledgerOf(batch("a", 3, record.BatchOK, false)), stored("a", 4),
			LogReport{Acknowledged: 1, Stored: 1, Duplicated: 1, Lines: 4}},
		{"in doubt: stored is unknown, not stored is nothing", ledgerOf(batch("a", 3, record.BatchInDoubt, false), batch("b", 3, record.BatchInDoubt, false)), stored("a", 3),
			LogReport{Unknown: 1, Lines: 3}},
		{"refused and stored all the same", ledgerOf(batch("a", 3, record.BatchFailed, false)), stored("a", 3),
			LogReport{Unknown: 1, RefusedStored: 1, Lines: 3}},
		{"not in the ledger counts once", "", stored("a", 3) + stored("b", 1),
			LogReport{Unknown: 2, Lines: 4}},
		{"warm-up is neither lost nor unknown", ledgerOf(batch("a", 3, record.BatchOK, true), batch("b", 3, record.BatchOK, true)), stored("a", 3),
			LogReport{Lines: 3}},
		{"lines of other traffic", ledgerOf(batch("a", 1, record.BatchOK, false)), `{"name":"x"}` + "\n" + stored("a", 1),
			LogReport{Acknowledged: 1, Stored: 1, Lines: 2, LinesWithoutID: 1}},
		{"a torn tail is skipped", ledgerOf(batch("a", 2, record.BatchOK, false)), stored("a", 2) + `{"name":"x","id":"a`,
			LogReport{Acknowledged: 1, Stored: 1, Lines: 2, TornBytes: 19}},
		{"a whole line without its end is torn too", ledgerOf(batch("a", 1, record.BatchOK, false)), strings.TrimSuffix(stored("a", 1), "\n"),
			LogReport{Acknowledged: 1, Lost: 1, LostIDs: []string{"a"}, TornBytes: int64(len(stored("a", 1)) - 1)}},
		{"corrupt lines are numbered", ledgerOf(batch("a", 2, record.BatchOK, false)), stored("a", 1) + "\x00\x00\n\n[1]\n{\"id\":7}\n" + stored("a", 1),
			LogReport{Acknowledged: 1, Stored: 1, Lines: 2, Corrupt: 4, CorruptLines: []int64{2, 3, 4, 5}}},
		{"a torn ledger", ledgerOf(batch("a", 1, record.BatchOK, false)) + `{"id":"b","met`, stored("a", 1) + stored("b", 1),
			LogReport{Acknowledged: 1, Stored: 1, Unknown: 1, Lines: 2, LedgerTorn: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := verify(t, c.ledger, c.log)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
			if got.Acknowledged != got.Stored+got.Lost {
				t.Errorf("acknowledged %d is not stored %d + lost %d", got.Acknowledged, got.Stored, got.Lost)
			}
		})
	}
}

func TestVerifyLogLongLines(t *testing.T) {
	long := `{"name":"` + strings.Repeat("x", 600<<10) + `","id":"a"}` + "\n"
	tooLong := strings.Repeat("y", maxLogLine+1) + "\n"
	got, err := verify(t, ledgerOf(batch("a", 2, record.BatchOK, false)), long+tooLong+long)
	if err != nil {
		t.Fatal(err)
	}
	if got.Stored != 1 || got.Corrupt != 1 || !reflect.DeepEqual(got.CorruptLines, []int64{2}) {
		t.Errorf("%+v; want the batch stored and line 2 corrupt", got)
	}
}

func TestVerifyLogRefuses(t *testing.T) {
	if _, err := VerifyLog(strings.NewReader(""), t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("error %v without a log; want one that says which directory to give", err)
	}
	if _, err := verify(t, ledgerOf(batch("a", 1, record.BatchOK, false), batch("a", 1, record.BatchOK, false)), ""); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("error %v of a ledger with a batch twice", err)
	}
	if _, err := verify(t, "hello\n", ""); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("error %v of a foreign ledger; want the line", err)
	}
}
