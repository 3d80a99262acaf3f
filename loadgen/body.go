package loadgen

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
)

// clientName is what the Authorization field of client n says, n from 0.
func clientName(n int) string { return "load_client_" + strconv.Itoa(n) }

// clientNames gives requests the names of many clients in turn. It is safe for
// concurrent use.
type clientNames struct {
	count  int64
	digits int // of each, with leading zeros, so that one takes the place of another
	taken  atomic.Int64
}

// newClientNames is nil where clients name themselves.
func newClientNames(count int) *clientNames {
	if count == 0 {
		return nil
	}
	return &clientNames{count: int64(count), digits: len(strconv.Itoa(count - 1))}
}

// first is a name to put others in the place of.
func (n *clientNames) first() string { return "load_client_" + strings.Repeat("0", n.digits) }

// write puts the next name's digits at the start of b.
func (n *clientNames) write(b []byte) {
	id := (n.taken.Add(1) - 1) % n.count
	for i := n.digits - 1; i >= 0; i-- {
		b[i] = byte('0' + id%10)
		id /= 10
	}
}

// bodyRand makes the bodies of one client reproducible from the seed.
func bodyRand(seed int64, client int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(seed), uint64(client)))
}

var regions = []string{"us-east-1", "us-west-2", "eu-west-1", "ap-south-1"}

// appendBody appends a batch of n metrics of the seed's shape: cpu_usage,
// memory_usage and requests_total in turn, three of them about 690 bytes with
// their white space, of one of so many hosts.
func appendBody(dst []byte, rng *rand.Rand, n, hosts int) []byte {
	host := "server_" + strconv.Itoa(1+rng.IntN(hosts))
	dst = append(dst, "{\n    \"metrics\": ["...)
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch i % 3 {
		case 0:
			dst = appendMetric(dst, "cpu_usage", 10+80*rng.Float64(), 6, "gauge",
				"host", host, "region", regions[rng.IntN(len(regions))])
		case 1:
			dst = appendMetric(dst, "memory_usage", 1e6+(8e9-1e6)*rng.Float64(), 6, "gauge", "host", host)
		case 2:
			dst = appendMetric(dst, "requests_total", float64(1+rng.IntN(1000)), 0, "counter",
				"service", "api", "host", host)
		}
	}
	return append(dst, "\n    ]\n}\n"...)
}

func appendMetric(dst []byte, name string, value float64, digits int, kind string, tags ...string) []byte {
	dst = append(dst, "\n        {\n            \"name\": \""...)
	dst = append(dst, name...)
	dst = append(dst, "\",\n            \"value\": "...)
	dst = strconv.AppendFloat(dst, value, 'f', digits, 64)
	dst = append(dst, ",\n            \"type\": \""...)
	dst = append(dst, kind...)
	dst = append(dst, "\",\n            \"tags\": {"...)
	for i := 0; i < len(tags); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, "\n                \""...)
		dst = append(dst, tags[i]...)
		dst = append(dst, "\": \""...)
		dst = append(dst, tags[i+1]...)
		dst = append(dst, '"')
	}
	return append(dst, "\n            }\n        }"...)
}
