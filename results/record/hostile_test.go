package record

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// wire makes the V2 compressed encoding of a header and a payload of n zero
// bytes.
func wire(digits int32, lowest, highest int64, length int32, n int) string {
	var inner, outer bytes.Buffer
	z := zlib.NewWriter(&inner)
	head := []any{hdrhistogram.V2EncodingCookieBase | 0x10, length, int32(0), digits, lowest, highest, 1.0}
	for _, field := range head {
		_ = binary.Write(z, binary.BigEndian, field)
	}
	_, _ = io.CopyN(z, zeros{}, int64(n))
	_ = z.Close()
	_ = binary.Write(&outer, binary.BigEndian, hdrhistogram.V2CompressedEncodingCookieBase|0x10)
	_ = binary.Write(&outer, binary.BigEndian, int32(inner.Len()))
	outer.Write(inner.Bytes())
	return base64.StdEncoding.EncodeToString(outer.Bytes())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A few hundred bytes of base64 may not take tens of megabytes, and a histogram
// has to be the one that its record describes.
func TestHostileHistograms(t *testing.T) {
	for _, c := range []struct{ what, hdr, says string }{
		{"no base64", "***", "no HDR histogram"},
		{"too short", "HISTFAAA", "no HDR histogram"},
		{"no zlib", base64.StdEncoding.EncodeToString(make([]byte, 64)), "no HDR histogram"},
		{"short header", wireCut(20), "no HDR histogram"},
		{"a wide range", wire(5, 1, math.MaxInt64, 0, 0), "5 digits"},
		{"another unit", wire(3, 1000, int64(Longest), 0, 0), "1000 to"},
		{"a bomb", wire(3, int64(Shortest), int64(Longest), 1<<30, 32<<20), "PayloadLength"},
		{"a bomb behind the payload", wire(3, int64(Shortest), int64(Longest), 10, 32<<20), "PayloadLength"},
		{"other requests", NewLatency(filled(7), "service").HDR, "holds 7 requests, the record says 1"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Latency{Count: 1, HDR: c.hdr}.Histogram()
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
				t.Errorf("%d KiB were allocated for %d bytes", took>>10, len(c.hdr))
			}
		})
	}
}

func filled(n int64) *hdrhistogram.Histogram {
	h := NewHistogram()
	_ = h.RecordValues(1e6, n)
	return h
}

// wireCut is an encoding whose inner header ends after n bytes.
func wireCut(n int) string {
	var inner, outer bytes.Buffer
	z := zlib.NewWriter(&inner)
	_, _ = z.Write(make([]byte, n))
	_ = z.Close()
	_ = binary.Write(&outer, binary.BigEndian, []int32{0, int32(inner.Len())})
	outer.Write(inner.Bytes())
	return base64.StdEncoding.EncodeToString(outer.Bytes())
}

// What goes on without an end is refused from any reader, without reading it.
func TestReadIsBounded(t *testing.T) {
	for what, head := range map[string]string{"an object": `{"schema":"mslab.result/v1","scenario":"`, "nothing": ""} {
		counted := &counter{r: io.MultiReader(strings.NewReader(head), endless{})}
		if _, err := Read(counted); err == nil {
			t.Errorf("%s without end was read", what)
		}
		if counted.n > MaxBytes+headBytes {
			t.Errorf("%s: %d bytes were read", what, counted.n)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func TestReadFileTakesWhatEndsAtTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.json")
	for _, size := range []int{2, headBytes - 1, headBytes, headBytes + 1, 3 * headBytes} {
		want := []byte("{" + strings.Repeat(" ", size-2) + "}")
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(path, int64(size)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes at a limit of as many: %d, %v", size, len(got), err)
		}
		if _, err := ReadFile(path, int64(size)-1); size > headBytes && err == nil {
			t.Errorf("%d bytes at a limit of one less were read", size)
		}
	}
}

// FuzzRead reads anything as a record; what it accepts can be merged with
// itself, checked and written without a panic.
func FuzzRead(f *testing.F) {
	whole, err := json.Marshal(sample(10, 2, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(bytes.Replace(whole, []byte(`"status_503":{`), []byte(`"status_503":null,"x":{`), 1))
	f.Add([]byte(`{"schema":"mslab.result/v1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		_ = r.Check()
		_, _ = Merge(r, r)
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

// FuzzLedger reads anything as a ledger.
func FuzzLedger(f *testing.F) {
	f.Add(Batch{"a-1", 3, 100, 200, BatchOK, false}.AppendJSON(nil))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for b, err := range ReadLedger(bytes.NewReader(data)) {
			if err == nil && (b.ID == "" || b.Metrics < 1) {
				t.Errorf("%+v is no batch", b)
			}
		}
	})
}
