package record

import (
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and precision of every latency histogram. Values beyond Longest
// are recorded as Longest. The lowest unit is 1 ns and not 1 µs, so that
// answers of a few microseconds keep their three digits too.
const (
	Shortest          = time.Nanosecond
	Longest           = 10 * time.Minute
	SignificantDigits = 3
)

// NewHistogram returns an empty histogram of nanoseconds with the range and
// precision that records use.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(Shortest), int64(Longest), SignificantDigits)
}

// Clamp brings a duration in ns into the histogram's range.
func Clamp(ns int64) int64 {
	return min(max(ns, int64(Shortest)), int64(Longest))
}

// NewLatency describes h, whose values are nanoseconds; kind is "service" or
// "response".
func NewLatency(h *hdrhistogram.Histogram, kind string) Latency {
	l := Latency{
		Unit:  "ns",
		Kind:  kind,
		Count: h.TotalCount(),
		Mean:  h.Mean(),
		P50:   h.ValueAtPercentile(50),
		P90:   h.ValueAtPercentile(90),
		P99:   h.ValueAtPercentile(99),
		P999:  h.ValueAtPercentile(99.9),
	}
	if l.Count > 0 {
		l.Max = h.Max()
	}
	// Encoding goes to memory and cannot fail for a version that the library
	// writes; a reader of an empty HDR gets an error.
	if b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err == nil {
		l.HDR = string(b)
	}
	return l
}

// Histogram decodes the histogram that l describes.
func (l Latency) Histogram() (*hdrhistogram.Histogram, error) {
	if l.HDR == "" {
		return nil, errors.New("decode latency histogram: the hdr field is empty")
	}
	if err := checkRange(l.HDR); err != nil {
		return nil, fmt.Errorf("decode latency histogram: %w", err)
	}
	h, err := hdrhistogram.Decode([]byte(l.HDR))
	if err != nil {
		return nil, fmt.Errorf("decode latency histogram: %w", err)
	}
	if n := h.TotalCount(); n != l.Count {
		return nil, fmt.Errorf("decode latency histogram: it holds %d requests, the record says %d", n, l.Count)
	}
	return h, nil
}

// The header of the V2 encoding, inflated: cookie, length of the payload,
// normalizing offset, significant digits (int32 each), lowest and highest value
// (int64 each), conversion ratio (float64), all big endian
// (HdrHistogram's AbstractHistogram.java).
const (
	hdrOuterHeader = 8 // cookie and length of what is compressed
	hdrHeader      = 40
	hdrDigitsAt    = 12
	hdrLowestAt    = 16
	hdrHighestAt   = 24
)

// checkRange refuses a histogram of another range or precision than records
// use, before memory is taken for it: one line of base64 can ask for 50 MB.
func checkRange(encoded string) error {
	compressed := base64.NewDecoder(base64.StdEncoding, strings.NewReader(encoded))
	if _, err := io.CopyN(io.Discard, compressed, hdrOuterHeader); err != nil {
		return fmt.Errorf("no HDR histogram: %w", err)
	}
	inflated, err := zlib.NewReader(compressed)
	if err != nil {
		return fmt.Errorf("no HDR histogram: %w", err)
	}
	defer inflated.Close()
	var head [hdrHeader]byte
	if _, err := io.ReadFull(inflated, head[:]); err != nil {
		return fmt.Errorf("no HDR histogram: %w", err)
	}
	digits := binary.BigEndian.Uint32(head[hdrDigitsAt:])
	lowest, highest := binary.BigEndian.Uint64(head[hdrLowestAt:]), binary.BigEndian.Uint64(head[hdrHighestAt:])
	if digits != SignificantDigits || lowest != uint64(Shortest) || highest != uint64(Longest) {
		return fmt.Errorf("it counts %d to %d ns with %d digits; records count %d to %d with %d", lowest, highest, digits, int64(Shortest), int64(Longest), SignificantDigits)
	}
	return nil
}

// mergeLatency adds up histograms and the ones by class.
func mergeLatency(parts []*Latency) (*Latency, error) {
	sum := NewHistogram().Export()
	var total int64
	kind := ""
	byClass := map[Class][]*Latency{}
	for _, p := range parts {
		for c, l := range p.ByClass {
			byClass[c] = append(byClass[c], l)
		}
		if kind == "" {
			kind = p.Kind
		}
		if p.Count == 0 && p.HDR == "" {
			continue // nothing was measured, which is not always encoded
		}
		if p.Kind != kind {
			return nil, fmt.Errorf("merge latencies: %q and %q times cannot be added up", kind, p.Kind)
		}
		h, err := p.Histogram()
		if err != nil {
			return nil, err
		}
		if total > math.MaxInt64-h.TotalCount() {
			return nil, errors.New("merge latencies: more requests than 64 bits count")
		}
		total += h.TotalCount()
		// All histograms have the same buckets, or they would not have been read.
		for i, n := range h.Export().Counts {
			sum.Counts[i] += n
		}
	}
	merged := NewLatency(hdrhistogram.Import(sum), kind)
	for c, ls := range byClass {
		l, err := mergeLatency(ls)
		if err != nil {
			return nil, fmt.Errorf("class %s: %w", c, err)
		}
		if merged.ByClass == nil {
			merged.ByClass = map[Class]*Latency{}
		}
		merged.ByClass[c] = l
	}
	return &merged, nil
}
