package loadgen

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"mslab/results/record"
)

// metricsServer answers as the lab's server does.
func metricsServer(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"success":true,"metrics_processed":3}`)
	}))
	t.Cleanup(s.Close)
	return s
}

// mustRun runs a plan whose accounting has to hold.
func mustRun(t *testing.T, ctx context.Context, p Plan) *record.Record {
	t.Helper()
	r, err := Run(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	if !r.Verdict.Valid {
		t.Fatalf("invalid: %v", r.Verdict.Reasons)
	}
	return r
}

func TestRealServerUnderFiftyClients(t *testing.T) {
	for _, connection := range []Connection{Keep, New} {
		t.Run(string(connection), func(t *testing.T) {
			s := metricsServer(t)
			plan := Plan{
				URL: s.URL + "/metrics", Metrics: 3, Clients: 50, Duration: 1200 * time.Millisecond,
				Warmup: 100 * time.Millisecond, Connection: connection, SpreadSources: true, Timeout: 3 * time.Second,
			}
			r := mustRun(t, context.Background(), plan)
			for r.Counts.Sent < 1000 && plan.Duration < 30*time.Second { // others use the machine
				plan.Duration *= 4
				r = mustRun(t, context.Background(), plan)
			}
			t.Logf("%v: %.0f RPS, %d sent, p99 %v, cpu %.1f µs, lag %v, %v", connection, r.RPS.OK, r.Counts.Sent,
				time.Duration(r.Latency.P99), r.Client.CPUPerRequest/1000, time.Duration(r.Client.SchedLagP99), r.Counts)
			if r.Counts.OK != r.Counts.Sent || r.Counts.Starved != 0 {
				t.Errorf("counts %+v", r.Counts)
			}
			if r.Counts.Sent < 1000 {
				t.Errorf("only %d requests: Little's law was not asked", r.Counts.Sent)
			}
			if want := plan.Duration.Seconds(); r.Load.DurationS != want {
				t.Errorf("measured %v s, want %v", r.Load.DurationS, want)
			}
		})
	}
}
