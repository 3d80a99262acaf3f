package server

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"mslab/server/sink"
)

func TestAppendJSONLines(t *testing.T) {
	batch := sink.Batch{
		ID:         "req-1",
		ReceivedMS: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC).UnixMilli(),
		Metrics: []sink.Metric{
			{Name: "cpu_usage", Value: 75.5, Type: "gauge", Tags: []sink.Tag{{Key: "host", Value: "server1"}, {Key: "region", Value: "eu"}}},
			{Name: "q\"\\\n\x01\u2028é\x7f", Value: 1e21, Type: "counter", TimestampMS: -1, HasTimestamp: true},
		},
	}
	want := `before
{"timestamp":"2026-01-02T03:04:05.678Z","name":"cpu_usage","value":75.5,"type":"gauge","tags":{"host":"server1","region":"eu"},"id":"req-1"}
{"timestamp":"1969-12-31T23:59:59.999Z","name":"q\"\\\n\u0001\u2028é` + "\x7f" + `","value":1e+21,"type":"counter","tags":{},"id":"req-1"}
`
	if got := string(appendJSONLines([]byte("before\n"), &batch)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendTimestamp(t *testing.T) {
	cases := map[int64]string{
		minTimestampMS:     "0001-01-01T00:00:00.000Z",
		maxTimestampMS:     "9999-12-31T23:59:59.999Z",
		minTimestampMS - 1: "0001-01-01T00:00:00.000Z",
		math.MaxInt64:      "9999-12-31T23:59:59.999Z",
		0:                  "1970-01-01T00:00:00.000Z",
		951782400000:       "2000-02-29T00:00:00.000Z",
		-2203891200001:     "1900-02-28T23:59:59.999Z",
	}
	for ms, want := range cases {
		if got := string(appendTimestamp(nil, ms)); got != want {
			t.Errorf("%d is %s, want %s", ms, got, want)
		}
	}
}

func TestAppendJSONLinesAllocatesNothing(t *testing.T) {
	metrics, err := parseLinear(seedBody(3))
	if err != nil {
		t.Fatal(err)
	}
	batch := sink.Batch{ID: "é\n", ReceivedMS: 1767322985678, Metrics: metrics}
	buffer := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { appendJSONLines(buffer, &batch) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// line is what a reader makes of a stored line.
type line struct {
	Timestamp time.Time         `json:"timestamp"`
	Name      string            `json:"name"`
	Value     json.Number       `json:"value"`
	Type      string            `json:"type"`
	Tags      map[string]string `json:"tags"`
	ID        string            `json:"id"`
}

func FuzzJSONLines(f *testing.F) {
	f.Add("cpu_usage", 75.5, "gauge", "host", "server1", int64(0), false, "id", int64(1767322985678))
	f.Add("\x00\"\\\u0085\u2028\u2029\ufffd\xff\x7f</&>", 1e-7, "", "\n\r", "\b\f\t", int64(minTimestampMS), true, "\xed\xa0\x80", int64(math.MaxInt64))
	f.Add("é😀", 1e21, "counter", "", "", int64(-1), true, "", int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, name string, value float64, kind, key, tag string, ms int64, own bool, id string, received int64) {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			t.Skip("values are finite by contract")
		}
		m := sink.Metric{Name: name, Value: value, Type: kind, TimestampMS: ms, HasTimestamp: own,
			Tags: []sink.Tag{{Key: key, Value: tag}}}
		out := appendJSONLines(nil, &sink.Batch{ID: id, ReceivedMS: received, Metrics: []sink.Metric{m, m}})
		first, rest, _ := strings.Cut(string(out), "\n")
		if rest != first+"\n" || len(strings.FieldsFunc(first, isLineEnd)) != 1 {
			t.Fatalf("not one line a metric: %q", out)
		}
		when := received
		if own {
			when = ms
		}
		checkLine(t, first, m, id, when)
	})
}

// isLineEnd is true for what Unicode's newline guidelines (UAX #14, classes BK,
// CR, LF and NL) count as the end of a line.
func isLineEnd(r rune) bool { return strings.ContainsRune("\n\v\f\r\u0085\u2028\u2029", r) }

func checkLine(t *testing.T, text string, m sink.Metric, id string, ms int64) {
	t.Helper()
	var got line
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	wantText := []string{m.Name, m.Type, m.Tags[0].Value, id}
	gotText := []string{got.Name, got.Type, got.Tags[decoded(m.Tags[0].Key)], got.ID}
	for i := range wantText {
		if gotText[i] != decoded(wantText[i]) {
			t.Errorf("%q reads back as %q", wantText[i], gotText[i])
		}
	}
	if len(got.Tags) != 1 {
		t.Errorf("tags %q", got.Tags)
	}
	if want := min(max(ms, minTimestampMS), maxTimestampMS); got.Timestamp.UnixMilli() != want {
		t.Errorf("time stamp %v, want %d ms", got.Timestamp, want)
	}
	want, err := json.Marshal(m.Value)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(got.Value)) {
		t.Errorf("value %s, encoding/json writes %s", got.Value, want)
	}
}

// decoded is the string with each stray byte replaced by U+FFFD.
func decoded(s string) string { return string([]rune(s)) }

func BenchmarkAppendJSONLines(b *testing.B) {
	metrics, err := parseLinear(seedBody(3))
	if err != nil {
		b.Fatal(err)
	}
	batch := sink.Batch{ID: "0123456789abcdef", ReceivedMS: 1767322985678, Metrics: metrics}
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		buffer = appendJSONLines(buffer[:0], &batch)
	}
}
