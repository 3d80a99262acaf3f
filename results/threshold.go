package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mslab/results/record"
)

// Threshold is a condition on one figure of a record, such as
// `latency.p99 < 50ms`.
type Threshold struct {
	Text   string // as it was given, without the space around it
	Metric string // the figure's path in the record
	op     string
	value  float64
}

// thresholdOps are the comparisons, the longer before those they begin with.
var thresholdOps = []string{"<=", ">=", "==", "!=", "<", ">"}

var thresholdForm = regexp.MustCompile(`^\s*([a-z0-9_.]+)\s*(` + strings.Join(thresholdOps, "|") + `)\s*(\S+)\s*$`)

// ParseThreshold reads METRIC OP VALUE, where METRIC is one that a load by
// itself has (LoadMetrics). Times want a unit (50ms), success a percentage
// (99.9%) or a fraction, bytes a unit (50MiB); the others are plain numbers.
func ParseThreshold(text string) (Threshold, error) {
	return parseThreshold(text, LoadMetrics())
}

func parseThreshold(text string, metrics []string) (Threshold, error) {
	m := thresholdForm.FindStringSubmatch(text)
	if m == nil {
		return Threshold{}, errors.New("want METRIC OP VALUE, such as 'latency.p99 < 50ms'; OP is < <= > >= == or !=")
	}
	t := Threshold{Text: strings.TrimSpace(text), Metric: m[1], op: m[2]}
	if !slices.Contains(metrics, t.Metric) && !isCounter(t.Metric, metrics) {
		return Threshold{}, fmt.Errorf("no metric %s; there are %s", t.Metric, strings.Join(metrics, ", "))
	}
	var err error
	if t.value, err = parseLimit(UnitOfMetric(t.Metric), m[3]); err != nil {
		return Threshold{}, err
	}
	return t, nil
}

// counterPrefix begins the metrics that a server counts itself. What it counts
// is its own business, so any name will do where the server is read at all.
const counterPrefix = "server.counters."

func isCounter(metric string, metrics []string) bool {
	name, ok := strings.CutPrefix(metric, counterPrefix)
	return ok && name != "" && slices.Contains(metrics, MetricCPU)
}

// Unit is what a metric is counted in.
type Unit int

const (
	Plain Unit = iota
	Nanoseconds
	Fraction
	Bytes
)

// UnitOfMetric is what the values of a metric are counted in.
func UnitOfMetric(metric string) Unit {
	head, last, _ := strings.Cut(metric, ".")
	switch {
	case strings.HasPrefix(metric, counterPrefix):
		return Plain
	case strings.HasSuffix(head, "latency") && last != "count", strings.Contains(last, "_ns"),
		strings.HasPrefix(metric, "client.send_lag."):
		return Nanoseconds
	case head == "success":
		return Fraction
	case strings.HasSuffix(last, "_bytes"):
		return Bytes
	}
	return Plain
}

// parseLimit reads a value in the metric's unit. A bare number of nanoseconds
// or a percentage without its sign is refused: it would hold, or not, for the
// wrong reason.
func parseLimit(u Unit, text string) (float64, error) {
	switch u {
	case Nanoseconds:
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("%s is no duration; want one such as 50ms", text)
		}
		return float64(d), nil
	case Fraction:
		v, err := ParseFraction(text)
		if err != nil || !(v >= 0 && v <= 1) {
			return 0, fmt.Errorf("%s is no rate; want a percentage such as 99.9%%, or a fraction from 0 to 1", text)
		}
		return v, nil
	case Bytes:
		return parseBytes(text)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v-v != 0 {
		return 0, fmt.Errorf("%s is no number", text)
	}
	return v, nil
}

// ParseFraction reads 0.999 or 99.9%, to the same value.
func ParseFraction(text string) (float64, error) {
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		text = percent + "e-2" // dividing by 100 would round once more
	}
	return strconv.ParseFloat(text, 64)
}

// byteUnits are IEC and SI units, the longer before those they end with.
var byteUnits = []struct {
	name string
	size float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
}

func parseBytes(text string) (float64, error) {
	for _, u := range byteUnits {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			if v, err := strconv.ParseFloat(number, 64); err == nil && v-v == 0 && v >= 0 {
				return v * u.size, nil
			}
			break
		}
	}
	return 0, fmt.Errorf("%s is no size; want one such as 50MiB", text)
}

// Breach is how the figures of a record fail the threshold, "" where it holds.
func (t Threshold) Breach(figures map[string]float64) string {
	v, measured := figures[t.Metric]
	if !measured {
		return fmt.Sprintf("threshold breached: %s: not measured", t.Text)
	}
	if t.holds(v) {
		return ""
	}
	return fmt.Sprintf("threshold breached: %s: it is %s", t.Text, formatFigure(UnitOfMetric(t.Metric), v))
}

func (t Threshold) holds(v float64) bool {
	switch t.op {
	case "<":
		return v < t.value
	case "<=":
		return v <= t.value
	case ">":
		return v > t.value
	case ">=":
		return v >= t.value
	case "==":
		return v == t.value
	default:
		return v != t.value
	}
}

func formatFigure(u Unit, v float64) string {
	switch u {
	case Nanoseconds:
		return time.Duration(v).String()
	case Fraction:
		return strconv.FormatFloat(100*v, 'g', 6, 64) + "%"
	case Bytes:
		return strconv.FormatFloat(v/(1<<20), 'f', 1, 64) + "MiB"
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// The parts of a record whose numbers are metrics.
var (
	loadParts   = []string{"counts", "success", "rps", "latency", "first_request_latency", "client"}
	serverParts = []string{"server", "service_latency"}
)

// LoadMetrics lists every figure that a load by itself has, by its path in the
// record, sorted.
func LoadMetrics() []string { return metricsOf(loadParts) }

// RunMetrics lists every figure that a run's trials can have: LoadMetrics, the
// server's and those of an open loop. The server's own counters,
// server.counters.NAME, are figures too and not in the list.
func RunMetrics() []string { return metricsOf(slices.Concat(loadParts, serverParts)) }

func metricsOf(parts []string) []string {
	blank := figuresIn(blankRecord(), parts)
	metrics := make([]string, 0, len(blank))
	for path := range blank {
		metrics = append(metrics, path)
	}
	slices.Sort(metrics)
	return metrics
}

// Figures maps the paths of a record's figures to their values. They are read
// from its JSON form, so that a metric is named as the file names it.
func Figures(r *record.Record) map[string]float64 {
	return figuresIn(r, slices.Concat(loadParts, serverParts))
}

func figuresIn(r *record.Record, parts []string) map[string]float64 {
	data, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	var document map[string]any
	if json.Unmarshal(data, &document) != nil {
		return nil
	}
	found := map[string]float64{}
	for _, class := range record.Classes {
		found["counts.by_class."+string(class)] = 0 // the record leaves out what did not occur
	}
	for _, part := range parts {
		addFigures(found, part, document[part])
	}
	return found
}

func addFigures(figures map[string]float64, path string, value any) {
	switch v := value.(type) {
	case float64:
		figures[path] = v
	case map[string]any:
		for key, inner := range v {
			if key != "by_class" || path == "counts" {
				addFigures(figures, path+"."+key, inner)
			}
		}
	}
}
