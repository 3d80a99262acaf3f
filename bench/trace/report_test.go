package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

// synthetic has a tool that costs 10 % more than none in each block, and one
// that costs ten times as much, on a machine whose speed doubles half-way.
func synthetic(blocks int) *measurement {
	m := newMeasurement([]tool{{name: ours}, {name: "slow"}}, []string{"perf trace -s is left out: it is not installed"})
	for block := range blocks {
		speed := 1.0
		if block >= blocks/2 {
			speed = 2
		}
		for table := range tables() {
			for n, factor := range []float64{1.1, 10} {
				m.add(table, n, pair{
					with:    reading{cost: 1000 * factor / speed, rate: 5000 * speed / factor},
					without: reading{cost: 1000 / speed, rate: 5000 * speed},
				})
			}
		}
	}
	return m
}

func TestRatiosAreTakenWithinABlock(t *testing.T) {
	m := synthetic(8)
	for n, want := range []float64{1.1, 10} {
		r := m.ratio(0, n, costOf)
		if math.Abs(r.mean-want) > 1e-9 || r.low > want || r.high < want || r.high-r.low > 1e-6 {
			t.Errorf("tool %d: %+v, want %v: a machine that changes its speed is in both", n, r, want)
		}
	}
	if got := m.goalLine(0, 0); !strings.HasSuffix(got, "measured +10.0 % (+10.0 % to +10.0 %): met") {
		t.Errorf("goal: %s", got)
	}
	if got := m.goalLine(0, 1); !strings.HasSuffix(got, ": missed") {
		t.Errorf("goal: %s", got)
	}
	if got := synthetic(3).goalLine(0, 0); !strings.Contains(got, "too few blocks") {
		t.Errorf("goal: %s", got)
	}
}

func TestReport(t *testing.T) {
	var b bytes.Buffer
	o := options{slice: 700 * time.Millisecond, loop: 150 * time.Millisecond, format: "table"}
	if err := synthetic(8).render(&b, o); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"Phase 5, 20 clients, a new connection for each request: 8 blocks of 700ms", "slow 7.07µs 10.0 10.0 10.0 707 0.10 0.10 0.10",
		"untraced 707ns 7071", "A loop of writes of one byte to /dev/null: 8 blocks of 150ms", "mslab trace 778ns 1.10 1.10 1.10", "perf trace -s is left out",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, &b)
		}
	}
	if err := newMeasurement(synthetic(1).tools, nil).render(&b, o); err == nil {
		t.Error("draws a report of nothing")
	}
}

func TestTimes(t *testing.T) {
	for v, want := range map[float64]string{1.104: "1.10", 12.34: "12.3", 371.4: "371", math.Inf(1): "-", 0: "-"} {
		if got := times(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
