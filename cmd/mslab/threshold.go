package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mslab/results/record"
)

// threshold is a condition on one figure of a record, such as
// `latency.p99 < 50ms`.
type threshold struct {
	text   string
	metric string
	op     string
	value  float64
}

var thresholdForm = regexp.MustCompile(`^\s*([a-z0-9_.]+)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*$`)

// parseThreshold reads METRIC OP VALUE.
func parseThreshold(text string) (threshold, error) {
	m := thresholdForm.FindStringSubmatch(text)
	if m == nil {
		return threshold{}, fmt.Errorf("--threshold %q: want METRIC OP VALUE, such as 'latency.p99 < 50ms'; OP is < <= > >= == or !=", text)
	}
	t := threshold{text: strings.TrimSpace(text), metric: m[1], op: m[2]}
	if !slices.Contains(thresholdMetrics(), t.metric) {
		return threshold{}, fmt.Errorf("--threshold %q: no metric %s; there are %s", text, t.metric, strings.Join(thresholdMetrics(), ", "))
	}
	var err error
	if t.value, err = parseLimit(unitOf(t.metric), m[3]); err != nil {
		return threshold{}, fmt.Errorf("--threshold %q: %w", text, err)
	}
	return t, nil
}

// unit is what a metric is counted in.
type unit int

const (
	plain unit = iota
	nanoseconds
	fraction
)

func unitOf(metric string) unit {
	head, last, _ := strings.Cut(metric, ".")
	switch {
	case strings.HasSuffix(head, "latency") && last != "count", strings.Contains(last, "_ns"):
		return nanoseconds
	case head == "success":
		return fraction
	}
	return plain
}

// parseLimit reads a value in the metric's unit. A bare number of nanoseconds
// or a percentage without its sign is refused: it would hold, or not, for the
// wrong reason.
func parseLimit(u unit, text string) (float64, error) {
	switch u {
	case nanoseconds:
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("%s is no duration; want one such as 50ms", text)
		}
		return float64(d), nil
	case fraction:
		v, err := parseFraction(text)
		if err != nil || !(v >= 0 && v <= 1) {
			return 0, fmt.Errorf("%s is no rate; want a percentage such as 99.9%%, or a fraction from 0 to 1", text)
		}
		return v, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v-v != 0 {
		return 0, fmt.Errorf("%s is no number", text)
	}
	return v, nil
}

// parseFraction reads 0.999 or 99.9%, to the same value.
func parseFraction(text string) (float64, error) {
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		text = percent + "e-2" // dividing by 100 would round once more
	}
	return strconv.ParseFloat(text, 64)
}

// breach is how the record fails the threshold, "" where it holds.
func (t threshold) breach(figures map[string]float64) string {
	v, measured := figures[t.metric]
	if !measured {
		return fmt.Sprintf("threshold breached: %s: not measured", t.text)
	}
	if t.holds(v) {
		return ""
	}
	return fmt.Sprintf("threshold breached: %s: it is %s", t.text, formatFigure(unitOf(t.metric), v))
}

func (t threshold) holds(v float64) bool {
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

func formatFigure(u unit, v float64) string {
	switch u {
	case nanoseconds:
		return time.Duration(v).String()
	case fraction:
		return strconv.FormatFloat(100*v, 'g', 6, 64) + "%"
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// thresholdMetrics lists every figure that a load by itself has, by its path in
// the record.
func thresholdMetrics() []string {
	blank := figuresOf(&record.Record{FirstWait: &record.Latency{}})
	metrics := make([]string, 0, len(blank))
	for path := range blank {
		metrics = append(metrics, path)
	}
	slices.Sort(metrics)
	return metrics
}

// figuresOf maps the paths of a record's figures to their values. They are read
// from its JSON form, so that a metric is named as the file names it.
func figuresOf(r *record.Record) map[string]float64 {
	data, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	var parts map[string]any
	if json.Unmarshal(data, &parts) != nil {
		return nil
	}
	figures := map[string]float64{}
	for _, class := range record.Classes {
		figures["counts.by_class."+string(class)] = 0 // the record leaves out what did not occur
	}
	for _, part := range []string{"counts", "success", "rps", "latency", "first_request_latency", "client"} {
		addFigures(figures, part, parts[part])
	}
	return figures
}

func addFigures(figures map[string]float64, path string, value any) {
	switch v := value.(type) {
	case float64:
		figures[path] = v
	case map[string]any:
		for key, inner := range v {
			if path+"."+key != "latency.by_class" {
				addFigures(figures, path+"."+key, inner)
			}
		}
	}
}
