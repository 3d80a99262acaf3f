package record

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// machine returns a record of a machine that started after offset and measured
// for duration, with the values as latencies; every tenth request met a 503.
func machine(t *testing.T, offset, duration time.Duration, values []int64, all, allFailed *hdrhistogram.Histogram) *Record {
	t.Helper()
	good, bad := NewHistogram(), NewHistogram()
	for i, v := range values {
		own, shared := good, all
		if i%10 == 0 {
			own, shared = bad, allFailed
		}
		if err := own.RecordValue(v); err != nil {
			t.Fatal(err)
		}
		if err := shared.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	r := sample(int(good.TotalCount()), int(bad.TotalCount()), 1)
	r.Latency = NewLatency(good, "service")
	failed := NewLatency(bad, "service")
	r.Latency.ByClass = map[Class]*Latency{Status503: &failed}
	r.Started = r.Started.Add(offset)
	r.Load.DurationS = duration.Seconds()
	r.RPS = RPS{OK: float64(r.Counts.OK) / duration.Seconds(), Total: float64(len(values)) / duration.Seconds()}
	r.Environment = &Environment{Kernel: "6.1", Sysctls: map[string]string{"a": "b"}, CalibrationNS: 1000}
	return r
}

func parts(records ...*Record) []Part {
	names, out := "abcdefgh", make([]Part, len(records))
	for i, r := range records {
		out[i] = Part{File: names[i:i+1] + ".json", Record: r}
	}
	return out
}

// TestMachinesPercentilesAreOfAllRequests holds those of the sum against one
// histogram that got every value.
func TestMachinesPercentilesAreOfAllRequests(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all, failed := NewHistogram(), NewHistogram()
	var records []*Record
	var service []int64
	for i, scale := range []float64{1e5, 3e6, 4e7} {
		values := make([]int64, 2000*(i+1))
		for j := range values {
			values[j] = 1 + int64(scale*random.ExpFloat64())
		}
		r := machine(t, 0, 2*time.Second, values, all, failed)
		own := r.Latency
		r.Service = &own
		service = append(service, r.Latency.P99)
		records = append(records, r)
	}
	sum, err := MergeMachines(parts(records...)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		got  *Latency
		want Latency
	}{{"latency", &sum.Latency, NewLatency(all, "service")}, {"503", sum.Latency.ByClass[Status503], NewLatency(failed, "service")},
		{"service times", sum.Service, NewLatency(all, "service")}, {"service times of 503", sum.Service.ByClass[Status503], NewLatency(failed, "service")}} {
		got := *c.got
		got.ByClass = nil
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	averaged := (service[0] + service[1] + service[2]) / 3
	if math.Abs(float64(averaged-sum.Latency.P99)) < 0.05*float64(sum.Latency.P99) {
		t.Errorf("the average of the p99s, %d, is near that of all, %d: the test tells nothing", averaged, sum.Latency.P99)
	}
}

func TestMachinesSums(t *testing.T) {
	h := NewHistogram
	a := machine(t, 0, 4*time.Second, milliseconds(40), h(), h())
	b := machine(t, 1400*time.Millisecond, 4*time.Second, milliseconds(80), h(), h())
	a.Series = []Second{{T: 0, OK: 10, P50: 5, P99: 9}, {T: 1, OK: 10, P50: 5, P99: 9}, {T: 2, OK: 16, Failed: 4, P50: 5, P99: 9}}
	b.Series = []Second{{T: 0, OK: 20, P50: 3, P99: 30}, {T: 1, OK: 20, Failed: 1, P50: 7, P99: 8}}
	a.Client = Client{CPUPerRequest: 1000, GCPauses: 1, SchedLagP99: 7, SendLag: &SendLag{1, 9, 10}}
	b.Client = Client{CPUPerRequest: 4000, GCPauses: 2, SchedLagP99: 5, SendLag: &SendLag{2, 3, 40}}
	a.Load.Rates, b.Load.Rates = []float64{1, 2}, []float64{10, 20}
	a.Load.MaxConnections, b.Load.MaxConnections = 100, 200
	a.Load.AchievedRate, b.Load.AchievedRate = 10, 20
	a.Counts.Connects, b.Counts.Connects = 3, 4
	a.Little, b.Little = &Little{4e9, 100, 100}, &Little{4e9, 50, 50}
	b.Incomplete = true
	b.Environment.CalibrationNS = 1200
	before, _ := json.Marshal([]*Record{a, b})
	given := parts(a, b)
	sum, err := MergeMachines(given[1], given[0])
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal([]*Record{a, b}); string(after) != string(before) {
		t.Error("a part was changed")
	}
	if c := sum.Counts; c.Sent != 120 || c.OK != 108 || c.Failed != 12 || c.Connects != 7 || c.ByClass[Status503] != 12 {
		t.Errorf("counts %+v", c)
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9*math.Abs(want) {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	// From 0 to 4 s and from 1.4 to 5.4 s.
	near("union", sum.Merged.UnionS, 5.4)
	near("common", sum.Merged.CommonS, 2.6)
	near("apart", sum.Merged.StartsApartS, 1.4)
	near("duration", sum.Load.DurationS, 5.4)
	near("rps.ok", sum.RPS.OK, 108/5.4)
	near("rps.total", sum.RPS.Total, 120/5.4)
	near("achieved rate", sum.Load.AchievedRate, 120/5.4)
	near("CPU a request", sum.Client.CPUPerRequest, (40*1000+80*4000)/120.0)
	near("Little's window", float64(sum.Little.WindowNS), 5.4e9)
	near("in flight", sum.Little.InFlightNS, 150)
	if c := sum.Client; c.GCPauses != 3 || c.SchedLagP99 != 7 || *c.SendLag != (SendLag{2, 9, 40}) {
		t.Errorf("client %+v, send lag %+v", c, c.SendLag)
	}
	if l := sum.Load; l.Clients != 4 || l.MaxConnections != 300 || l.Rates[0] != 11 || l.Rates[1] != 22 {
		t.Errorf("load %+v", l)
	}
	// 1.4 s are nearest to 1 whole second.
	want := []Second{{0, 10, 0, 5, 9}, {1, 30, 0, 5, 30}, {2, 36, 5, 7, 9}}
	if got, _ := json.Marshal(sum.Series); string(got) != string(must(json.Marshal(want))) {
		t.Errorf("series %s", got)
	}
	if !sum.Started.Equal(a.Started) || !sum.Incomplete || sum.Environment == nil || sum.Environment.CalibrationNS != 1200 {
		t.Errorf("started %v, incomplete %v, environment %+v", sum.Started, sum.Incomplete, sum.Environment)
	}
	if m := sum.Merged.Machines; m[0].File != "a.json" || m[1].File != "b.json" || m[1].OffsetS != 1.4 || m[1].Sent != 80 {
		t.Errorf("machines, in the order of their starts: %+v", m)
	}
	b.Environment.Kernel = "6.2"
	if sum, err = MergeMachines(parts(a, b)...); err != nil || sum.Environment != nil || sum.Merged.Machines[1].Environment.Kernel != "6.2" {
		t.Errorf("%v: an environment that not all share was kept", err)
	}
	text := must(json.Marshal(sum))
	if _, err := Read(strings.NewReader(string(text))); err != nil {
		t.Errorf("the sum cannot be read again: %v", err)
	}
}

// milliseconds returns n latencies of 1 ms.
func milliseconds(n int) []int64 {
	values := make([]int64, n)
	for i := range values {
		values[i] = int64(time.Millisecond)
	}
	return values
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

// TestMachinesWindows are unions with gaps, one inside the other, and warm-ups.
func TestMachinesWindows(t *testing.T) {
	type window struct{ at, warmup, length float64 }
	for _, c := range []struct {
		windows             []window
		union, common, span float64
	}{
		{[]window{{0, 0, 2}, {0, 0, 2}, {0, 0, 2}}, 2, 2, 0},
		{[]window{{0, 0, 10}, {2, 0, 3}}, 10, 3, 2},
		{[]window{{0, 0, 10}, {2, 0, 3}, {4, 0, 8}}, 12, 1, 4},
		{[]window{{0, 0, 2}, {5, 0, 2}}, 4, 0, 5},
		{[]window{{5, 0, 2}, {0, 3, 4}}, 4, 2, 2}, // from 5 to 7 and, after the warm-up, from 3 to 7
	} {
		var records []*Record
		for _, w := range c.windows {
			r := sample(10, 0, 1)
			r.Started = r.Started.Add(time.Duration(w.at * 1e9))
			r.Load.WarmupS, r.Load.DurationS = w.warmup, w.length
			records = append(records, r)
		}
		sum, err := MergeMachines(parts(records...)...)
		if err != nil {
			t.Fatal(err)
		}
		if m := sum.Merged; math.Abs(m.UnionS-c.union) > 1e-9 || math.Abs(m.CommonS-c.common) > 1e-9 || math.Abs(m.StartsApartS-c.span) > 1e-9 {
			t.Errorf("%v: union %v, common %v, apart %v; want %v, %v, %v", c.windows, m.UnionS, m.CommonS, m.StartsApartS, c.union, c.common, c.span)
		}
	}
}

// TestMachineWithoutRequests: nothing that was measured adds nothing, encoded or
// not.
func TestMachineWithoutRequests(t *testing.T) {
	empty := sample(0, 0, 1)
	empty.Latency = Latency{}
	for _, order := range [][]*Record{{sample(10, 2, 1), empty}, {empty, sample(10, 2, 1)}} {
		sum, err := MergeMachines(parts(order...)...)
		if err != nil {
			t.Fatal(err)
		}
		if want := sample(10, 2, 1).Latency; sum.Latency.P99 != want.P99 || sum.Latency.Kind != "service" || sum.Counts.OK != 10 {
			t.Errorf("latency %+v", sum.Latency)
		}
	}
	if m, err := Merge(sample(10, 0, 1), empty); err != nil || m.Latency.Count != 10 {
		t.Errorf("slices, one without a request: %v", err)
	}
}

func TestMachinesVerdicts(t *testing.T) {
	a, b := sample(10, 0, 1), sample(10, 0, 1)
	b.Verdict = Verdict{Reasons: []string{"it fell behind"}, Bottleneck: GeneratorCPU, Evidence: "its thread ran"}
	sum, err := MergeMachines(parts(a, b)...)
	if err != nil {
		t.Fatal(err)
	}
	if v := sum.Verdict; v.Valid || v.Comparable || len(v.Reasons) != 1 || v.Reasons[0] != "b.json: it fell behind" || v.Evidence != "b.json: its thread ran" {
		t.Errorf("verdict %+v", v)
	}
	b.Verdict.Reasons = nil
	if sum, err = MergeMachines(parts(a, b)...); err != nil || len(sum.Verdict.Reasons) != 1 || !strings.HasPrefix(sum.Verdict.Reasons[0], "b.json: ") {
		t.Errorf("a record that is not valid without a reason: %v, %+v", err, sum.Verdict)
	}
}

// TestMachinesRefuse wants an error that names the file, and no sum that
// overflowed.
func TestMachinesRefuse(t *testing.T) {
	for name, spoil := range map[string]func(*Record){
		"accounting": func(r *Record) { r.Counts.Sent++ },
		"in flight":  func(r *Record) { r.Counts.InFlight = math.MaxInt64 - 20; r.Counts.Sent = math.MaxInt64 - 8 },
		"connects":   func(r *Record) { r.Counts.Connects = math.MaxInt64 },
		"waited":     func(r *Record) { r.Counts.Waited = -1 },
		"clients":    func(r *Record) { r.Load.Clients = math.MaxInt64 },
		"duration":   func(r *Record) { r.Load.DurationS = 1e300 },
		"negative":   func(r *Record) { r.Load.DurationS = -1 },
		"warm-up":    func(r *Record) { r.Load.WarmupS = 1e30 },
		"rate":       func(r *Record) { r.RPS.OK = 1e308 },
		"rates":      func(r *Record) { r.Load.Rates = []float64{1e308} },
		"CPU":        func(r *Record) { r.Client.CPUPerRequest = 1e308 },
		"law":        func(r *Record) { r.Little = &Little{1, 1e308, 1} },
		"second":     func(r *Record) { r.Series[1].T = math.MaxInt64 },
		"series":     func(r *Record) { r.Series[0].OK = math.MaxInt64 },
		"histogram":  func(r *Record) { r.Latency.HDR = "AAAA" },
		"kind":       func(r *Record) { r.Latency.Kind = "response" },
	} {
		t.Run(name, func(t *testing.T) {
			bad := sample(10, 2, 1)
			spoil(bad)
			_, err := MergeMachines(parts(sample(10, 2, 1), bad)...)
			if err == nil || name != "kind" && !strings.Contains(err.Error(), "b.json") {
				t.Fatalf("error %v, want one that names b.json", err)
			}
		})
	}
	named := parts(sample(10, 2, 1), sample(10, 2, 2))
	named[1].File = "b\x1b[2J.json"
	if _, err := MergeMachines(named...); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("a file name with control characters: %v", err)
	}
	if _, err := MergeMachines(); err == nil {
		t.Error("nothing was merged")
	}
}
