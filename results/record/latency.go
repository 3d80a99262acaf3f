package record

import (
	"errors"
	"fmt"
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
	h, err := hdrhistogram.Decode([]byte(l.HDR))
	if err != nil {
		return nil, fmt.Errorf("decode latency histogram: %w", err)
	}
	return h, nil
}

// mergeLatency adds up histograms and the ones by class.
func mergeLatency(parts []*Latency) (*Latency, error) {
	sum := NewHistogram()
	kind := parts[0].Kind
	byClass := map[Class][]*Latency{}
	for _, p := range parts {
		if p.Kind != kind {
			return nil, fmt.Errorf("merge latencies: %q and %q times cannot be added up", kind, p.Kind)
		}
		h, err := p.Histogram()
		if err != nil {
			return nil, err
		}
		if dropped := sum.Merge(h); dropped > 0 {
			return nil, fmt.Errorf("merge latencies: %d values lie outside the range of %v", dropped, Longest)
		}
		for c, l := range p.ByClass {
			byClass[c] = append(byClass[c], l)
		}
	}
	merged := NewLatency(sum, kind)
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
