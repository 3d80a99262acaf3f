package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sample returns a consistent record of ok good requests of ms milliseconds
// and failed requests that met a 503.
func sample(ok, failed int, ms int64) *Record {
	good, bad := NewHistogram(), NewHistogram()
	good.RecordValues(ms*int64(time.Millisecond), int64(ok))
	bad.RecordValues(int64(time.Millisecond), int64(failed))
	r := &Record{
		Started: time.Unix(1700000000, 0).UTC(),
		Subject: Subject{Name: "phase 3"},
		Load:    Load{Clients: 2, Arrival: "closed", Connection: "keep", DurationS: 2},
		Latency: NewLatency(good, "service"),
		Series:  []Second{{T: 0, OK: int64(ok)}, {T: 1, Failed: int64(failed)}},
		Verdict: Verdict{Valid: true, Comparable: true},
	}
	l := NewLatency(bad, "service")
	r.Latency.ByClass = map[Class]*Latency{Status503: &l}
	n := int64(ok + failed)
	r.Counts = Counts{Sent: n, Answered: n, OK: int64(ok), Failed: int64(failed), WithinDeadline: int64(ok),
		ByClass: map[Class]int64{OK: int64(ok), Status503: int64(failed)}}
	r.RPS = RPS{OK: float64(ok) / 2, Total: float64(n) / 2}
	r.Finalize()
	return r
}

func TestHistogramSurvivesTheRecord(t *testing.T) {
	h := NewHistogram()
	for v := int64(1); v < 1e9; v = v*3/2 + 1 {
		h.RecordValue(v)
	}
	back, err := NewLatency(h, "service").Histogram()
	if err != nil {
		t.Fatal(err)
	}
	if !back.Equals(h) {
		t.Fatal("the decoded histogram differs from the encoded one")
	}
	if _, err := (Latency{}).Histogram(); err == nil {
		t.Fatal("an empty hdr field decoded without an error")
	}
}

func TestMergeAddsHistogramsNotPercentiles(t *testing.T) {
	fast, slow := sample(990, 0, 1), sample(10, 5, 500)
	m, err := Merge(fast, slow)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	if m.Counts.OK != 1000 || m.Counts.Failed != 5 || m.Counts.ByClass[Status503] != 5 {
		t.Fatalf("counts %+v", m.Counts)
	}
	// 1 % of all requests took 500 ms: p99 is 1 ms, p99.9 is 500 ms. Averaged
	// percentiles would say 250 ms for both.
	if got := time.Duration(m.Latency.P99).Round(time.Millisecond); got != time.Millisecond {
		t.Errorf("p99 = %v, want 1ms", got)
	}
	if got := time.Duration(m.Latency.P999).Round(10 * time.Millisecond); got != 500*time.Millisecond {
		t.Errorf("p99.9 = %v, want 500ms", got)
	}
	if m.RPS.OK != 250 || m.Load.DurationS != 4 {
		t.Errorf("rps %v over %v s, want 250 over 4", m.RPS.OK, m.Load.DurationS)
	}
	if len(m.Series) != 4 || m.Series[2].T != 2 {
		t.Errorf("series %+v", m.Series)
	}
	if fast.Counts.OK != 990 || fast.Series[0].T != 0 {
		t.Error("a part was changed")
	}
	other := sample(1, 0, 1)
	other.Subject.Name = "phase 4"
	if _, err := Merge(fast, other); err == nil {
		t.Error("slices of two subjects were merged")
	}
}

func TestCheckFindsEveryBrokenIdentity(t *testing.T) {
	for name, spoil := range map[string]func(*Record){
		"sent":      func(r *Record) { r.Counts.Sent++ },
		"by class":  func(r *Record) { r.Counts.ByClass[Reset] = 1 },
		"answered":  func(r *Record) { r.Counts.Answered-- },
		"deadline":  func(r *Record) { r.Counts.WithinDeadline = r.Counts.OK + 1 },
		"histogram": func(r *Record) { r.Latency.Count-- },
		"in doubt":  func(r *Record) { r.Counts.InDoubt = r.Counts.Failed + 1 },
		"class histogram": func(r *Record) {
			r.Latency.ByClass = nil
		},
	} {
		r := sample(10, 2, 1)
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(r)
		if r.Check() == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func TestWriteThenRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.json")
	want := sample(10, 2, 1)
	for range 2 { // the second write replaces the first
		if err := want.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if !bytes.Equal(a, b) {
		t.Fatalf("read %s\nwant %s", b, a)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Fatalf("temporary files were left behind: %v", left)
	}
	if err := want.Write(filepath.Join(dir, "missing", "r.json")); err == nil {
		t.Fatal("wrote into a folder that does not exist")
	}
}

func TestReadRefuses(t *testing.T) {
	whole, _ := json.Marshal(sample(1, 0, 1))
	text := string(whole)
	for name, c := range map[string]struct{ in, says string }{
		"empty":       {"", "empty"},
		"truncated":   {text[:len(text)/2], "truncated"},
		"no JSON":     {"sent = 5", "not JSON"},
		"foreign":     {`{"schema":"k6/v1"}`, `"k6/v1"`},
		"no schema":   {`{"counts":{}}`, "no schema"},
		"newer":       {`{"schema":"mslab.result/v2","fresh":1}`, "newer"},
		"unknown key": {strings.Replace(text, `"sent":`, `"snet":`, 1), `"snet"`},
		"two records": {text + text, "more data"},
	} {
		_, err := Read(strings.NewReader(c.in))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.says)
		}
	}
}

func TestLedgerRoundTripAndStrictness(t *testing.T) {
	batches := []Batch{
		{"a-1", 3, 100, 200, BatchOK, false},
		{"a-2", 3, 150, 0, BatchInDoubt, true},
	}
	var file []byte
	for _, b := range batches {
		file = b.AppendJSON(file)
	}
	i := 0
	for b, err := range ReadLedger(bytes.NewReader(file)) {
		if err != nil {
			t.Fatal(err)
		}
		if b != batches[i] {
			t.Errorf("batch %d = %+v, want %+v", i, b, batches[i])
		}
		i++
	}
	if i != 2 {
		t.Fatalf("%d batches, want 2", i)
	}
	good := string(batches[0].AppendJSON(nil))
	for name, c := range map[string]struct{ in, says string }{
		"torn":        {good + good[:40], "line 2"},
		"unknown key": {strings.Replace(good, `"id"`, `"ID2"`, 1), "ID2"},
		"missing key": {`{"id":"a","metrics":3}` + "\n", "missing"},
		"outcome":     {strings.Replace(good, `"ok"`, `"fine"`, 1), `"fine"`},
		"two on one":  {strings.TrimSpace(good) + good, "more data"},
		"blank line":  {good + "\n", "line 2"},
		"long line":   {strings.Repeat("x", maxLedgerLine+1) + "\n", "longer"},
	} {
		var last error
		for _, err := range ReadLedger(strings.NewReader(c.in)) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %q", name, last, c.says)
		}
		if name == "torn" && !errors.Is(last, io.ErrUnexpectedEOF) {
			t.Errorf("a torn line is %v, want io.ErrUnexpectedEOF", last)
		}
	}
}
