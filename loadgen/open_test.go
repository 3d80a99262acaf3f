package loadgen

import (
	"context"
	"testing"
	"time"
)

func TestZ(t *testing.T) {
	s := metricsServer(t)
	for _, p := range []Plan{
		{Rate: 500, Duration: time.Second},
		{Rate: 2000, Requests: 1000, Arrival: Poisson, Warmup: 200 * time.Millisecond},
		{Rate: 500, Duration: time.Second, Connection: New, SpreadSources: true},
		{Rates: []float64{100, 2000}, Arrival: Ramp, Duration: time.Second},
	} {
		p.URL, p.Metrics = s.URL, 3
		r, err := Run(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v\n%+v\n%+v lag %+v\n%+v", r.Counts, r.Load, r.Client, r.Client.SendLag, r.Verdict)
		t.Logf("%v %v | %v %v", time.Duration(r.Latency.P50), time.Duration(r.Latency.P99), time.Duration(r.Service.P50), time.Duration(r.Service.P99))
	}
}
