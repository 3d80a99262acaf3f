package profile

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Requests asks how many complete requests of any kind the server has had since
// it started. Asking is a request to the admin listener, which is not counted.
func (a *Admin) Requests(ctx context.Context) (int64, error) {
	body, _, err := a.get(ctx, "/metrics", 0)
	if err != nil {
		return 0, fmt.Errorf("read the counters of %s: %w", a.url, err)
	}
	var counters struct {
		Requests *int64 `json:"requests_total"`
	}
	if err := json.Unmarshal(body, &counters); err != nil || counters.Requests == nil {
		return 0, fmt.Errorf("read the counters of %s: its answer has no requests_total; is it still the same server?", a.url)
	}
	return *counters.Requests, nil
}

// Watch says what the server does in the next d without taking a profile: by its
// own counters and clock, read at both ends of the stretch.
func (a *Admin) Watch(ctx context.Context, d time.Duration) (Window, error) { return a.watch(ctx, d) }
