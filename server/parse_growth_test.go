package server

import (
	"encoding/json"
	"fmt"
	"testing"
)

// BenchmarkParseSeed reads the seed's body of three metrics.
func BenchmarkParseSeed(b *testing.B) {
	for _, p := range parsers() {
		b.Run(p.name, func(b *testing.B) { benchmarkParse(b, p.parse, 3) })
	}
	b.Run("encoding-json", func(b *testing.B) {
		body := seedBody(3)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			var document struct {
				Metrics []struct {
					Name  string
					Value float64
					Type  string
					Tags  map[string]string
				}
			}
			if err := json.Unmarshal(body, &document); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkParseGrowth shows how the time of each parser grows with the number
// of metrics; bench/parse-growth fits the exponent.
func BenchmarkParseGrowth(b *testing.B) {
	for _, p := range parsers() {
		for _, n := range []int{10, 30, 100, 300, 1000} {
			b.Run(fmt.Sprintf("%s/n=%d", p.name, n), func(b *testing.B) { benchmarkParse(b, p.parse, n) })
		}
	}
}

func benchmarkParse(b *testing.B, parse parseFunc, metrics int) {
	body := seedBody(metrics)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
