package loadgen

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestOpenLoopGrowsToItsConnections lets far more requests come due at once than there
// are connections, at a server that answers none before all connections that there may
// be are open: opened one at a time, they must all come, and no request may be lost.
func TestOpenLoopGrowsToItsConnections(t *testing.T) {
	const connections, requests = 50, 300
	var arrived atomic.Int64
	all := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if arrived.Add(1) == connections {
			close(all)
		}
		select {
		case <-all:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	r, err := Run(context.Background(), Plan{
		URL: server.URL, Clients: 1, MaxConnections: connections, Timeout: 20 * time.Second,
		Arrival: Replay, Replay: make([]time.Duration, requests),
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Counts; c.OK != requests || c.Sent != requests || c.Connects != connections {
		t.Errorf("%d of %d requests ok over %d connections, want %d over %d: %v", c.OK, c.Sent, c.Connects, requests, connections, c.ByClass)
	}
	if r.Counts.Waited < requests-connections {
		t.Errorf("%d requests waited for a connection, want at least %d", r.Counts.Waited, requests-connections)
	}
}
